//go:build bench

package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

const (
	users           = 64
	mailboxMessages = 20_000
	idleConnections = 1000
)

// A peer is a mail system under measurement.
type peer struct {
	name string
	smtp string // address that takes mail for user(i)
	imap string
	user func(i int) string
	pids func() []int
}

// password is every user's.
const password = system.Password

func waxwing(t *testing.T) (peer, *system.Waxwing) {
	w := system.Start(t)
	for i := range users {
		cmd := exec.Command(system.Binary(t), "account", "add", user(i), "--password-stdin", "--dir", w.Dir)
		cmd.Stdin = strings.NewReader(password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("account add: %v\n%s", err, out)
		}
	}
	return peer{"Waxwing", w.Addr(25), w.Addr(143), user, func() []int { return []int{w.PID()} }}, w
}

// postfixDovecot is Debian's Postfix handing to Debian's Dovecot by LMTP.
func postfixDovecot(t *testing.T, location string) peer {
	d := system.StartDovecot(t, location)
	p := system.NewPostfix(t, fmt.Sprintf(`myhostname = mx.example.test
virtual_mailbox_domains = example.test
virtual_mailbox_maps = static:any
virtual_transport = lmtp:unix:%s
message_size_limit = 60000000
default_process_limit = 200
smtpd_client_connection_count_limit = 0
lmtp_destination_concurrency_limit = 20
lmtp_destination_recipient_limit = 1
`, d.LMTP))
	p.Start()
	format, _, _ := strings.Cut(location, ":")
	return peer{"Postfix + Dovecot " + format, p.Addr(), d.IMAP, user, func() []int { return tree(d.PID()) }}
}

func user(i int) string { return fmt.Sprintf("user%02d@example.test", i%users) }

// tree gives a process and all below it.
func tree(pid int) []int {
	all := []int{pid}
	out, err := exec.Command("pgrep", "-P", fmt.Sprint(pid)).Output()
	if err != nil {
		return all
	}
	for _, f := range strings.Fields(string(out)) {
		var child int
		if _, err := fmt.Sscan(f, &child); err == nil {
			all = append(all, tree(child)...)
		}
	}
	return all
}

// delivered gives how many messages all users have.
func (p peer) delivered(t *testing.T) int {
	t.Helper()
	n := 0
	for i := range users {
		c, err := dialIMAP(p.imap, p.user(i), password)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.messages("INBOX")
		c.close()
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return n
}

// deliver measures messages per second from the first MAIL until the last one
// is in its mailbox.
func (p peer) deliver(t *testing.T, connections, messages, size int) (perSecond float64, answered rate) {
	t.Helper()
	before := p.delivered(t)
	start := time.Now()
	answered, err := smtpLoad{p.smtp, connections, messages, size, p.user}.run()
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	took := time.Since(start)
	for p.delivered(t) < before+messages {
		if time.Since(start) > 5*time.Minute {
			t.Fatalf("%s: messages are missing", p.name)
		}
		time.Sleep(20 * time.Millisecond)
		took = time.Since(start)
	}
	return float64(messages) / took.Seconds(), answered
}

// Durable local deliveries over SMTP, counted when they are in the mailbox.
func TestDelivery(t *testing.T) {
	ours, _ := waxwing(t)
	theirs := postfixDovecot(t, "mdbox:~/mdbox")
	t.Logf("bare fdatasync appends of 4 KiB, one writer: %.0f a second", bareSyncs(t))
	t.Log("| size | connections | Waxwing msg/s | MAIL to 250, median / p99 | Postfix + Dovecot mdbox msg/s | MAIL to 250, median / p99 | ratio |")
	t.Log("|---|---|---|---|---|---|---|")
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, connections := range []int{1, 16, 64} {
			a, fast := ours.deliver(t, connections, loadFor(connections, 10), size)
			b, slow := theirs.deliver(t, connections, loadFor(connections, 1), size)
			t.Logf("| %d KiB | %d | %.0f | %.2f / %.2f ms | %.0f | %.2f / %.2f ms | %.1f |", size>>10, connections,
				a, ms(fast.median), ms(fast.p99), b, ms(slow.median), ms(slow.p99), a/b)
		}
	}
}

// loadFor is enough messages for some seconds.
func loadFor(connections, factor int) int {
	return factor * map[int]int{1: 200, 16: 600, 64: 800}[connections]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// bareSyncs says what the disk can do just now: appends of 4 KiB to one file,
// each synced.
func bareSyncs(t *testing.T) float64 {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "syncs"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4<<10)
	start, n := time.Now(), 0
	for ; time.Since(start) < 2*time.Second; n++ {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := fdatasync(f); err != nil {
			t.Fatal(err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// IMAP on a mailbox of 20,000 messages of 8 KiB.
func TestFetch(t *testing.T) {
	ours, _ := waxwing(t)
	peers := []peer{ours, postfixDovecot(t, "mdbox:~/mdbox"), postfixDovecot(t, "maildir:~/Maildir")}
	commands := []string{
		"SELECT INBOX", "UID FETCH 1:* (FLAGS)", "FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE)",
		"FETCH 1:* (BODY.PEEK[])", `STORE 1:* +FLAGS.SILENT (\Seen)`, "SEARCH SUBJECT nothing", "SEARCH UNSEEN",
	}
	results := map[string]map[string]time.Duration{}
	for _, p := range peers {
		results[p.name] = p.timeCommands(t, commands)
	}
	t.Logf("| command, warm | %s | %s | %s | against the better one |", peers[0].name, peers[1].name, peers[2].name)
	t.Log("|---|---|---|---|---|")
	for _, c := range commands {
		a, b, d := results[peers[0].name][c], results[peers[1].name][c], results[peers[2].name][c]
		t.Logf("| %s | %.1f ms | %.1f ms | %.1f ms | %.1f |", c, ms(a), ms(b), ms(d), float64(min(b, d))/float64(a))
	}
}

// timeCommands fills a mailbox by APPEND and gives the best of three of each
// command.
func (p peer) timeCommands(t *testing.T, commands []string) map[string]time.Duration {
	t.Helper()
	c, err := dialIMAP(p.imap, p.user(0), password)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	start := time.Now()
	if err := c.fill(mailboxMessages, payload(8<<10)); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	t.Logf("%s: APPEND alone, %.0f messages of 8 KiB a second", p.name, mailboxMessages/time.Since(start).Seconds())
	best := map[string]time.Duration{}
	for range 3 {
		for _, command := range commands {
			start := time.Now()
			if _, err := c.do(command); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			if took := time.Since(start); best[command] == 0 || took < best[command] {
				best[command] = took
			}
		}
	}
	return best
}

// Memory of a thousand sessions in IDLE, and how long a start takes.
func TestIdleAndStart(t *testing.T) {
	ours, w := waxwing(t)
	theirs := postfixDovecot(t, "mdbox:~/mdbox")
	for _, p := range []peer{ours, theirs} {
		before := pss(t, p.pids())
		var all []net.Conn
		for i := range idleConnections {
			c, err := dialIMAP(p.imap, p.user(i), password)
			if err != nil {
				t.Fatalf("%s: connection %d: %v", p.name, i, err)
			}
			if _, err := c.do("SELECT INBOX"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.conn.Write([]byte("i IDLE\r\n")); err != nil {
				t.Fatal(err)
			}
			all = append(all, c.conn)
		}
		time.Sleep(10 * time.Second)
		after := pss(t, p.pids())
		t.Logf("%s: %d sessions in IDLE take %.1f KiB each (%d MiB before, %d MiB after)", p.name, idleConnections,
			float64(after-before)/idleConnections, before>>10, after>>10)
		for _, c := range all {
			_ = c.Close()
		}
	}
	w.Stop()
	start := time.Now()
	w.Run()
	t.Logf("Waxwing: %.0f ms from start to ready", ms(time.Since(start)))
}

// pss gives the proportional set size of processes in KiB.
func pss(t *testing.T, pids []int) int {
	t.Helper()
	total := 0
	for _, pid := range pids {
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
