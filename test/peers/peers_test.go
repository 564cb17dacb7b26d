//go:build peers

// Package peers lets clients and servers that nobody here wrote talk to the
// built program. They come from Debian's packages (test/packages.sh).
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// A bench is a running system and a place to work in.
type bench struct {
	*testing.T
	*system.Waxwing
	dir string
}

func newBench(t *testing.T, args ...string) bench {
	t.Helper()
	return bench{t, system.Start(t, args...), t.TempDir()}
}

// run runs a program that must succeed, and gives what it printed.
func (b bench) run(name string, args ...string) string {
	b.Helper()
	out, err := b.try("", name, args...)
	if err != nil {
		b.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}

// try runs a program with stdin and gives what it printed.
func (b bench) try(stdin, name string, args ...string) (string, error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "LC_ALL=C.UTF-8", "TERM=xterm", "USER=tester", "LOGNAME=tester",
		"SSL_CERT_FILE="+b.CA(), "PYTHONWARNINGS=ignore")
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("still running after two minutes: %w", err)
	}
	return string(out), err
}

// file writes a file into the working place and gives its path.
func (b bench) file(name, text string) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// fill replaces @25@ and the like by ports, @CA@ by the CA file, @DIR@ by the
// working place.
func (b bench) fill(text string) string {
	var pairs []string
	for _, port := range []int{25, 110, 143, 443, 465, 587, 993, 995} {
		pairs = append(pairs, fmt.Sprintf("@%d@", port), fmt.Sprint(b.Port(port)))
	}
	pairs = append(pairs, "@CA@", b.CA(), "@DIR@", b.dir)
	return strings.NewReplacer(pairs...).Replace(text)
}

// message gives a message with a subject to tell it by.
func message(subject string) string {
	return "From: Alice <alice@example.test>\r\nTo: Bob <bob@example.test>\r\nSubject: " + subject +
		"\r\n\r\nA line.\r\n.A line with a dot.\r\n..Two dots.\r\nGrüße\r\n"
}

// send puts messages into bob's INBOX with curl.
func (b bench) send(subjects ...string) {
	b.Helper()
	for _, subject := range subjects {
		b.run("curl", "-sS", "--url", fmt.Sprintf("smtp://127.0.0.1:%d", b.Port(25)), "--mail-from", "ann@elsewhere.test",
			"--mail-rcpt", system.Bob, "-T", b.file("message.eml", message(subject)))
	}
}

// imap runs one IMAP command at bob's with curl and gives the answer.
func (b bench) imap(path, command string) string {
	b.Helper()
	return b.run("curl", "-sS", "--cacert", b.CA(), "--user", system.Bob+":"+system.Password,
		fmt.Sprintf("imaps://127.0.0.1:%d/%s", b.Port(993), path), "-X", command)
}

// eventually waits until check holds: mail between servers takes its time.
func (b bench) eventually(what string, check func() bool) {
	b.Helper()
	for range 300 {
		if check() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.Fatalf("%s did not come to pass within 30 seconds", what)
}

func (b bench) contains(text string, wanted ...string) {
	b.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			b.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

// crlf gives text as it travels.
func crlf(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// countFiles counts the messages of a Maildir.
func countFiles(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		n += len(entries)
	}
	return n
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
}
