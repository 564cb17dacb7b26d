package mailbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/kv"
	"waxwing/store/kv/kvtest"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// TestChaos has two nodes do anything at all to one account, alone and at the
// same time, in an engine that fails now and then and does not always say
// whether it has committed, while time passes and nodes are started again.
// After each step the check finds nothing, open mailboxes show what is there,
// no UID means two messages, and every message can be read.
//
// WAXWING_CHAOS is how many histories there are, WAXWING_CHAOS_SEED the first.
func TestChaos(t *testing.T) {
	n, seed := 12, uint64(1)
	if s := os.Getenv("WAXWING_CHAOS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("WAXWING_CHAOS_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	for ; n > 0; n, seed = n-1, seed+1 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newChaos(t, seed).run(60) })
		})
		if t.Failed() {
			return
		}
	}
}

type chaos struct {
	t     *testing.T
	rnd   *rand.Rand
	db    kv.Store // as it is
	shaky *shaky   // as the nodes have it
	blobs *memblob.Store
	nodes [2]*chaosNode
	began time.Time
	seen  map[chaosUID]mail.EmailID
	trail []string

	mu    sync.Mutex // guards what follows
	names []string   // that there have been
	stale []mailbox.Lost
	texts map[string]bool
}

type chaosUID struct {
	mailbox  mail.MailboxID
	validity mail.UIDValidity
	uid      mail.UID
}

type chaosNode struct {
	*mailbox.Store
	views map[mail.MailboxID]*mailbox.View
	last  map[mail.MailboxID]mailbox.Info
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		t: t, rnd: rand.New(rand.NewPCG(seed, 7)), db: memkv.New(), blobs: memblob.New(0), began: time.Now(),
		seen: make(map[chaosUID]mail.EmailID), texts: make(map[string]bool),
	}
	inner := c.db
	if seed%3 == 0 { // functions run twice
		inner = kvtest.Far(inner, 0)
	}
	c.shaky = &shaky{Store: inner, rnd: rand.New(rand.NewPCG(seed, 8))}
	for i := range c.nodes {
		c.start(i)
	}
	if err := c.nodes[0].Create(t.Context(), 1, time.Now(), mailbox.AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	c.names = []string{"INBOX", "INBOX", "Sent", "Trash", "a", "a/b", "a/b/c", "x", "y", "z/z", "r1", "r2"}
	for _, name := range c.names[4:] {
		if _, err := c.nodes[0].Account(1).CreateMailbox(t.Context(), name, mailbox.CreateOptions{}); err != nil && !errors.Is(err, mailbox.ErrExists) {
			t.Fatal(err)
		}
	}
	return c
}

func (c *chaos) start(i int) {
	o := mailbox.Options{Window: 2 * time.Hour, Recoverable: 200 << 10, MaxChanges: 300, Shared: true, Resting: 300}
	c.nodes[i] = &chaosNode{mailbox.New(c.shaky, c.blobs, o), make(map[mail.MailboxID]*mailbox.View), make(map[mail.MailboxID]mailbox.Info)}
}

func (c *chaos) stop(i int) {
	n := c.nodes[i]
	for _, v := range n.views {
		v.Close()
	}
	if err := n.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *chaos) run(steps int) {
	defer func() {
		if c.t.Failed() {
			c.t.Logf("steps:\n%s", strings.Join(c.trail, "\n"))
		}
		for i := range c.nodes {
			c.stop(i)
		}
		if err := c.db.Close(); err != nil {
			c.t.Error(err)
		}
	}()
	for range steps {
		c.shaky.set(0)
		if c.rnd.IntN(3) == 0 {
			c.shaky.set(0.15)
		}
		switch k := c.rnd.IntN(20); {
		case k == 0:
			i := c.rnd.IntN(2)
			c.trail = append(c.trail, fmt.Sprint("restart ", i))
			c.stop(i)
			c.start(i)
		case k < 4:
			time.Sleep(time.Duration(c.rnd.IntN(100)) * time.Minute)
		case k < 10:
			c.together(2 + c.rnd.IntN(4))
		default:
			c.act(c.rnd.IntN(2), c.rnd.Uint64())
		}
		if c.check(); c.t.Failed() {
			return
		}
	}
}

// together has several act at a time.
func (c *chaos) together(n int) {
	var wg sync.WaitGroup
	c.trail = append(c.trail, "together {")
	for range n {
		node, seed := c.rnd.IntN(2), c.rnd.Uint64()
		wg.Go(func() { c.act(node, seed) })
	}
	wg.Wait()
	c.trail = append(c.trail, "}")
}

var chaosExpected = []error{
	errShaky, mailbox.ErrNoMailbox, mailbox.ErrExists, mailbox.ErrName, mailbox.ErrHasChildren, mailbox.ErrInboxDelete,
	mailbox.ErrNoMessage, mailbox.ErrTooOld, mailbox.ErrLocked,
}

// act does one thing on a node.
func (c *chaos) act(node int, seed uint64) {
	a := &chaosActor{chaos: c, n: c.nodes[node], a: c.nodes[node].Account(1), rnd: rand.New(rand.NewPCG(seed, 9)), ctx: c.t.Context()}
	acts := []struct {
		name string
		do   func() error
	}{
		{"append", a.append}, {"append", a.append}, {"append", a.append}, {"append", a.append}, {"append", a.append}, {"append", a.append}, {"flags", a.flags}, {"flags", a.flags},
		{"transfer", a.transfer}, {"transfer", a.transfer}, {"transfer", a.transfer}, {"expunge", a.expunge}, {"expunge", a.expunge},
		{"expungeAll", a.expungeAll}, {"create", a.create}, {"create", a.create}, {"delete", a.remove},
		{"rename", a.rename}, {"subscribe", a.subscribe}, {"recover", a.recover}, {"recoverMailbox", a.recoverMailbox},
		{"restore", a.restore}, {"restore", a.restore}, {"purge", a.purge}, {"purgeAll", a.purgeAll}, {"repair", a.repair},
		{"list", a.list},
	}
	k := acts[a.rnd.IntN(len(acts))]
	err := k.do()
	c.mu.Lock()
	c.trail = append(c.trail, fmt.Sprintf("%v %d %s %s: %v", time.Since(c.began), node, k.name, a.what, err))
	c.mu.Unlock()
	if err != nil && strings.Contains(err.Error(), "body is being deleted") {
		return // by somebody whose connection was lost meanwhile: for two minutes
	}
	if err != nil && !slices.ContainsFunc(chaosExpected, func(e error) bool { return errors.Is(err, e) }) {
		c.t.Errorf("%s %s: %v", k.name, a.what, err)
	}
}

type chaosActor struct {
	*chaos
	n    *chaosNode
	a    *mailbox.Account
	rnd  *rand.Rand
	ctx  context.Context
	what string
}

func (a *chaosActor) name() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[a.rnd.IntN(len(a.names))]
}

// box gives a mailbox with some of its UIDs, and one that is not there.
func (a *chaosActor) box() (mailbox.Info, []mail.UID, error) {
	m, err := a.a.Mailbox(a.ctx, a.name())
	if err != nil {
		return m, nil, err
	}
	all := a.rnd.IntN(3) == 0
	var uids []mail.UID
	for uid := mail.UID(1); uid < m.UIDNext+1; uid++ {
		if all || a.rnd.IntN(3) == 0 {
			uids = append(uids, uid)
		}
	}
	return m, uids, nil
}

func (a *chaosActor) append() error {
	m, _, err := a.box()
	if err != nil {
		return err
	}
	var list []mailbox.NewEntry
	for range 1 + a.rnd.IntN(3) {
		n := a.rnd.IntN(12)
		body := text(fmt.Sprint("s", n/4), fmt.Sprintf("Message-ID: <%d@x>\r\nReferences: <%d@x>\r\n", n, n/2))
		if n >= 10 {
			body += strings.Repeat(fmt.Sprint("large ", n), 20<<10)
		}
		b, err := blob.StageBytes(a.ctx, a.blobs, []byte(body))
		if err != nil {
			return err
		}
		defer b.Close()
		e := mailbox.NewEntry{Mailbox: m.ID, Body: b, Flags: mail.Flags(a.rnd.IntN(16)), Keywords: a.words()}
		switch a.rnd.IntN(5) {
		case 0:
			e.Token = fmt.Sprint("token", a.rnd.IntN(5))
		case 1:
			e.Origin = &mailbox.Origin{Item: fmt.Sprint("item", a.rnd.IntN(5))}
		case 2:
			e.Prefix = []byte("Delivered-To: me\r\n")
		}
		list = append(list, e)
		a.mu.Lock()
		a.texts[string(e.Prefix)+body] = true
		a.mu.Unlock()
	}
	a.what = fmt.Sprint(len(list), " to ", m.Name)
	_, err = a.a.Append(a.ctx, time.Now(), list...)
	return err
}

func (a *chaosActor) words() []mail.Keyword {
	var list []mail.Keyword
	for range a.rnd.IntN(3) {
		list = append(list, mail.Keyword(fmt.Sprint("k", a.rnd.IntN(8))))
	}
	return list
}

func (a *chaosActor) flags() error {
	m, uids, err := a.box()
	if err != nil {
		return err
	}
	c := mailbox.FlagChange{Op: mailbox.FlagOp(a.rnd.IntN(3)), Flags: mail.Flags(a.rnd.IntN(16)), Keywords: a.words()}
	if a.rnd.IntN(3) == 0 {
		since := m.HighestModSeq - min(m.HighestModSeq, mail.ModSeq(a.rnd.IntN(5)))
		c.UnchangedSince = &since
	}
	a.what = fmt.Sprint(m.Name, uids, c)
	_, err = a.a.SetFlags(a.ctx, m.ID, uids, c)
	return err
}

func (a *chaosActor) transfer() error {
	m, uids, err := a.box()
	if err != nil {
		return err
	}
	to, _, err := a.box()
	if err != nil {
		return err
	}
	move := a.rnd.IntN(2) == 0
	a.what = fmt.Sprint(m.Name, uids, " to ", to.Name, " ", move)
	if move {
		_, err = a.a.Move(a.ctx, time.Now(), m.ID, uids, to.ID)
		return err
	}
	if len(uids) > 4 {
		uids = uids[:4]
	}
	_, err = a.a.Copy(a.ctx, time.Now(), m.ID, uids, to.ID)
	return err
}

func (a *chaosActor) expunge() error {
	m, uids, err := a.box()
	if err != nil {
		return err
	}
	a.what = fmt.Sprint(m.Name, uids)
	_, _, err = a.a.Expunge(a.ctx, m.ID, uids, mailbox.ExpungeOptions{OnlyDeleted: a.rnd.IntN(2) == 0})
	return err
}

func (a *chaosActor) expungeAll() error {
	lock, err := a.a.LockMaildrop(a.ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	m, uids, err := a.box()
	if err != nil {
		return err
	}
	a.what = fmt.Sprint(m.Name, uids)
	return a.a.ExpungeAll(a.ctx, m.ID, uids)
}

func (a *chaosActor) create() error {
	a.what = a.name()
	_, err := a.a.CreateMailbox(a.ctx, a.what, mailbox.CreateOptions{})
	return err
}

func (a *chaosActor) remove() error {
	a.what = a.name()
	return a.a.DeleteMailbox(a.ctx, a.what)
}

func (a *chaosActor) rename() error {
	from, to := a.name(), a.name()
	if a.rnd.IntN(3) == 0 {
		to = fmt.Sprint("r", a.rnd.IntN(6))
		a.mu.Lock()
		a.names = append(a.names, to)
		a.mu.Unlock()
	}
	a.what = from + " to " + to
	return a.a.RenameMailbox(a.ctx, from, to)
}

func (a *chaosActor) subscribe() error {
	a.what = a.name()
	return a.a.Subscribe(a.ctx, a.what, a.rnd.IntN(2) == 0)
}

// list looks at what is lost, and may use that much later.
func (a *chaosActor) list() error {
	var list []mailbox.Lost
	for l, err := range a.a.Lost(a.ctx, mailbox.LostOptions{}) {
		if err != nil {
			return err
		}
		if a.rnd.IntN(2) == 0 {
			list = append(list, l)
		}
	}
	a.mu.Lock()
	a.stale = list
	a.mu.Unlock()
	a.what = fmt.Sprint(len(list))
	return nil
}

func (a *chaosActor) recover() error {
	m, _, err := a.box()
	if err != nil {
		return err
	}
	if a.rnd.IntN(2) == 0 {
		if err := a.list(); err != nil {
			return err
		}
	}
	a.mu.Lock()
	list := a.stale
	a.mu.Unlock()
	a.what = fmt.Sprint(len(list), " to ", m.Name)
	_, err = a.a.Recover(a.ctx, time.Now(), list, m.ID)
	return err
}

func (a *chaosActor) recoverMailbox() error {
	list, err := a.a.LostMailboxes(a.ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	m := list[a.rnd.IntN(len(list))]
	name := a.name()
	a.what = fmt.Sprint(m.ID, m.Name, " as ", name)
	_, err = a.a.RecoverMailbox(a.ctx, m.ID, name)
	return err
}

func (a *chaosActor) restore() error {
	when := time.Now().Add(-time.Duration(a.rnd.IntN(150)) * time.Minute)
	o := mailbox.RestoreOptions{Since: when, DryRun: a.rnd.IntN(4) == 0}
	if a.rnd.IntN(2) == 0 {
		o.Since, o.At, o.Flags = time.Time{}, when, a.rnd.IntN(2) == 0
	}
	switch a.rnd.IntN(4) {
	case 0:
		o.Mailbox = a.name()
	case 1:
		o.Into = "back"
	case 2:
		o.Message = fmt.Sprintf("<%d@x>", a.rnd.IntN(12))
	}
	done, err := a.a.Restore(a.ctx, time.Now(), o)
	a.what = fmt.Sprintf("%+v: %+v", o, done)
	return err
}

func (a *chaosActor) purge() error {
	_, err := a.a.Purge(a.ctx, time.Now(), 1+a.rnd.IntN(60))
	return err
}

func (a *chaosActor) purgeAll() error { return a.n.Purge(a.ctx, time.Now()) }

func (a *chaosActor) repair() error {
	return a.a.Check(a.ctx, mailbox.CheckOptions{Repair: true, Deep: true}, func(f mailbox.Finding) {
		a.chaos.t.Errorf("to be repaired: %+v", f)
	})
}

// check compares everything with everything.
func (c *chaos) check() {
	t, ctx := c.t, c.t.Context()
	c.shaky.set(0)
	synctest.Wait()
	fresh := mailbox.New(c.db, c.blobs, mailbox.Options{})
	defer fresh.Close()
	a := fresh.Account(1)
	if err := a.Verify(ctx); err != nil {
		t.Errorf("verify: %v", err)
		return
	}
	list, err := a.Mailboxes(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	live := make(map[mail.MailboxID]*mailbox.Snapshot)
	for _, m := range list {
		if m.NoSelect {
			continue
		}
		v, err := a.Open(ctx, m.ID)
		if err != nil {
			t.Error(err)
			return
		}
		s := v.Snapshot()
		live[m.ID] = s
		v.Close()
		for _, e := range s.Entries(0) {
			key := chaosUID{m.ID, m.UIDValidity, e.UID}
			if was, known := c.seen[key]; known && was != e.Email {
				t.Errorf("%+v has been %v and is %v", key, was, e.Email)
			}
			c.seen[key] = e.Email
			if c.rnd.IntN(10) == 0 {
				c.read(a, e)
			}
		}
	}
	for i, n := range c.nodes {
		for id, v := range n.views {
			c.compare(i, id, v, live[id], a)
			if v.Snapshot().Gone() || c.rnd.IntN(8) == 0 {
				v.Close()
				delete(n.views, id)
				delete(n.last, id)
			}
		}
		for id := range live {
			if n.views[id] == nil && c.rnd.IntN(2) == 0 {
				v, err := n.Account(1).Open(ctx, id)
				if err != nil {
					t.Error(err)
					return
				}
				n.views[id] = v
				c.compare(i, id, v, live[id], a)
			}
		}
	}
}

func (c *chaos) read(a *mailbox.Account, e mailbox.Entry) {
	b, err := a.OpenMessage(c.t.Context(), e.Email)
	if err != nil {
		c.t.Errorf("message %v: %v", e.Email, err)
		return
	}
	defer b.Close()
	whole, err := io.ReadAll(io.NewSectionReader(b, 0, int64(b.Size())))
	if err != nil || !c.texts[string(whole)] {
		c.t.Errorf("message %v is %.200q, %v", e.Email, whole, err)
	}
}

func (c *chaos) compare(node int, id mail.MailboxID, v *mailbox.View, want *mailbox.Snapshot, a *mailbox.Account) {
	s := v.Snapshot()
	switch {
	case s.Gone(): // for good, also when it has come back since
		return
	case want == nil:
		c.t.Errorf("mailbox %v is gone, and not on node %d", id, node)
		return
	}
	n := c.nodes[node]
	consistent(c.t, s)
	if last, known := n.last[id]; known && (s.Info().HighestModSeq < last.HighestModSeq || s.Info().UIDNext < last.UIDNext) {
		c.t.Errorf("mailbox %v on node %d goes from %+v back to %+v", id, node, last, s.Info())
	}
	n.last[id] = s.Info()
	if s.Info() != want.Info() {
		c.t.Errorf("node %d has %+v, not %+v", node, s.Info(), want.Info())
	}
	if x, y := entries(n.Account(1), s), entries(a, want); !slices.Equal(x, y) {
		c.t.Errorf("mailbox %v on node %d is\n%s\nnot\n%s", id, node, strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
}

// errShaky says nothing about whether the transaction was committed.
var errShaky = errors.New("connection lost")

// A shaky engine loses connections: before a commit, or its answer.
type shaky struct {
	kv.Store
	mu   sync.Mutex // guards what follows
	rnd  *rand.Rand
	rate float64
}

func (s *shaky) set(rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate = rate
}

func (s *shaky) draw() (before, after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.rnd.Float64()
	return x < s.rate/2, x < s.rate
}

func (s *shaky) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	before, after := s.draw()
	c, err := s.Store.Update(ctx, p, func(tx kv.Txn) error {
		if err := fn(tx); err != nil || !before {
			return err
		}
		return errShaky
	})
	if err == nil && after {
		err = errShaky
	}
	return c, err
}
