//go:build bench

package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waxwing/serve/adminapi"
	"waxwing/test/system"
)

// users is how many accounts the load is spread over.
const users = 64

func user(i int) string { return fmt.Sprintf("user%02d@example.test", i%users) }

// password is every user's.
const password = "waxwing-bench"

// A peer is a mail system under measurement.
type peer struct {
	name string
	smtp string // address that takes mail for user(i)
	imap string
	pids func() []int
}

// waxwing is the built program with all users, who have logged in once.
func waxwing(t *testing.T) (peer, *system.Waxwing) {
	t.Helper()
	w := system.Start(t)
	admin := adminapi.NewClient(w.Dir)
	for i := range users {
		if _, err := admin.AddAccount(t.Context(), adminapi.NewAccount{Address: user(i), Password: password}); err != nil {
			t.Fatal(err)
		}
	}
	p := peer{"Waxwing", w.Addr(25), w.Addr(143), func() []int { return []int{w.PID()} }}
	p.loginAll(t)
	return p, w
}

// dovecot is Debian's Dovecot, whose users have logged in once.
func dovecot(t *testing.T, location string) (peer, *system.Dovecot) {
	t.Helper()
	d := system.StartDovecot(t, location)
	format, _, _ := strings.Cut(location, ":")
	p := peer{name: "Dovecot " + format, imap: d.IMAP, pids: func() []int { return tree(d.PID()) }}
	p.loginAll(t)
	return p, d
}

// postfixDovecot is Debian's Postfix handing to Debian's Dovecot by LMTP.
// By default Postfix slows the sender down while more mail comes in than goes
// out (in_flow_delay), and begins with few deliveries at once; here it may go
// as fast as it can.
func postfixDovecot(t *testing.T, location string) peer {
	t.Helper()
	p, d := dovecot(t, location)
	postfix := system.NewPostfix(t, fmt.Sprintf(`myhostname = mx.example.test
virtual_mailbox_domains = example.test
virtual_mailbox_maps = static:any
virtual_transport = lmtp:unix:%s
message_size_limit = 60000000
default_process_limit = 200
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
initial_destination_concurrency = 20
lmtp_destination_concurrency_limit = 20
lmtp_destination_recipient_limit = 1
`, d.LMTP))
	postfix.Start()
	p.name, p.smtp = "Postfix + "+p.name, postfix.Addr()
	return p
}

func (p peer) dial(t *testing.T, i int) *imapClient {
	t.Helper()
	c, err := dialIMAP(p.imap, user(i), password, 256<<10)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return c
}

// loginAll has every user log in, so that no measurement meets the first
// login of an account.
func (p peer) loginAll(t *testing.T) {
	t.Helper()
	for i := range users {
		p.dial(t, i).close()
	}
}

// An inboxes watches how many messages the users have, on connections that
// stay open, so that looking costs the server next to nothing.
type inboxes []*imapClient

func (p peer) inboxes(t *testing.T) inboxes {
	t.Helper()
	all := make(inboxes, users)
	for i := range all {
		all[i] = p.dial(t, i)
	}
	return all
}

func (all inboxes) close() {
	for _, c := range all {
		c.close()
	}
}

// wait waits until the users together have so many messages.
func (all inboxes) wait(total int) error {
	for deadline := time.Now().Add(5 * time.Minute); ; {
		n := 0
		for _, c := range all {
			m, err := c.messages("INBOX")
			if err != nil {
				return err
			}
			n += m
		}
		switch {
		case n == total:
			return nil
		case n > total:
			return fmt.Errorf("%d messages were sent, %d are there", total, n)
		case time.Now().After(deadline):
			return errors.New("messages are missing")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// settle waits until the peer has nothing left to do, so that what one
// measurement has left behind does not weigh on the next.
func (p peer) settle() {
	unix.Sync()
	for before, quiet := p.ticks(), 0; quiet < 2; {
		time.Sleep(500 * time.Millisecond)
		now := p.ticks()
		if quiet++; now-before > 3 {
			quiet = 0
		}
		before = now
	}
	unix.Sync()
}

// ticks gives the processor time of the peer in hundredths of a second.
func (p peer) ticks() int {
	total := 0
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		_, after, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(after); len(f) > 14 {
			for _, field := range f[11:13] { // utime and stime, proc(5)
				n, _ := strconv.Atoi(field)
				total += n
			}
		}
	}
	return total
}

// pss gives the proportional set size of the peer's processes in KiB.
func (p peer) pss() int {
	total := 0
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		for line := range strings.Lines(string(text)) {
			var n int
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
				total += n
			}
		}
	}
	return total
}

// tree gives a process and all below it.
func tree(pid int) []int {
	out, err := exec.Command("ps", "-e", "-o", "pid=,ppid=").Output()
	if err != nil {
		return []int{pid}
	}
	children := map[int][]int{}
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err == nil {
			children[parent] = append(children[parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// together runs fn for 0 to n-1 at the same time and gives one error.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
