package imap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// Many sessions append, store, expunge, move, copy and rename at once. Each
// keeps a picture of its mailbox by what it is told alone, and says what RFC
// 9051 does not permit: numbers that do not exist, messages that go while
// numbers are in use, UIDs that change or fall. At the end, when all is still,
// every picture is what is there.
//
// WAXWING_SESSIONS says how many commands each session gives, for longer runs.
func TestManySessions(t *testing.T) {
	commands := 120
	if testing.Short() {
		commands = 40
	}
	if n, err := strconv.Atoi(os.Getenv("WAXWING_SESSIONS")); err == nil && n > 0 {
		commands = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("WAXWING_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("WAXWING_SEED=%d", seed)
	h := newHouse(t, mailbox.Options{})
	addr := h.listen()
	setup := h.dial(addr)
	setup.ok("CREATE Work")
	setup.ok("SETACL INBOX bob lrswipkxte")
	setup.ok("SETACL Work bob lrswipkxte")

	kinds := []worker{
		{login: "alice"}, {login: "alice", uids: true}, {login: "alice", qresync: true}, {login: "alice", renames: true},
		{login: "alice", rev2: true}, {login: "bob", prefix: "Other Users/alice@example.test/"},
	}
	var group sync.WaitGroup
	for i := range kinds {
		w := &kinds[i]
		w.name = fmt.Sprintf("%d (%s)", i, w.login)
		w.random = rand.New(rand.NewPCG(seed, uint64(i)))
		group.Go(func() { w.run(addr, commands) })
	}
	group.Wait()
	for i := range kinds {
		w := &kinds[i]
		if w.err == nil {
			w.err = w.settle()
		}
		if w.conn != nil {
			defer w.conn.Close() //nolint:errcheck // it has been used up
		}
		if w.err != nil {
			t.Errorf("session %s: %v\nthe last lines:\n%s", w.name, w.err, strings.Join(w.log, "\n"))
		}
	}
	h.must(h.mailboxes.Account(h.accounts["alice"]).Verify(t.Context()))
}

// A worker is one session with its picture of the mailbox.
type worker struct {
	login, prefix                string
	uids, qresync, rev2, renames bool

	name   string
	random *rand.Rand
	conn   net.Conn
	client *client
	tag    int
	log    []string
	err    error

	selected bool
	box      string
	seen     []told   // the picture
	top      mail.UID // the highest UID that was ever told
}

// A told is what a session knows of one message.
type told struct {
	uid   mail.UID // zero until it is told
	flags string   // as they are told, sorted; empty until then
}

const manyTimeout = 2 * time.Minute

func (w *worker) run(addr string, commands int) {
	w.conn, w.err = (&net.Dialer{}).DialContext(context.Background(), "tcp", addr)
	if w.err != nil {
		return
	}
	if w.err = w.conn.SetDeadline(time.Now().Add(manyTimeout + time.Duration(commands)*time.Second)); w.err != nil {
		return
	}
	w.client = &client{conn: w.conn}
	if _, w.err = w.readLine(); w.err != nil {
		return
	}
	if w.err = w.must("LOGIN " + w.login + " waxwing"); w.err != nil {
		return
	}
	if w.qresync {
		w.err = w.must("ENABLE QRESYNC")
	} else if w.rev2 {
		w.err = w.must("ENABLE IMAP4rev2")
	}
	for i := 0; i < commands && w.err == nil; i++ {
		w.err = w.step()
	}
}

// step gives one command.
func (w *worker) step() error {
	if !w.selected {
		return w.choose()
	}
	r := w.random.IntN(100)
	switch {
	case r < 20:
		return w.append()
	case r < 40:
		return w.store()
	case r < 55:
		return w.fetch()
	case r < 62:
		return w.try("EXPUNGE", true)
	case r < 72:
		return w.transfer()
	case r < 80:
		return w.try("NOOP", true)
	case r < 86:
		return w.idle()
	case r < 92:
		return w.search()
	case r < 95 && w.renames:
		return w.rename()
	case r < 97:
		w.selected = false
		return w.try([]string{"CLOSE", "UNSELECT"}[w.random.IntN(2)], false)
	}
	return w.try("UID EXPUNGE "+w.someUIDs(), true)
}

// choose opens a mailbox, one of which may have another name by now.
func (w *worker) choose() error {
	w.seen = nil
	w.box = []string{"INBOX", "INBOX", "Work", "Job"}[w.random.IntN(4)]
	w.top = 0
	_, answer, err := w.do(`SELECT "`+w.prefix+w.box+`"`, true)
	if err != nil {
		return err
	}
	w.selected = strings.HasPrefix(answer, "OK")
	if !w.selected && !strings.Contains(answer, "[NONEXISTENT]") {
		return fmt.Errorf("SELECT: %s", answer)
	}
	if !w.selected {
		w.seen = nil
		return nil
	}
	return w.learn()
}

// learn asks for the UIDs and flags of all that is known to be there.
func (w *worker) learn() error {
	if len(w.seen) == 0 {
		return nil
	}
	return w.try("FETCH 1:* (UID FLAGS)", false)
}

func (w *worker) append() error {
	flags := []string{"", `(\Seen) `, `(\Deleted) `, `(\Flagged key) `}[w.random.IntN(4)]
	text := short(w.random.IntN(1 << 30))
	box := []string{"INBOX", "Work"}[w.random.IntN(2)]
	return w.try(fmt.Sprintf("APPEND \"%s%s\" %s{%d+}\r\n%s", w.prefix, box, flags, len(text), text), true)
}

func (w *worker) store() error {
	if len(w.seen) == 0 {
		return nil
	}
	flag := []string{`\Seen`, `\Deleted`, `\Flagged`, "key"}[w.random.IntN(4)]
	op := []string{"+", "-"}[w.random.IntN(2)]
	silent := w.random.IntN(2) == 0
	from, to := w.span()
	item := op + "FLAGS"
	if silent {
		// What comes of it as expected is not told.
		item += ".SILENT"
		for i := from; i <= to; i++ {
			w.seen[i-1].flags = changed(w.seen[i-1].flags, op, flag)
		}
	}
	if w.uids && w.seen[from-1].uid > 0 && w.seen[to-1].uid > 0 {
		return w.try(fmt.Sprintf("UID STORE %d:%d %s (%s)", w.seen[from-1].uid, w.seen[to-1].uid, item, flag), true)
	}
	return w.try(fmt.Sprintf("STORE %d:%d %s (%s)", from, to, item, flag), false)
}

// changed gives flags after a change.
func changed(flags, op, flag string) string {
	if flags == "" {
		return "" // they are not known
	}
	list := strings.Fields(strings.Trim(flags, "()"))
	list = slices.DeleteFunc(list, func(f string) bool { return f == flag })
	if op == "+" {
		list = append(list, flag)
	}
	return sortedFlags(list)
}

func sortedFlags(list []string) string {
	list = slices.DeleteFunc(slices.Clone(list), func(f string) bool { return f == `\Recent` })
	slices.Sort(list)
	return "(" + strings.Join(list, " ") + ")"
}

// span gives some numbers of messages that are there.
func (w *worker) span() (from, to int) {
	from = 1 + w.random.IntN(len(w.seen))
	return from, min(len(w.seen), from+w.random.IntN(5))
}

func (w *worker) fetch() error {
	if len(w.seen) == 0 {
		return nil
	}
	from, to := w.span()
	if w.uids {
		return w.try(fmt.Sprintf("UID FETCH %d:* (FLAGS)", max(w.top, 1)), true)
	}
	return w.try(fmt.Sprintf("FETCH %d:%d (UID FLAGS)", from, to), false)
}

// someUIDs gives UIDs, whether or not they are there.
func (w *worker) someUIDs() string {
	n := 1 + w.random.IntN(int(w.top)+1)
	return fmt.Sprintf("%d:%d", n, n+w.random.IntN(4))
}

func (w *worker) transfer() error {
	word := []string{"COPY", "MOVE"}[w.random.IntN(2)]
	to := []string{"INBOX", "Work", "Job"}[w.random.IntN(3)]
	if w.uids || len(w.seen) == 0 {
		return w.try(fmt.Sprintf("UID %s %s \"%s%s\"", word, w.someUIDs(), w.prefix, to), true)
	}
	from, _ := w.span()
	// EXPUNGE may be told during COPY and MOVE. RFC 9051 §7.5.1
	return w.try(fmt.Sprintf("%s %d \"%s%s\"", word, from, w.prefix, to), true)
}

func (w *worker) search() error {
	if w.uids {
		return w.try("UID SEARCH UNDELETED", true)
	}
	return w.try("SEARCH UNDELETED", false)
}

func (w *worker) rename() error {
	from, to := "Work", "Job"
	if w.random.IntN(2) == 0 {
		from, to = to, from
	}
	if err := w.try("RENAME "+from+" "+to, true); err != nil {
		return err
	}
	return nil
}

// idle waits for nothing: what has happened is told at once.
func (w *worker) idle() error {
	w.tag++
	tag := "m" + strconv.Itoa(w.tag)
	if err := w.send(tag + " IDLE\r\n"); err != nil {
		return err
	}
	for {
		line, err := w.readLine()
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "+") {
			break
		}
		if err := w.take(line, true); err != nil {
			return err
		}
	}
	if err := w.send("DONE\r\n"); err != nil {
		return err
	}
	for {
		line, err := w.readLine()
		if err != nil || strings.HasPrefix(line, tag+" OK") {
			return err
		}
		if err := w.take(line, true); err != nil {
			return err
		}
	}
}

// settle compares the picture with what is there, once nobody changes it.
func (w *worker) settle() error {
	if !w.selected {
		return nil
	}
	if err := w.must("NOOP"); err != nil {
		return err
	}
	picture := slices.Clone(w.seen)
	w.seen = make([]told, len(picture))
	if err := w.learn(); err != nil {
		return err
	}
	if len(w.seen) != len(picture) {
		return fmt.Errorf("%d messages were told, and there are %d", len(picture), len(w.seen))
	}
	for i, m := range picture {
		now := w.seen[i]
		if m.uid != 0 && m.uid != now.uid || m.flags != "" && m.flags != now.flags || now.uid == 0 {
			return fmt.Errorf("message %d was told as %v, and is %v", i+1, m, now)
		}
	}
	return nil
}
