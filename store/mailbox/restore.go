package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/kv"
)

// RestoredName is where messages come back to whose mailbox nobody remembers.
const RestoredName = "Restored"

// RestoreOptions say what Restore brings back: Since or At is set.
type RestoreOptions struct {
	// Since brings back what has gone since then, as it was when it went.
	Since time.Time

	// At brings back what was there at a time and is gone, with the flags of
	// then.
	At time.Time

	Mailbox string // only what this mailbox held; empty: all
	Message string // only the message with this email id or Message-ID; empty: all

	// Into is where to put it: messages that Mailbox or Message choose into
	// the mailbox of this name, everything else into mailboxes below it.
	// Empty: where it was.
	Into string

	// Flags gives messages that are still there the flags that they had At.
	Flags bool

	DryRun bool // only find out what would be done
}

// A Restored tells what Restore has done, or would do.
type Restored struct {
	Messages  int
	Octets    mail.ByteCount
	Mailboxes []RestoredMailbox
	Flags     int      // messages that were there and got their flags back
	Notes     []string // for people: what did not come back, or elsewhere, and why
}

// A RestoredMailbox tells of one mailbox.
type RestoredMailbox struct {
	Was      string // its name when the messages went
	Is       string // the name of the mailbox that has them now
	Messages int
	Whole    bool // the mailbox itself has come back, with all that it held
}

// NoRoom says that what is to come back does not fit into the quota. It is an
// ErrOverQuota.
type NoRoom struct{ Need, Free mail.ByteCount }

func (e *NoRoom) Error() string {
	return fmt.Sprintf("what is to come back has %v, and the quota has room for %v", e.Need, e.Free)
}

// Unwrap gives ErrOverQuota.
func (e *NoRoom) Unwrap() error { return ErrOverQuota }

// Restore brings back what is gone, within the Store's window, without ever
// taking anything away: what has come since stays. Entries get new UIDs; their
// emails and threads are what they were. What is back is no longer gone, so
// that doing it again does nothing. It goes in small transactions: if it fails
// in the middle the rest is done by doing it again.
func (a *Account) Restore(ctx context.Context, now time.Time, o RestoreOptions) (Restored, error) {
	r := restoration{a: a, now: now, o: o, comesBack: make(map[mail.MailboxID]bool),
		targets: make(map[mail.MailboxID]*target), lines: make(map[RestoredMailbox]int)}
	if o.Into != "" {
		if _, err := CleanName(o.Into); err != nil {
			return Restored{}, err
		}
	}
	r.name, _ = CleanName(o.Mailbox) // what is no name nobody has
	if err := r.plan(ctx); err != nil {
		return Restored{}, err
	}
	if !o.DryRun {
		r.done.Messages, r.done.Octets, r.done.Mailboxes = 0, 0, nil
		clear(r.lines)
	}
	if err := r.mailboxes(ctx); err != nil {
		return r.done, err
	}
	if !o.DryRun {
		if err := r.messages(ctx, r.put); err != nil {
			return r.done, err
		}
		if err := r.flush(ctx); err != nil {
			return r.done, err
		}
	}
	if r.past != nil {
		if err := r.flags(ctx); err != nil {
			return r.done, err
		}
		r.tellMoved(ctx)
	}
	slices.SortFunc(r.done.Mailboxes, func(x, y RestoredMailbox) int {
		if c := compareNames(x.Was, y.Was); c != 0 || x.Whole == y.Whole {
			return cmp.Or(c, strings.Compare(x.Is, y.Is))
		}
		if x.Whole {
			return -1
		}
		return 1
	})
	return r.done, nil
}

// A restoration is a Restore under way.
type restoration struct {
	a     *Account
	now   time.Time
	o     RestoreOptions
	boxes map[mail.MailboxID]*box // all, also the deleted ones
	past  *past                   // with At
	whole []*box                  // deleted mailboxes that come back
	email mail.EmailID            // with Message, where it is an email's id
	name  string                  // with Mailbox: as mailboxes have it

	comesBack map[mail.MailboxID]bool    // those of whole
	targets   map[mail.MailboxID]*target // by where messages were
	lines     map[RestoredMailbox]int    // of done.Mailboxes, without their counts
	done      Restored
}

// A target is where messages of one mailbox come back to.
type target struct {
	was, is string
	id      mail.MailboxID // 0: to be made
	waiting []recovery
}

// plan finds out what there is to do, without doing it.
func (r *restoration) plan(ctx context.Context) error {
	var free mail.ByteCount = -1
	err := r.a.view(ctx, func(kr kv.Reader, h *head) error {
		all, err := readAllBoxes(kr)
		r.boxes = make(map[mail.MailboxID]*box, len(all))
		for _, m := range all {
			r.boxes[m.ID] = m
		}
		if q := r.a.store.quota(h); q > 0 {
			free = max(q-h.bytes, 0)
		}
		return err
	})
	if err != nil {
		return err
	}
	if id, ok := parseEmailID(r.o.Message); ok {
		r.email = id
	}
	if !r.o.At.IsZero() {
		if r.past, err = r.a.readPast(ctx, r.o.At); err != nil {
			return err
		}
	}
	if err := r.checkWindow(); err != nil {
		return err
	}
	var need mail.ByteCount
	for _, m := range r.boxes {
		if r.comesBackWhole(m) {
			r.whole = append(r.whole, m)
			r.comesBack[m.ID] = true
			need += m.Size
		}
	}
	if r.past != nil {
		err := r.a.match(ctx, r.past, r.o.At, r.comesBack, func(id mail.MailboxID) bool {
			m := r.boxes[id]
			return m != nil && (m.removed == 0 || r.comesBack[id])
		})
		if err != nil {
			return err
		}
	}
	// Above before below; of two with one name the one that went last.
	slices.SortFunc(r.whole, func(x, y *box) int {
		if c := compareNames(x.Name, y.Name); c != 0 {
			return c
		}
		return int(y.removed - x.removed)
	})
	err = r.messages(ctx, func(_ context.Context, b recovery) error {
		need += mail.ByteCount(b.Entry.Size)
		t, err := r.target(b.was)
		if err == nil {
			r.count(t, 1, mail.ByteCount(b.Entry.Size))
		}
		return err
	})
	if err != nil {
		return err
	}
	if free >= 0 && need > free {
		return &NoRoom{Need: need, Free: free}
	}
	if r.chooses() && !r.known() {
		return noSuchMailbox(r.o.Mailbox)
	}
	return nil
}

func noSuchMailbox(name string) error {
	return fmt.Errorf("%w: no mailbox, neither now nor among the deleted, is or was called %q", ErrNoMailbox, name)
}

// checkWindow says what the window does not reach.
func (r *restoration) checkWindow() error {
	cut := r.now.Add(-r.a.store.o.Window)
	switch {
	case r.past != nil && r.past.cut && r.o.At.Before(cut):
		return &TooOld{cut}
	case !r.o.Since.IsZero() && r.o.Since.Before(cut):
		r.note("what had been deleted before %s is gone for good", cut.UTC().Format(time.RFC3339))
	}
	return nil
}

// chooses tells whether one mailbox is to be restored.
func (r *restoration) chooses() bool { return r.o.Mailbox != "" }

// known tells whether there is a mailbox of the name that was asked for.
func (r *restoration) known() bool {
	for id := range r.boxes {
		if r.wanted(id) {
			return true
		}
	}
	return false
}

// wanted tells whether a mailbox is one that is asked for.
func (r *restoration) wanted(id mail.MailboxID) bool {
	if !r.chooses() {
		return true
	}
	if r.name == "" {
		return false
	}
	if r.past != nil && r.past.names[id] == r.name {
		return true
	}
	m := r.boxes[id]
	return m != nil && m.Name == r.name || m == nil && r.name == RestoredName
}

// comesBackWhole tells whether a mailbox is deleted and asked for.
func (r *restoration) comesBackWhole(m *box) bool {
	switch {
	case m.removed == 0 || m.NoSelect || r.o.Message != "" || !r.wanted(m.ID):
		return false
	case r.past != nil:
		return m.removed >= r.o.At.Unix() && !r.past.created[m.ID]
	}
	return m.removed >= r.o.Since.Unix()
}

// messages goes through the messages that come back one by one.
func (r *restoration) messages(ctx context.Context, fn func(context.Context, recovery) error) error {
	since := r.o.Since
	if r.past != nil {
		since = r.o.At
	}
	choose, page := r.o.Message != "" && r.email == 0, []recovery(nil)
	flush := func() error {
		err := r.chosen(ctx, page, fn)
		page = page[:0]
		return err
	}
	for l, err := range r.a.Lost(ctx, LostOptions{Since: since}) {
		if err != nil {
			return err
		}
		b, ok := r.comes(l)
		if !ok || !r.wanted(b.was) {
			continue
		}
		if !choose {
			if err := fn(ctx, b); err != nil {
				return err
			}
			continue
		}
		if page = append(page, b); len(page) == recoverBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// comes tells whether a message comes back, of its own and not with its
// mailbox, and where to.
func (r *restoration) comes(l Lost) (recovery, bool) {
	b, single := recovery{Lost: l, was: l.Mailbox}, r.o.Message != ""
	switch {
	case r.comesBack[l.Mailbox] && l.Whole, r.email != 0 && l.Entry.Email != r.email:
		return b, false
	case r.past == nil:
		return b, single || !l.Whole
	}
	at, ok := r.past.wasAt(l)
	if !ok {
		if !single || !l.Whole || r.past.created[l.Mailbox] {
			return b, false
		}
		at = place{l.Mailbox, l.Entry.UID} // it was there, as far as is known
	}
	b.state, b.was = r.past.state(at), at.Mailbox
	return b, true
}

// chosen calls fn for those that have the Message-ID that is asked for.
func (r *restoration) chosen(ctx context.Context, page []recovery, fn func(context.Context, recovery) error) error {
	want := strings.Trim(r.o.Message, "<> ")
	for len(page) > 0 {
		ids := make([]mail.EmailID, len(page))
		for i := range page {
			ids[i] = page[i].Entry.Email
		}
		facts, err := r.a.Facts(ctx, ids)
		if err != nil {
			return err
		}
		for i, f := range facts {
			if f == nil || !slices.Contains(message.ParseMessageIDs(f.Message.Envelope.MessageID), want) {
				continue
			}
			if err := fn(ctx, page[i]); err != nil {
				return err
			}
		}
		page = page[len(facts):]
	}
	return nil
}

// nameOf gives the name that a mailbox had.
func (r *restoration) nameOf(id mail.MailboxID) string {
	if r.past != nil && r.past.names[id] != "" {
		return r.past.names[id]
	}
	if m := r.boxes[id]; m != nil {
		return m.Name
	}
	return RestoredName
}

// target says where the messages of a mailbox come back to.
func (r *restoration) target(was mail.MailboxID) (*target, error) {
	if t := r.targets[was]; t != nil {
		return t, nil
	}
	t := &target{was: r.nameOf(was)}
	r.targets[was] = t
	m := r.boxes[was]
	switch {
	case r.o.Into != "" && (r.chooses() || r.o.Message != ""):
		t.is, _ = CleanName(r.o.Into)
	case r.o.Into != "":
		t.is, _ = CleanName(r.o.Into + Separator + t.was)
		if t.is == "" {
			return nil, fmt.Errorf("%w: %q below %q", ErrName, t.was, r.o.Into)
		}
	case m != nil && (m.removed == 0 || r.comesBack[m.ID]):
		t.is, t.id = m.Name, m.ID
		if m.Name != t.was {
			r.note("%q is called %q now; its messages come back there", t.was, m.Name)
		}
		return t, nil
	default:
		t.is = t.was
	}
	for _, m := range r.boxes {
		if m.Name == t.is && m.removed == 0 && !m.NoSelect {
			t.id = m.ID
		}
	}
	return t, nil
}

// mailboxes brings back deleted mailboxes.
func (r *restoration) mailboxes(ctx context.Context) error {
	taken := make(map[string]bool)
	for _, m := range r.boxes {
		if m.removed == 0 && !m.NoSelect {
			taken[m.Name] = true
		}
	}
	for _, m := range r.whole {
		name := m.Name
		switch {
		case r.o.Into != "" && r.chooses():
			name = r.o.Into
		case r.o.Into != "":
			name = r.o.Into + Separator + m.Name
		}
		wish := name
		for i := 1; ; i++ {
			if !taken[name] {
				if r.o.DryRun {
					break
				}
				_, err := r.a.RecoverMailbox(ctx, m.ID, name)
				if errors.Is(err, ErrNoMailbox) { // purged or recovered meanwhile
					name = ""
					break
				}
				if !errors.Is(err, ErrExists) {
					if err != nil {
						return fmt.Errorf("mailbox %q: %w", m.Name, err)
					}
					break
				}
			}
			name = fmt.Sprintf("%s (restored)", wish)
			if i > 1 {
				name = fmt.Sprintf("%s (restored %d)", wish, i)
			}
		}
		if name == "" {
			continue
		}
		taken[name] = true
		if name != wish {
			r.note("another mailbox is called %q meanwhile; the deleted one is back as %q", wish, name)
		}
		if t := r.targets[m.ID]; t != nil && t.id == m.ID {
			t.is = name
		}
		r.done.Messages += m.Messages
		r.done.Octets += m.Size
		r.tell(m.Name, name, true, m.Messages)
	}
	return nil
}

// put brings one message back, with others of its mailbox.
func (r *restoration) put(ctx context.Context, b recovery) error {
	t, err := r.target(b.was)
	if err != nil {
		return err
	}
	if t.waiting = append(t.waiting, b); len(t.waiting) < recoverBatch {
		return nil
	}
	return r.bringBack(ctx, t)
}

func (r *restoration) flush(ctx context.Context) error {
	for _, t := range r.targets {
		if err := r.bringBack(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// bringBack brings back the messages that wait, into a mailbox that is made
// when it is missing.
func (r *restoration) bringBack(ctx context.Context, t *target) error {
	if len(t.waiting) == 0 {
		return nil
	}
	defer func() { t.waiting = t.waiting[:0] }()
	if t.id == 0 {
		m, err := r.a.CreateMailbox(ctx, t.is, CreateOptions{})
		if errors.Is(err, ErrExists) {
			m, err = r.a.Mailbox(ctx, t.is)
		}
		if err != nil {
			return fmt.Errorf("mailbox %q: %w", t.is, err)
		}
		t.id = m.ID
	}
	var octets mail.ByteCount
	for _, b := range t.waiting {
		octets += mail.ByteCount(b.Entry.Size)
	}
	n, err := r.a.recover(ctx, r.now, t.waiting, t.id)
	if n > 0 {
		r.count(t, n, octets)
	}
	if err != nil {
		return fmt.Errorf("mailbox %q: %w", t.is, err)
	}
	return nil
}

// parseEmailID reads an email's id as mail.EmailID writes it.
func parseEmailID(s string) (mail.EmailID, bool) {
	var n uint64
	if _, err := fmt.Sscanf(s, "e%x", &n); err != nil || mail.EmailID(n).String() != s {
		return 0, false
	}
	return mail.EmailID(n), true
}
