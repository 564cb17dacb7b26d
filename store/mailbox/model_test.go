package mailbox_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// A model is an account as simple as can be.
type model struct {
	boxes    map[mail.MailboxID]*modelBox
	validity mail.UIDValidity // the highest so far
}

type modelBox struct {
	next    mail.UID
	entries map[mail.UID]modelEntry
}

type modelEntry struct {
	email mail.EmailID
	flags mail.Flags
	words string // sorted
}

func (b *modelBox) uids() []mail.UID { return slices.Sorted(maps.Keys(b.entries)) }

// TestModel compares random histories with the model, through views that were
// open all the time, on this node and on another.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { runModel(t, rt) })
}

type history struct {
	*house
	t     *testing.T
	rt    *rapid.T
	m     model
	views map[mail.MailboxID]*mailbox.View
	far   map[mail.MailboxID]*mailbox.View // on another node
	other *mailbox.Store
	snaps map[mail.MailboxID]*mailbox.Snapshot
	names int
	now   time.Time
}

func runModel(t *testing.T, rt *rapid.T) {
	db := kv.Store(memkv.New())
	if rapid.Bool().Draw(rt, "far") { // every transaction runs twice
		db = kvtest.Far(db, 0)
	}
	h := &history{
		house: newHouseOn(t, db, mailbox.Options{Window: time.Hour, Recoverable: 1 << 20}), t: t, rt: rt,
		m:     model{boxes: make(map[mail.MailboxID]*modelBox)},
		views: make(map[mail.MailboxID]*mailbox.View), far: make(map[mail.MailboxID]*mailbox.View),
		snaps: make(map[mail.MailboxID]*mailbox.Snapshot), now: time.Now(),
	}
	h.other = mailbox.New(h.db, h.blobs, mailbox.Options{})
	defer h.other.Close()
	list, err := h.Mailboxes(t.Context())
	if err != nil {
		rt.Fatal(err)
	}
	for _, m := range list[:3] {
		h.meet(m)
	}
	steps := []func(){h.append, h.append, h.setFlags, h.setFlags, h.expunge, h.copyOrMove, h.copyOrMove, h.create, h.remove, h.purge, h.reopen}
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		steps[rapid.IntRange(0, len(steps)-1).Draw(rt, "step")]()
		h.compare()
	}
	if err := h.Verify(t.Context()); err != nil {
		rt.Fatal(err)
	}
	for _, v := range h.views {
		v.Close()
	}
	for _, v := range h.far {
		v.Close()
	}
}

// meet opens a mailbox on both nodes.
func (h *history) meet(m mailbox.Info) {
	h.m.boxes[m.ID] = &modelBox{next: m.UIDNext, entries: make(map[mail.UID]modelEntry)}
	var err error
	if h.views[m.ID], err = h.Open(h.t.Context(), m.ID); err != nil {
		h.rt.Fatal(err)
	}
	if h.far[m.ID], err = h.other.Account(1).Open(h.t.Context(), m.ID); err != nil {
		h.rt.Fatal(err)
	}
}

func (h *history) pick() mail.MailboxID {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(h.m.boxes))).Draw(h.rt, "mailbox")
}

func (h *history) pickUIDs(b *modelBox) []mail.UID {
	all := rapid.Bool().Draw(h.rt, "all")
	var list []mail.UID
	for _, uid := range b.uids() {
		if all || rapid.Bool().Draw(h.rt, "take") {
			list = append(list, uid)
		}
	}
	return append(list, b.next+1_000_000)
}

var (
	modelFlags = []mail.Flags{0, mail.Seen, mail.Deleted, mail.Seen | mail.Flagged}
	modelWords = [][]mail.Keyword{nil, {"a"}, {"b", "a"}, {"c"}}
)

func joinWords(words ...string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}

func spell(list []mail.Keyword) string {
	var words []string
	for _, k := range list {
		words = append(words, string(k))
	}
	return joinWords(words...)
}

func (h *history) append() {
	id := h.pick()
	// Few different texts, so that bodies are shared and threads meet.
	n := rapid.IntRange(0, 9).Draw(h.rt, "text")
	text := text(fmt.Sprint("s", n/5), fmt.Sprintf("Message-ID: <%d@x>\r\nReferences: <%d@x>\r\n", n, n/2))
	if n == 9 {
		text += strings.Repeat("large ", 20<<10)
	}
	body, err := blob.StageBytes(h.t.Context(), h.blobs, []byte(text))
	if err != nil {
		h.rt.Fatal(err)
	}
	defer body.Close()
	var list []mailbox.NewEntry
	for range rapid.SampledFrom([]int{1, 2, 3, 40}).Draw(h.rt, "entries") { // forty are worth a sheet
		list = append(list, mailbox.NewEntry{
			Mailbox: id, Body: body, Flags: rapid.SampledFrom(modelFlags).Draw(h.rt, "flags"),
			Keywords: rapid.SampledFrom(modelWords).Draw(h.rt, "keywords"),
			Prefix:   rapid.SampledFrom([][]byte{nil, []byte("X-Y: z\r\n")}).Draw(h.rt, "prefix"),
		})
	}
	done, err := h.Append(h.t.Context(), h.now, list...)
	if err != nil {
		h.rt.Fatal(err)
	}
	b := h.m.boxes[id]
	for i, d := range done {
		if d.UID != b.next {
			h.rt.Fatalf("uid %d, not %d", d.UID, b.next)
		}
		b.next++
		b.entries[d.UID] = modelEntry{d.Email, list[i].Flags, spell(list[i].Keywords)}
	}
}

func (h *history) setFlags() {
	id := h.pick()
	b := h.m.boxes[id]
	uids := h.pickUIDs(b)
	c := mailbox.FlagChange{
		Op:       mailbox.FlagOp(rapid.IntRange(0, 2).Draw(h.rt, "op")),
		Flags:    rapid.SampledFrom(modelFlags).Draw(h.rt, "flags"),
		Keywords: rapid.SampledFrom(modelWords).Draw(h.rt, "keywords"),
	}
	if _, err := h.SetFlags(h.t.Context(), id, uids, c); err != nil {
		h.rt.Fatal(err)
	}
	for _, uid := range uids {
		e, ok := b.entries[uid]
		if !ok {
			continue
		}
		old := strings.Fields(e.words)
		given := strings.Fields(spell(c.Keywords))
		switch c.Op {
		case mailbox.FlagsReplace:
			e.flags, e.words = c.Flags, joinWords(given...)
		case mailbox.FlagsAdd:
			e.flags, e.words = e.flags|c.Flags, joinWords(append(old, given...)...)
		case mailbox.FlagsRemove:
			e.flags = e.flags &^ c.Flags
			e.words = joinWords(slices.DeleteFunc(old, func(w string) bool { return slices.Contains(given, w) })...)
		}
		b.entries[uid] = e
	}
}

func (h *history) expunge() {
	id := h.pick()
	b := h.m.boxes[id]
	only := rapid.Bool().Draw(h.rt, "only")
	uids := h.pickUIDs(b)
	gone, _, err := h.Expunge(h.t.Context(), id, uids, mailbox.ExpungeOptions{OnlyDeleted: only})
	if err != nil {
		h.rt.Fatal(err)
	}
	var want []mail.UID
	for _, uid := range uids {
		if e, ok := b.entries[uid]; ok && (!only || e.flags.Has(mail.Deleted)) {
			want = append(want, uid)
			delete(b.entries, uid)
		}
	}
	if !slices.Equal(gone, want) {
		h.rt.Fatalf("expunged %v, not %v", gone, want)
	}
}

func (h *history) copyOrMove() {
	from, to := h.pick(), h.pick()
	src, dst := h.m.boxes[from], h.m.boxes[to]
	uids := h.pickUIDs(src)
	do, move := h.Copy, rapid.Bool().Draw(h.rt, "move")
	if move {
		do = h.Move
	}
	done, err := do(h.t.Context(), h.now, from, uids, to)
	if err != nil {
		h.rt.Fatal(err)
	}
	i := 0
	for _, uid := range uids {
		e, ok := src.entries[uid]
		if !ok {
			continue
		}
		if move {
			delete(src.entries, uid)
		}
		if done.Source[i] != uid || done.Dest[i] != dst.next {
			h.rt.Fatalf("copied %+v, want %d to %d", done, uid, dst.next)
		}
		dst.entries[dst.next] = e
		dst.next++
		i++
	}
	if i != len(done.Source) || i != len(done.Dest) {
		h.rt.Fatalf("copied %+v, of which %d are known", done, i)
	}
}

func (h *history) create() {
	h.names++
	m, err := h.CreateMailbox(h.t.Context(), fmt.Sprint("box", h.names), mailbox.CreateOptions{})
	if err != nil {
		h.rt.Fatal(err)
	}
	if m.UIDValidity <= h.m.validity {
		h.rt.Fatalf("validity %d after %d", m.UIDValidity, h.m.validity)
	}
	h.m.validity = m.UIDValidity
	h.meet(m)
}

func (h *history) remove() {
	id := h.pick()
	if id <= 6 {
		return
	}
	m, err := h.MailboxByID(h.t.Context(), id)
	if err == nil {
		err = h.DeleteMailbox(h.t.Context(), m.Name)
	}
	if err != nil {
		h.rt.Fatal(err)
	}
	if !h.views[id].Snapshot().Gone() {
		h.rt.Fatal("view is not gone")
	}
	h.views[id].Close()
	h.far[id].Close()
	delete(h.views, id)
	delete(h.far, id)
	delete(h.snaps, id)
	delete(h.m.boxes, id)
}

// purge lets time pass, sometimes more than the window.
func (h *history) purge() {
	if rapid.Bool().Draw(h.rt, "later") {
		h.now = h.now.Add(2 * time.Hour)
	}
	if _, err := h.Purge(h.t.Context(), h.now, rapid.IntRange(1, 50).Draw(h.rt, "limit")); err != nil {
		h.rt.Fatal(err)
	}
	if err := h.Verify(h.t.Context()); err != nil {
		h.rt.Fatal(err)
	}
}

// reopen closes a view, which rests, and opens it again.
func (h *history) reopen() {
	id := h.pick()
	h.views[id].Close()
	var err error
	if h.views[id], err = h.Open(h.t.Context(), id); err != nil {
		h.rt.Fatal(err)
	}
}

func (h *history) compare() {
	for id, b := range h.m.boxes {
		s := h.views[id].Snapshot()
		consistent(h.t, s)
		h.compareBox(h.Account, s, b)
		if old := h.snaps[id]; old != nil {
			checkDiff(h.t, old, s)
		}
		h.snaps[id] = s
		// The other node learns of it a little later.
		far := h.far[id]
		for deadline := time.Now().Add(10 * time.Second); far.Snapshot().Info().HighestModSeq < s.Info().HighestModSeq; {
			if time.Now().After(deadline) {
				h.rt.Fatal("the other node's view stays behind")
			}
			time.Sleep(50 * time.Microsecond)
		}
		consistent(h.t, far.Snapshot())
		h.compareBox(h.other.Account(1), far.Snapshot(), b)
	}
}

func (h *history) compareBox(a *mailbox.Account, s *mailbox.Snapshot, b *modelBox) {
	if s.Len() != len(b.entries) || s.Info().UIDNext != b.next {
		h.rt.Fatalf("%d entries and next %d, not %d and %d", s.Len(), s.Info().UIDNext, len(b.entries), b.next)
	}
	unseen, deleted := 0, 0
	for _, e := range s.Entries(0) {
		want, ok := b.entries[e.UID]
		if got := (modelEntry{e.Email, e.Flags, spell(a.Keywords(e.Keywords))}); !ok || got != want {
			h.rt.Fatalf("entry %d is %+v, not %+v", e.UID, got, want)
		}
		if !e.Flags.Has(mail.Seen) {
			unseen++
		}
		if e.Flags.Has(mail.Deleted) {
			deleted++
		}
	}
	if i := s.Info(); i.Unseen != unseen || i.Deleted != deleted {
		h.rt.Fatalf("info is %+v, counted %d unseen, %d deleted", i, unseen, deleted)
	}
}
