//go:build peers

package peers

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waxwing/flow/receive"
	"waxwing/flow/spam"
	"waxwing/flow/submit"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/mx"
	"waxwing/serve/submission"
	"waxwing/test/house"
)

// A filtered house has filters at its doors.
type filtered struct {
	*house.House
	port25, port587 string
}

// filter opens both doors of a house with the filters.
func filter(t *testing.T, o spam.Options) *filtered {
	t.Helper()
	h := house.New(t)
	if err := h.Directory.SetPassword(t.Context(), h.Alice.ID, "waxwing"); err != nil {
		t.Fatal(err)
	}
	o.Hostname, o.Version, o.Resolve, o.Blobs, o.Log = house.Hostname, "1", h.Deliverer.Resolve, h.Blobs, h.Log
	receiver := receive.New(h.Deliverer, h.Blobs, receive.Options{Hostname: house.Hostname, Filters: spam.New(o), Log: h.Log})
	o.Outgoing = true
	submitter := submit.New(h.Deliverer, h.Directory, h.Blobs, submit.Options{Hostname: house.Hostname, Filters: spam.New(o), Log: h.Log})
	return &filtered{
		House:  h,
		port25: open(t, smtpserver.New(mx.Door(receiver, house.Hostname), smtpserver.Options{Hostname: house.Hostname})),
		port587: open(t, smtpserver.New(submission.Door(submitter, house.Hostname), smtpserver.Options{
			Hostname: house.Hostname, Auth: h.Auth, RequireAuth: true, PlaintextAuth: true,
		})),
	}
}

// open serves on a free port until the test ends.
func open(t *testing.T, s *smtpserver.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() { stop(); <-served })
	return l.Addr().String()
}

// take sends a message to port 25 as a stranger.
func (f *filtered) take(t *testing.T, from, text string, to ...string) error {
	t.Helper()
	c, err := smtp.Dial(f.port25)
	if err != nil {
		return err
	}
	defer c.Close()
	return say(c, "stranger.test", from, text, to)
}

// send sends a message as alice.
func (f *filtered) send(t *testing.T, text string, to ...string) error {
	t.Helper()
	c, err := smtp.Dial(f.port587)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("alice.test"); err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", "alice@example.test", "waxwing", "127.0.0.1")); err != nil {
		return err
	}
	return say(c, "", "alice@example.test", text, to)
}

func say(c *smtp.Client, hello, from, text string, to []string) error {
	if hello != "" {
		if err := c.Hello(hello); err != nil {
			return err
		}
	}
	if err := c.Mail(from); err != nil {
		return fmt.Errorf("MAIL: %w", err)
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt); err != nil {
			return fmt.Errorf("RCPT: %w", err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// daemon runs a program until the test ends, and waits until a socket answers.
func daemon(t *testing.T, network, address, name string, args ...string) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	var said strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with its workers
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // in order they take seconds
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
	for range 600 {
		if nc, err := net.Dial(network, address); err == nil {
			_ = nc.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s has ended:\n%s", name, said.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen", name)
}

// shortDir is a directory for sockets and for the users of daemons.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wax-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// refusedWith tells whether an error is a reply with all these words.
func refusedWith(err error, words ...string) bool {
	for _, w := range words {
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), `"`, ""), w) {
			return false
		}
	}
	return true
}

// A milter of libmilter, by way of Python, that does all that one can.
func TestPythonMilter(t *testing.T) {
	socket := filepath.Join(shortDir(t), "m")
	daemon(t, "unix", socket, "/usr/bin/python3", "testdata/everything.py", "unix:"+socket)
	f := filter(t, spam.Options{Milters: []spam.Milter{{Network: "unix", Address: socket}}})

	err := f.take(t, "ann@far.test", "Subject: change\r\nX-Old: 1\r\nX-Old: 2\r\nX-Gone: x\r\n\r\nold\r\n", "bob@example.test", "bob+gone@example.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range [][]string{f.Inbox(f.Bob), f.Inbox(f.Alice)} {
		if len(texts) != 1 {
			t.Fatalf("%d messages", len(texts))
		}
		rest := texts[0]
		for _, want := range []string{
			"Return-Path: <new@far.test>\r\n", "X-Top: above all\r\n", "Received: from stranger.test ([127.0.0.1])", "X-Second: below Received\r\n",
			"Subject: changed\r\n in two lines\r\n", "X-Old: 1\r\n", "X-Old: second is new\r\n", "X-Added: at the end\r\n",
			"X-Heard: connect [127.0.0.1] 127.0.0.1 | hello stranger.test | mail <ann@far.test> BODY=8BITMIME SMTPUTF8 | " +
				"rcpt <bob@example.test> smtp bob@example.test | rcpt <bob+gone@example.test> smtp bob+gone@example.test | data | size 5",
			"X-Macros: True " + house.Hostname + " None\r\n", "\r\n" + strings.Repeat("A new body.\r\n", 20000),
		} {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Fatalf("no %.80q in %.2000q", want, rest)
			}
			rest = after
		}
		if rest != "" || strings.Contains(texts[0], "X-Gone") {
			t.Errorf("more than expected: %.100q", rest)
		}
	}
	for _, tt := range []struct {
		from, subject, to string
		want              []string
	}{
		{"refused@far.test", "x", "bob@example.test", []string{"MAIL", "550 5.7.1"}},
		{"a@far.test", "x", "bob+no@example.test", []string{"RCPT", "550 5.1.1 not this one"}},
		{"a@far.test", "x", "bob+later@example.test", []string{"RCPT", "451 4.7.1"}},
		{"a@far.test", "early", "bob@example.test", []string{"554 5.7.1 early"}},
		{"a@far.test", "reject", "bob@example.test", []string{"550 5.7.1"}},
		{"a@far.test", "tempfail", "bob@example.test", []string{"451 4.7.1"}},
	} {
		if err := f.take(t, tt.from, "Subject: "+tt.subject+"\r\n\r\n", tt.to); !refusedWith(err, tt.want...) {
			t.Errorf("%v: %v", tt, err)
		}
	}
	for _, subject := range []string{"skip", "slow", "discard", "quarantine", "spam", "parameters"} {
		if err := f.take(t, "a@far.test", "Subject: "+subject+"\r\nX-Spam: Yes\r\n\r\n"+strings.Repeat("x\r\n", 100_000), "bob@example.test"); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
	inbox := strings.Join(f.Inbox(f.Bob), "\n")
	for subject, want := range map[string]bool{"skip": true, "slow": true, "parameters": true, "discard": false, "quarantine": false, "spam": false} {
		if strings.Contains(inbox, "Subject: "+subject+"\r\n") != want {
			t.Errorf("%s is in INBOX: %v", subject, !want)
		}
	}
	if strings.Contains(inbox, "X-Spam: Yes") {
		t.Error("a stranger's mark is left")
	}
	if !strings.Contains(inbox, "size 65535") {
		t.Error("a milter that skips was sent everything")
	}
	junk := f.In(f.Bob, "Junk")
	if len(junk) != 2 || !strings.Contains(junk[1], "X-Spam: Yes\r\n") {
		t.Errorf("Junk: %.300q", junk)
	}
	if len(f.Inbox(f.Alice)) != 2 {
		t.Errorf("alice has %d", len(f.Inbox(f.Alice)))
	}
	// What a user may send is refused where a stranger's mail is set aside.
	if err := f.send(t, "Subject: quarantine\r\n\r\n", "carol@far.test"); !refusedWith(err, "550 5.7.1") {
		t.Errorf("a user's: %v", err)
	}
	if err := f.send(t, "Subject: x\r\n\r\n", "bob@example.test"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(strings.Join(f.Inbox(f.Bob), "\n"), "X-Macros: True "+house.Hostname+" alice@example.test\r\n") {
		t.Error("the milter does not know who has logged in")
	}
}

// A milter that dies, and comes back.
func TestMilterDown(t *testing.T) {
	gone := filepath.Join(shortDir(t), "gone")
	for when, want := range map[spam.WhenDown]string{spam.TempFail: "451 4.7.1", spam.Refuse: "550 5.7.1", spam.Pass: "", spam.Quarantine: "", "": "451 4.7.1"} {
		f := filter(t, spam.Options{Milters: []spam.Milter{{Network: "unix", Address: gone, WhenDown: when}}})
		err := f.take(t, "ann@far.test", "Subject: x\r\n\r\n", "bob@example.test")
		if want == "" && err != nil || want != "" && !refusedWith(err, want) {
			t.Errorf("%s: %v", when, err)
		}
		if n := len(f.In(f.Bob, "Junk")); (n == 1) != (when == spam.Quarantine) {
			t.Errorf("%s: %d in Junk", when, n)
		}
	}
}

// signing runs OpenDKIM, which signs what users send and looks at what comes,
// and gives its socket in a directory.
func signing(t *testing.T, dir string) string {
	t.Helper()
	key := filepath.Join(dir, "key.pem")
	if out, err := exec.Command("openssl", "genrsa", "-out", key, "2048").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pub, err := exec.Command("sh", "-c", "openssl rsa -in "+key+" -pubout 2>/dev/null | grep -v -- - | tr -d '\\n'").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The public key comes from a file in place of the DNS.
	keys := write(t, filepath.Join(dir, "public"), "sel._domainkey.example.test v=DKIM1; k=rsa; p="+string(pub)+"\n")
	socket := filepath.Join(dir, "s")
	daemon(t, "unix", socket, "opendkim", "-f", "-p", "local:"+socket, "-d", "example.test", "-s", "sel", "-k", key,
		"-b", "sv", "-c", "relaxed/simple", "-x", write(t, filepath.Join(dir, "conf"), "TestPublicKeys "+keys+
			"\nRequireSafeKeys no\nUserID root\nAuthservID mx.example.test\nMacroList auth_authen\nInternalHosts "+write(t, filepath.Join(dir, "hosts"), "192.0.2.99\n")+"\n"))
	return socket
}

// OpenDKIM signs what users send, and says what it thinks of what comes.
func TestOpenDKIM(t *testing.T) {
	socket := signing(t, shortDir(t))
	f := filter(t, spam.Options{Milters: []spam.Milter{{Network: "unix", Address: socket}}})
	text := "From: alice@example.test\r\nTo: bob@example.test\r\nSubject: to be  signed\r\n\ttwice folded\r\nDate: Sun, 22 Nov 2026 03:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n\r\nbody \r\n\r\n"
	if err := f.send(t, text, "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	signed := f.Inbox(f.Bob)[0]
	_, rest, ok := strings.Cut(signed, "DKIM-Signature: v=1; a=rsa-sha256;")
	if !ok {
		t.Fatalf("no signature: %q", signed)
	}
	// The same, as a stranger sends it: the signature holds to the octet.
	if err := f.take(t, "alice@example.test", "DKIM-Signature: v=1; a=rsa-sha256;"+rest, "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	if got := f.Inbox(f.Bob)[1]; !strings.Contains(got, "dkim=pass") {
		t.Errorf("it does not verify: %q", got)
	}
}
