//go:build peers

package peers

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// startPostgres starts a server for one test.
func startPostgres(t *testing.T) *system.Postgres {
	t.Helper()
	p, err := system.StartPostgres(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", p.Log())
		}
		if err := p.Remove(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Everything works on PostgreSQL as it does on the built-in engine, also after
// the database was away for a while.
func TestPostgreSQL(t *testing.T) {
	db := startPostgres(t)
	b := newBench(t, "--store", db.URL(db.NewDatabase(t)))
	b.send("From outside")
	b.contains(b.run("curl", "-sS", "--cacert", b.CA(), "--user", system.Bob+":"+system.Password,
		fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;UID=1", b.Port(993))), "Subject: From outside", "..Two dots.")

	// Submission, from alice to bob, of a body that lies in a file.
	large := b.file("large.eml", message("Large")+strings.Repeat(strings.Repeat("x", 76)+"\n", 5000))
	b.run("curl", "-sS", "--ssl-reqd", "--cacert", b.CA(), "--user", system.Alice+":"+system.Password,
		"--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(587)), "--mail-from", system.Alice, "--mail-rcpt", system.Bob, "-T", large)
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 2")

	pop := b.run("curl", "-sS", "--cacert", b.CA(), "--user", system.Bob+":"+system.Password,
		fmt.Sprintf("pop3s://127.0.0.1:%d/2", b.Port(995)))
	b.contains(pop, "Subject: Large", strings.Repeat("x", 76))

	if err := db.Stop(); err != nil {
		t.Fatal(err)
	}
	out, err := b.try("", "curl", "-sS", "-v", "--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(25)),
		"--mail-from", "ann@elsewhere.test", "--mail-rcpt", system.Bob, "-T", b.file("later.eml", message("Not now")))
	if err == nil || !strings.Contains(out, "\n< 4") {
		t.Errorf("without the database: %v\n%s", err, out)
	}
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	b.send("After all")
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 3")
}

// A message that goes to another server waits in the queue, which is in the
// database too.
func TestPostgreSQLRelay(t *testing.T) {
	db := startPostgres(t)
	far := newBench(t, "--hostname", "mx.elsewhere.test", "--store", db.URL(db.NewDatabase(t)))
	resolver := system.StartKnot(t, map[string]string{
		"elsewhere.test": "@ MX 10 mx\nmx A 127.0.0.1\n",
	})
	near := newBench(t, "--store", db.URL(db.NewDatabase(t)), "--resolver", resolver,
		"--smtp-out-port", fmt.Sprint(far.Port(25)), "--retry", "1s")
	// The other server takes no mail for that domain, so it comes back.
	near.run("curl", "-sS", "--ssl-reqd", "--cacert", near.CA(), "--user", system.Alice+":"+system.Password,
		"--url", fmt.Sprintf("smtp://127.0.0.1:%d", near.Port(587)), "--mail-from", system.Alice,
		"--mail-rcpt", "carl@elsewhere.test", "-T", near.file("out.eml", message("Onward")))
	near.eventually("the bounce", func() bool {
		out, _ := near.try("", "curl", "-sS", "--cacert", near.CA(), "--user", system.Alice+":"+system.Password,
			fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;UID=1", near.Port(993)))
		return strings.Contains(out, "carl@elsewhere.test")
	})
}

// A server that sees only its own files reaches the database, over its socket
// and over TCP.
func TestPostgreSQLConfined(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has privileges to drop")
	}
	db := startPostgres(t)
	for i, url := range []string{db.SocketURL(db.NewDatabase(t)), db.URL(db.NewDatabase(t))} {
		dir, err := os.MkdirTemp("", "waxwing")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { // the user must get in
			t.Fatal(err)
		}
		address := freePorts(t, 1)[0]
		config := fmt.Sprintf("hostname = \"mx.example.test\"\nuser = \"nobody\"\n[store]\nurl = %q\n[listen]\nmx = [%q]\n"+
			"submission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n[tls]\nsource = \"own-ca\"\n",
			url, address)
		file := filepath.Join(dir, "waxwing.toml")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		background(t, system.Binary(t), "serve", "--config", file)
		run := func(args ...string) (string, error) {
			out, err := exec.Command(system.Binary(t), append(args, "--config", file)...).CombinedOutput()
			return string(out), err
		}
		eventually(t, "an answer", func() error {
			_, err := run("domain", "list")
			return err
		})
		if out, err := run("domain", "add", fmt.Sprintf("d%d.test", i)); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err := run("domain", "list"); err != nil || strings.Count(out, ".test") != 1 {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// An imapClient speaks IMAP line by line.
type imapClient struct {
	*testing.T
	conn *tls.Conn
	in   *bufio.Scanner
}

func dialIMAP(t *testing.T, b bench) *imapClient {
	t.Helper()
	conn, err := tls.Dial("tcp", b.Addr(993), b.TLS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &imapClient{t, conn, bufio.NewScanner(conn)}
	c.until("* OK")
	return c
}

func (c *imapClient) send(line string) {
	c.Helper()
	if _, err := fmt.Fprintf(c.conn, "%s\r\n", line); err != nil {
		c.Fatal(err)
	}
}

// until reads to a line that begins with start, and gives all it has read.
func (c *imapClient) until(start string) string {
	c.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		c.Fatal(err)
	}
	var all strings.Builder
	for c.in.Scan() {
		fmt.Fprintln(&all, c.in.Text())
		if strings.HasPrefix(c.in.Text(), start) {
			return all.String()
		}
	}
	c.Fatalf("%q does not come: %v\n%s", start, c.in.Err(), &all)
	return ""
}

// command sends one that must succeed.
func (c *imapClient) command(line string) {
	c.Helper()
	c.send(line)
	tag, _, _ := strings.Cut(line, " ")
	c.until(tag + " OK")
}
