package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"waxwing": main})
}

// The scripts run the program as a person would; they double as documentation.
//
//	$PORT, $OTHERPORT     port bases that are free
//	start NAME COMMAND... starts a command in the background, with its output in
//	                      NAME.out and NAME.err
//	signal NAME SIGNAL    sends it a signal
//	ended NAME            waits until it has ended, without an error (! with one)
//	await TEXT FILE       waits until the file holds the text
//	await-output PATTERN COMMAND...
//	                      runs a command until its output matches
//	submit FROM TO        sends a message as one of dev's accounts
//	expunge WHO MAILBOX   deletes by IMAP all that is there
//	subjects WHO MAILBOX  prints what IMAP has there, a line for each message;
//	                      WHO may be followed by a password
//	browse CA URL         fetches a page, trusting a CA
func TestScripts(t *testing.T) {
	var bases portBases
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Values[started] = map[string]*background{}
			base, err := bases.free()
			if err != nil {
				return err
			}
			other, err := bases.free()
			if err != nil {
				return err
			}
			e.Setenv("PORT", strconv.Itoa(base))
			e.Setenv("OTHERPORT", strconv.Itoa(other))
			e.Setenv("HTTPS", strconv.Itoa(base+443))
			e.Setenv("IMAPS", strconv.Itoa(base+993))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":  start,
			"signal": sendSignal,
			"ended":  ended,
			"await":  await,
			"submit": submit,

			"expunge":  expunge,
			"subjects": subjects,
			"validity": validity,
			"mbox":     makeMbox,
			"cutter":   cutter,

			"await-output": awaitOutput,
			"browse":       browse,
		},
	})
}

// portBases gives each script port bases of its own: one that a script has been
// given is free for as long as it has not started what it starts.
type portBases struct {
	mu    sync.Mutex // guards given
	given map[int]bool
}

// free finds a port base below the ports that the kernel gives away.
func (b *portBases) free() (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.given == nil {
		b.given = make(map[int]bool)
	}
	for range 1000 {
		// No two of the ports below are apart by a distance of such bases.
		base := 11000 + 1000*rand.IntN(20) + 4*rand.IntN(5)
		if b.given[base] {
			continue
		}
		free := true
		for _, port := range []int{25, 80, 110, 143, 443, 465, 587, 993, 995} {
			l, err := net.Listen("tcp", fmt.Sprintf(":%d", base+port))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			b.given[base] = true
			return base, nil
		}
	}
	return 0, fmt.Errorf("no free ports")
}

// A background is a command that start has started, by its name in the
// script's environment.
type background struct {
	cmd  *exec.Cmd
	done chan error
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND...")
	}
	bin, err := exec.LookPath(args[1])
	ts.Check(err)
	b := &background{exec.Command(bin, args[2:]...), make(chan error, 1)}
	b.cmd.Dir = ts.MkAbs(".")
	for _, stream := range []struct {
		to   *io.Writer
		name string
	}{{&b.cmd.Stdout, ".out"}, {&b.cmd.Stderr, ".err"}} {
		f, err := os.Create(ts.MkAbs(args[0] + stream.name))
		ts.Check(err)
		ts.Defer(func() { f.Close() })
		*stream.to = f
	}
	ts.Check(b.cmd.Start())
	go func() { b.done <- b.cmd.Wait() }()
	ts.Value(started).(map[string]*background)[args[0]] = b
	ts.Defer(func() { _ = b.cmd.Process.Kill() })
}

// started is where a script's environment keeps what it has started.
const started = "started"

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	if neg || len(args) != 2 || signals[args[1]] == nil {
		ts.Fatalf("usage: signal NAME TERM|HUP|KILL")
	}
	ts.Check(ts.Value(started).(map[string]*background)[args[0]].cmd.Process.Signal(signals[args[1]]))
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] ended NAME")
	}
	select {
	case err := <-ts.Value(started).(map[string]*background)[args[0]].done:
		if (err != nil) != neg {
			ts.Fatalf("%s ended with %v", args[0], err)
		}
	case <-time.After(time.Minute):
		ts.Fatalf("%s has not ended", args[0])
	}
}

// await waits until a file holds a text.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await TEXT FILE")
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[1]))
		if err == nil && bytes.Contains(text, []byte(args[0])) {
			return
		}
	}
	ts.Fatalf("%s never held %q", args[1], args[0])
}

// awaitOutput runs a command until its output matches a pattern.
func awaitOutput(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await-output PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	var out []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		if out, err = cmd.CombinedOutput(); err == nil && pattern.Match(out) {
			return
		}
	}
	ts.Fatalf("%v never said %q, but %s", args[1:], args[0], out)
}

// submit sends a message through the submission service.
func submit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: submit FROM TO [FILE]")
	}
	base, err := strconv.Atoi(ts.Getenv("PORT"))
	ts.Check(err)
	server := fmt.Sprintf("127.0.0.1:%d", base+587)
	text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: hello\r\n\r\nHello.\r\n", args[0], args[1])
	if len(args) == 3 {
		text = strings.ReplaceAll(ts.ReadFile(args[2]), "\n", "\r\n")
	}
	// Without TLS: dev allows it on loopback, and so does the client.
	c, err := smtp.Dial(server)
	ts.Check(err)
	defer c.Close()
	ts.Check(c.Auth(smtp.PlainAuth("", args[0], "waxwing", "127.0.0.1")))
	ts.Check(c.Mail(args[0]))
	ts.Check(c.Rcpt(args[1]))
	w, err := c.Data()
	ts.Check(err)
	_, err = io.WriteString(w, text)
	ts.Check(errors.Join(err, w.Close(), c.Quit()))
}

// browse prints a page.
func browse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: browse CA URL")
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	roots.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "mx.example.test"}}}
	answer, err := client.Get(args[1])
	ts.Check(err)
	defer answer.Body.Close()
	fmt.Fprintln(ts.Stdout(), answer.Status)
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
}

// Every command explains itself: it has a summary, and its flags have help.
func TestHelp(t *testing.T) {
	var out, errOut strings.Builder
	if code := run([]string{"--help"}, strings.NewReader(""), &out, &errOut); code != 0 || errOut.Len() > 0 {
		t.Fatal(code, errOut.String())
	}
	_, list, _ := strings.Cut(out.String(), "Commands:\n")
	commands := 0
	for s := bufio.NewScanner(strings.NewReader(list)); s.Scan(); {
		name, summary, found := strings.Cut(strings.TrimSpace(s.Text()), "  ")
		if !found {
			break // the list ends with an empty line
		}
		commands++
		if strings.TrimSpace(summary) == "" {
			t.Errorf("%s has no summary", name)
		}
		var help strings.Builder
		if code := run(append(strings.Fields(name), "--help"), strings.NewReader(""), &help, &errOut); code != 0 {
			t.Errorf("%s --help: %d", name, code)
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands in:\n%s", commands, out.String())
	}
}

// The unit file starts what the help says.
func TestUnits(t *testing.T) {
	for _, service := range []string{"mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "http", "https"} {
		text, err := os.ReadFile(filepath.Join("../../dist", "waxwing-"+service+".socket"))
		if err != nil || !strings.Contains(string(text), "\nFileDescriptorName="+service+"\n") {
			t.Errorf("%s: %v\n%s", service, err, text)
		}
	}
}
