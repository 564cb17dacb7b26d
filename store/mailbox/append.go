package mailbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
)

// A NewEntry is a message on its way into a mailbox.
type NewEntry struct {
	Mailbox mail.MailboxID

	// Body is finished; it stays the caller's to close.
	Body *blob.Staged

	// Parsed is what parsing Body (without Prefix) gave; nil has Append
	// parse it. It is not changed and may be shared.
	Parsed *message.Message

	// Known is what Know has made of Parsed; nil has Append do it.
	Known *Known

	// Prefix holds header fields to stand before those of Body.
	Prefix []byte

	Flags    mail.Flags
	Keywords []mail.Keyword
	Internal time.Time // zero: now

	// Token, when it is not empty, makes the entry happen once: if an entry
	// with this token was appended within the last days, its result is
	// given again.
	Token string

	// Origin, when it is not nil, is where the message was imported from. An
	// entry with an Origin that the account remembers is not appended again;
	// Appended then tells where it went, without thread and change.
	Origin *Origin
}

// An Appended tells what has become of a NewEntry.
type Appended struct {
	Mailbox     mail.MailboxID
	UIDValidity mail.UIDValidity
	UID         mail.UID
	Email       mail.EmailID
	Thread      mail.ThreadID
	ModSeq      mail.ModSeq
}

// settable are the flags that an entry can have. RFC 9051 §2.3.2
const settable = mail.Seen | mail.Answered | mail.Flagged | mail.Deleted | mail.Draft

// Append adds messages, all or none, in one durable transaction. Entries of
// one call with the same Body and Prefix become one email in several places.
func (a *Account) Append(ctx context.Context, now time.Time, entries ...NewEntry) ([]Appended, error) {
	return a.appendAnd(ctx, now, entries, nil)
}

// An appendWith does more in the transaction of an Append: before finds and
// makes room, after sees what has been added. Either may be nil.
type appendWith struct {
	before func(t *txn) error
	after  func(t *txn, done []Appended) error
	boxes  []mail.MailboxID // that it changes
}

func (a *Account) appendAnd(ctx context.Context, now time.Time, entries []NewEntry, with *appendWith) ([]Appended, error) {
	for try := 0; ; try++ {
		done, err := a.tryAppend(ctx, now, entries, with)
		if !errors.Is(err, errBodyGoes) || try == 100 {
			return done, err
		}
		// The same large body was purged a moment ago; if whoever does it
		// has died, it is ours to finish.
		if _, err := a.deleteReleased(ctx, now, math.MaxInt); err != nil {
			return nil, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// A prepared is a NewEntry with all that can be found out about it before the
// transaction, and the places of its values in what the transaction reads.
type prepared struct {
	entry     *NewEntry
	record    record
	size      uint32
	same      int // index of the entry with the same email; its own if none
	mentions  [][]byte
	bodyKey   []byte // inline: first chunk; large: the mark of release
	refsKey   []byte
	deletions int64
	tokens    [][]byte // this generation's and the last's
	origin    [][]byte // its row's key, if it has one
	at        int      // index of its values: body, mentions, tokens, origin

	// What a run of the transaction has made of it; zero where it was there.
	row   row
	email mail.EmailID // if it is new
}

func (a *Account) tryAppend(ctx context.Context, now time.Time, entries []NewEntry, with *appendWith) ([]Appended, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	list := make([]prepared, len(entries))
	boxes := make([]mail.MailboxID, 0, len(entries))
	want := make([][]byte, 0, 8*len(entries))
	records := scratches.Get().(*[]byte)
	defer recycle(records)
	for i := range entries {
		p := &list[i]
		p.entry = &entries[i]
		if err := a.prepare(ctx, now, list, i, records); err != nil {
			return nil, err
		}
		p.at = len(want)
		want = append(want, p.bodyKey)
		want = append(want, p.mentions...)
		want = append(want, p.tokens...)
		want = append(want, p.origin...)
		boxes = addBox(boxes, p.entry.Mailbox)
	}
	if with != nil {
		for _, id := range with.boxes {
			boxes = addBox(boxes, id)
		}
	}
	done := make([]Appended, len(entries))
	_, err := a.change(ctx, now, boxes, want, func(t *txn, got [][]byte) error {
		if with != nil && with.before != nil {
			if err := with.before(t); err != nil {
				return err
			}
		}
		var met keysMet
		if len(list) > 1 {
			met = make(keysMet, 3*len(list))
		}
		for i := range list {
			var err error
			if done[i], err = t.appendOne(list, i, got, done, met); err != nil {
				return err
			}
		}
		t.putPrepared(list)
		if with != nil && with.after != nil {
			return with.after(t, done)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

func addBox(list []mail.MailboxID, id mail.MailboxID) []mail.MailboxID {
	for _, have := range list {
		if have == id {
			return list
		}
	}
	return append(list, id)
}

// prepare does what needs no transaction: parsing, hashing, keeping a large
// body. What is known of the message is appended to records.
func (a *Account) prepare(ctx context.Context, now time.Time, list []prepared, i int, records *[]byte) error {
	p := &list[i]
	e := p.entry
	if err := checkKeywords(e.Keywords); err != nil {
		return err
	}
	size := e.Body.Size() + mail.ByteCount(len(e.Prefix))
	if size > math.MaxUint32 || len(e.Prefix) > chunkSize/2 {
		return fmt.Errorf("%v: %w", size, ErrTooLarge)
	}
	p.size = uint32(size)
	if e.Token != "" {
		p.tokens = tokenKeys(e.Token, now)
	}
	if e.Origin != nil {
		key, err := e.Origin.key()
		if err != nil {
			return err
		}
		p.origin = [][]byte{key}
	}
	p.same = i
	for j := range list[:i] {
		if o := &list[j]; o.entry.Body == e.Body && bytes.Equal(o.entry.Prefix, e.Prefix) {
			tokens, origin := p.tokens, p.origin
			*p = *o
			p.entry, p.tokens, p.origin, p.same = e, tokens, origin, j
			return nil
		}
	}
	known, err := e.know(records)
	if err != nil {
		return err
	}
	p.mentions = known.mentions
	p.record = record{
		received: now.Unix(), where: bodyInline, sum: e.Body.Sum(), body: e.Body.Size(),
		prefix: e.Prefix, message: known.message,
	}
	if len(p.record.message) > maxRecord {
		return fmt.Errorf("structure of the message: %w", ErrTooLarge)
	}
	p.refsKey = appendRefsKey(nil, &p.record.sum)
	if e.Body.Bytes() != nil {
		p.bodyKey = appendBodyKey(nil, &p.record.sum, 0)
		return nil
	}
	p.bodyKey = appendReleaseKey(nil, &p.record.sum)
	p.record.where = bodyBlob
	h, err := a.head(ctx)
	if err != nil {
		return err
	}
	p.deletions = h.deletions
	if _, err := e.Body.Keep(ctx, a.id); err != nil {
		return fmt.Errorf("keep body: %w", err)
	}
	return nil
}

// putPrepared writes records and entries, each kind in a row: an engine is quick with
// keys that follow each other.
func (t *txn) putPrepared(list []prepared) {
	for i := range list {
		if p := &list[i]; p.email != 0 {
			t.putRecord(p.email, &p.record)
		}
	}
	for i := range list {
		if p := &list[i]; p.row.UID != 0 {
			var key [9]byte
			t.scratch = p.row.append(t.scratch[:0])
			t.Put(appendEntryKey(key[:0], p.entry.Mailbox, p.row.UID), t.scratch)
		}
	}
}

// appendOne adds one message to the transaction, all but what putPrepared does.
func (t *txn) appendOne(list []prepared, i int, got [][]byte, done []Appended, met keysMet) (Appended, error) {
	p := &list[i]
	e := p.entry
	p.row, p.email = row{}, 0
	tokens := got[p.at+1+len(p.mentions):][:len(p.tokens)]
	for _, b := range tokens {
		if b != nil {
			return decodeToken(b)
		}
	}
	if len(p.origin) > 0 {
		if b := got[p.at+1+len(p.mentions)+len(p.tokens)]; b != nil {
			return appendedBefore(b)
		}
	}
	m, err := t.box(e.Mailbox)
	if err != nil {
		return Appended{}, err
	}
	if m.UIDNext == math.MaxUint32 {
		return Appended{}, fmt.Errorf("UIDs of mailbox %v: %w", m.ID, ErrTooMany)
	}
	if !t.unlimited && !t.a.store.fits(&t.head, mail.ByteCount(p.size), 1) {
		return Appended{}, ErrOverQuota
	}
	words, err := t.numberKeywords(e.Keywords, true)
	if err != nil {
		return Appended{}, err
	}
	internal := e.Internal
	if internal.IsZero() {
		internal = t.now
	}
	r := row{Entry: Entry{
		UID: m.UIDNext, Size: p.size, ModSeq: t.modseq(), Flags: e.Flags & settable,
		Internal: internal.Unix(), Saved: savedAt(t.now),
	}, words: appendWords(nil, words)}
	if t.a.keywords.full(r.words) {
		return Appended{}, fmt.Errorf("sets of keywords: %w", ErrTooMany)
	}
	m.UIDNext++
	at := place{m.ID, r.UID}
	var thread mail.ThreadID
	if twin := &done[p.same]; p.same != i && twin.ModSeq == t.modseq() {
		r.Email, thread = twin.Email, twin.Thread
		err = t.addPlace(r.Email, place{twin.Mailbox, twin.UID}, at)
	} else {
		r.Email, thread, err = t.putEmail(p, at, got[p.at:], met.add(p))
	}
	if err != nil {
		return Appended{}, err
	}
	p.row = r
	t.countIn(m, &r)
	t.log(itemCreated, m, []mail.UID{r.UID}, []mail.EmailID{r.Email})
	if ef := t.effect(m); ef != nil {
		ef.upserts = append(ef.upserts, t.seen(&r))
	}
	out := Appended{m.ID, m.UIDValidity, r.UID, r.Email, thread, t.modseq()}
	if len(p.tokens) > 0 {
		t.Put(p.tokens[0], appendToken(nil, &out))
	}
	if len(p.origin) > 0 {
		t.Put(p.origin[0], importedRow{out.Mailbox, out.UID, out.Email, e.Flags & settable, e.Keywords}.append(nil))
	}
	return out, nil
}

// putEmail adds what is new about an email, but for its record. got begins with
// the values of its keys, as they were before the transaction; changed says that
// they may be others now.
func (t *txn) putEmail(p *prepared, home place, got [][]byte, changed bool) (mail.EmailID, mail.ThreadID, error) {
	if changed {
		want := append([][]byte{p.bodyKey}, p.mentions...)
		var err error
		if got, err = t.GetMany(want); err != nil {
			return 0, 0, err
		}
	}
	t.emails++
	t.head.email++
	id := t.head.email
	thread, err := t.thread(id, p.mentions, got[1:1+len(p.mentions)])
	if err != nil {
		return 0, 0, err
	}
	if err := t.putBody(p, got[0]); err != nil {
		return 0, 0, err
	}
	p.email, p.record.thread, p.record.home = id, thread, home
	return id, thread, nil
}

// keysMet are the keys of the emails of one transaction, by the hashes in them;
// nil where there is one email.
type keysMet map[[16]byte]struct{}

// add tells whether an email before this one may be of the same thread or body.
func (k keysMet) add(p *prepared) bool {
	if k == nil {
		return false
	}
	before := len(k)
	k[[16]byte(p.bodyKey[1:])] = struct{}{}
	for _, key := range p.mentions {
		k[[16]byte(key[1:])] = struct{}{}
	}
	return len(k) != before+1+len(p.mentions)
}

// addPlace says that an email lies in one more place. home is where it lies
// if it has no row of places yet.
func (t *txn) addPlace(id mail.EmailID, home, at place) error {
	key := appendPlacesKey(nil, id)
	got, err := t.GetMany([][]byte{key})
	if err != nil {
		return err
	}
	p, err := decodePlaces(got[0], home)
	if err != nil {
		return err
	}
	if len(p.at) >= maxPlaces {
		return fmt.Errorf("copies of message %v: %w", id, ErrTooMany)
	}
	p.at = append(p.at, at)
	t.Put(key, p.append(nil))
	return nil
}

// countIn counts an entry that has come.
func (t *txn) countIn(m *box, r *row) {
	m.count(&r.Entry, 1)
	t.head.bytes += mail.ByteCount(r.Size)
	t.head.messages++
}

// countOut counts an entry that has gone.
func (t *txn) countOut(m *box, r *row) {
	m.count(&r.Entry, -1)
	t.head.bytes -= mail.ByteCount(r.Size)
	t.head.messages--
}

// Tokens lie in generations by time, so that old ones go with one deletion:
// the present one and the one before it are looked at.
const tokenGeneration = 5 * 24 * time.Hour

func generation(now time.Time) uint32 { return uint32(now.Unix() / int64(tokenGeneration/time.Second)) }

func appendGenerationKey(dst []byte, g uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, keys.Token), g)
}

func tokenKeys(token string, now time.Time) [][]byte {
	sum := sha256.Sum256([]byte(token))
	g := generation(now)
	return [][]byte{
		append(appendGenerationKey(nil, g), sum[:20]...),
		append(appendGenerationKey(nil, g-1), sum[:20]...),
	}
}

func appendToken(dst []byte, d *Appended) []byte {
	dst = append(dst, rowFormat)
	for _, n := range [...]uint64{uint64(d.Mailbox), uint64(d.UIDValidity), uint64(d.UID),
		uint64(d.Email), uint64(d.Thread), uint64(d.ModSeq)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func decodeToken(b []byte) (Appended, error) {
	d := decoder{b: b}
	if d.byte() != rowFormat {
		d.bad = true
	}
	a := Appended{mail.MailboxID(d.uvarint()), mail.UIDValidity(d.uvarint()), mail.UID(d.uvarint()),
		mail.EmailID(d.uvarint()), mail.ThreadID(d.uvarint()), mail.ModSeq(d.uvarint())}
	if d.bad {
		return Appended{}, fmt.Errorf("token: %w", errCorrupt)
	}
	return a, nil
}
