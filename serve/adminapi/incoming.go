package adminapi

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// How much is appended in one transaction, which may have 10,000 keys and
// 4 MiB.
const (
	groupMessages = 500
	groupOctets   = 1 << 20
)

// A batch is a stream of messages on its way in: small ones together in one
// transaction, each known by where it comes from, so that what was sent before
// happens only once.
type batch struct {
	api      *API
	account  *mailbox.Account
	group    []*arrival
	octets   int64
	places   int
	outcomes []Outcome
}

// An arrival is one message with the places it is to have.
type arrival struct {
	index    int // of its outcome
	body     *blob.Staged
	parsed   *message.Message
	flags    mail.Flags
	keywords []mail.Keyword
	internal time.Time
	places   []arrivalPlace
}

type arrivalPlace struct {
	mailbox mail.MailboxID
	origin  mailbox.Origin
	below   mail.UID
}

// intake handles a request whose body is a stream of any length.
func (a *API) intake(run func(http.ResponseWriter, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := run(w, r)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		write(w, "application/json", http.StatusOK, answer)
	})
}

// addMessages takes a stream of messages in. What fails of it has its reason
// in the answer; the rest is durable when the answer comes.
func (a *API) addMessages(w http.ResponseWriter, r *http.Request) (any, error) {
	account, err := a.mailboxes(r)
	if err != nil {
		return nil, err
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // the server takes as long as it takes
	b := &batch{api: a, account: account}
	defer b.drop()
	in := bufio.NewReaderSize(r.Body, maxHead)
	for {
		_ = control.SetReadDeadline(time.Now().Add(stall))
		var head Incoming
		if err := readHead(in, &head); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, problemf(http.StatusBadRequest, "the stream of messages cannot be read: %v", err)
		}
		if len(b.outcomes) == MaxBatch {
			return nil, problemf(http.StatusRequestEntityTooLarge, "a batch has %d messages at most", MaxBatch)
		}
		if err := b.take(r.Context(), in, head); err != nil {
			return nil, err
		}
	}
	b.flush(r.Context())
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	_ = control.SetWriteDeadline(time.Now().Add(stall))
	return outcomes{b.outcomes}, nil
}

// take reads one message. It fails if the stream is of no more use.
func (b *batch) take(ctx context.Context, in io.Reader, head Incoming) error {
	if head.Size < 0 || head.Size > maxMessage || len(head.Places) == 0 || len(head.Places) > maxPlaceCount {
		return problemf(http.StatusUnprocessableEntity, "a message of %d octets for %d mailboxes is not taken", head.Size, len(head.Places))
	}
	m := &arrival{index: len(b.outcomes), internal: time.Unix(head.Internal, 0).UTC()}
	for _, p := range head.Places {
		place := arrivalPlace{mailbox: mail.MailboxID(p.Mailbox), below: mail.UID(p.Below), origin: mailbox.Origin{Item: p.Item}}
		var err error
		if place.origin.Source, err = sourceID(p.Source); err != nil {
			return err
		}
		m.places = append(m.places, place)
	}
	var err error
	if m.flags, m.keywords, err = ParseFlags(head.Flags); err != nil {
		return problemf(http.StatusUnprocessableEntity, "%v", err)
	}
	m.body = blob.Stage(ctx, b.api.o.Blobs)
	parser := message.NewParser()
	rest := io.LimitReader(in, head.Size)
	n, err := io.Copy(io.MultiWriter(m.body, parser), rest)
	if err == nil && n < head.Size {
		_ = m.body.Close()
		return problemf(http.StatusBadRequest, "the stream of messages ends in the middle of one")
	}
	if err == nil {
		err = m.body.Finish()
	}
	b.outcomes = append(b.outcomes, Outcome{})
	if err != nil { // of the spool: the disk is full, or the message too large
		_ = m.body.Close()
		b.fail(m, err)
		_, err := io.Copy(io.Discard, rest)
		return err
	}
	m.parsed = parser.Finish()
	b.group = append(b.group, m)
	b.places += len(m.places)
	b.octets += 4 << 10
	if m.body.IsInline() {
		b.octets += int64(m.body.Size())
	}
	if b.places >= groupMessages || b.octets >= groupOctets {
		b.flush(ctx)
	}
	return nil
}

func sourceID(s string) (mailbox.SourceID, error) {
	var id mailbox.SourceID
	if n, err := hex.Decode(id[:], []byte(s)[:min(len(s), 2*len(id))]); err != nil || n != len(id) || len(s) != 2*len(id) {
		return id, problemf(http.StatusUnprocessableEntity, "%q is not a source: 32 hex digits are wanted", s)
	}
	return id, nil
}

// flush appends what has gathered; if that fails, each message alone, so that
// a bad one does not keep the others away.
func (b *batch) flush(ctx context.Context) {
	if err := b.appendAll(ctx, b.group); err != nil {
		for _, m := range b.group {
			b.outcomes[m.index] = Outcome{}
			err := err
			if len(b.group) > 1 {
				err = b.appendAll(ctx, []*arrival{m})
			}
			if err != nil {
				b.fail(m, err)
			}
		}
	}
	b.drop()
}

func (b *batch) drop() {
	for _, m := range b.group {
		_ = m.body.Close()
	}
	b.group, b.octets, b.places = b.group[:0], 0, 0
}

// fail says why a message is not there.
func (b *batch) fail(m *arrival, err error) {
	o := Outcome{Failed: err.Error()}
	switch {
	case errors.Is(err, mailbox.ErrOverQuota):
		o.Quota, o.Failed = true, "the account is full"
	case errors.Is(err, mailbox.ErrTooLarge), errors.Is(err, blob.ErrTooLarge):
		o.Failed = "it is larger than the server can keep"
	case errors.Is(err, mailbox.ErrNoMailbox):
		o.Failed = "its mailbox has been deleted"
	case errors.Is(err, mailbox.ErrKeyword), errors.Is(err, mailbox.ErrTooMany), errors.Is(err, mailbox.ErrName):
	default:
		b.api.o.Log.Error("import failed", obs.Account, b.account.ID(), obs.Err, err)
	}
	b.outcomes[m.index] = o
}

// appendAll puts messages where they are not yet, in one transaction.
func (b *batch) appendAll(ctx context.Context, group []*arrival) error {
	var origins []mailbox.Origin
	for _, m := range group {
		for _, p := range m.places {
			origins = append(origins, p.origin)
		}
	}
	if len(origins) == 0 {
		return nil
	}
	before, err := b.account.FindImported(ctx, origins)
	if err != nil {
		return err
	}
	var entries []mailbox.NewEntry
	k := 0
	for _, m := range group {
		for i := range m.places {
			if k++; before[k-1] != nil {
				b.outcomes[m.index].There++
				continue
			}
			p := &m.places[i]
			there, err := b.twin(ctx, m, p)
			if err != nil {
				return err
			}
			if there {
				b.outcomes[m.index].There++
				continue
			}
			b.outcomes[m.index].Imported++
			entries = append(entries, mailbox.NewEntry{
				Mailbox: p.mailbox, Body: m.body, Parsed: m.parsed, Flags: m.flags, Keywords: m.keywords,
				Internal: m.internal, Origin: &p.origin,
			})
		}
	}
	_, err = b.account.Append(ctx, time.Now(), entries...)
	return err
}

// twin looks for a message that has come to the mailbox by another way, and
// remembers it.
func (b *batch) twin(ctx context.Context, m *arrival, p *arrivalPlace) (bool, error) {
	if p.below <= 1 {
		return false, nil
	}
	found, err := b.account.Twins(ctx, p.mailbox, p.below, []mailbox.Candidate{{Body: m.body, Parsed: m.parsed}})
	if err != nil || found[0].UID == 0 {
		return false, err
	}
	return true, b.account.Remember(ctx, p.origin.Source, mailbox.Imported{
		Item: p.origin.Item, Mailbox: p.mailbox, UID: found[0].UID, Email: found[0].Email, Flags: m.flags, Keywords: m.keywords,
	})
}
