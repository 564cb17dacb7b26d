package smtpserver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/test/transcript"
)

// A cut is a connection on which the client's bytes come in pieces of given
// sizes, all of them at once ready.
type cut struct {
	in    []byte
	sizes []int
	turn  int
	out   bytes.Buffer
}

func (c *cut) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := min(len(c.in), c.sizes[c.turn%len(c.sizes)], len(p))
	c.turn++
	copy(p, c.in[:n])
	c.in = c.in[n:]
	return n, nil
}

func (c *cut) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *cut) Close() error                     { return nil }
func (c *cut) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *cut) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *cut) SetDeadline(time.Time) error      { return nil }
func (c *cut) SetReadDeadline(time.Time) error  { return nil }
func (c *cut) SetWriteDeadline(time.Time) error { return nil }

// talk gives the codes of the replies to what a client sends, and the
// messages that were taken.
func talk(in string, sizes ...int) (codes []string, messages []message) {
	h := &house{}
	c := &cut{in: []byte(in), sizes: sizes}
	smtpserver.New(h.open, smtpserver.Options{Honours: smtp.DSN, MaxSize: 200}).ServeConn(context.Background(), c)
	for line := range strings.SplitSeq(strings.TrimSuffix(c.out.String(), "\r\n"), "\r\n") {
		if len(line) > 3 && line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	return codes, h.messages
}

// How the network cuts what a client sends makes no difference to what is
// answered and what is taken. A message ends at CR LF . CR LF only.
func FuzzDialog(f *testing.F) {
	const start = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n"
	f.Add(start+"hello\r\n.\r\nQUIT\r\n", uint8(3), uint8(70))
	f.Add(start+"one\n.\nMAIL FROM:<x@y>\r\n.\r\nNOOP\r\n", uint8(1), uint8(2))
	f.Add(start+"..\r\n.a\r\n\r.\r\r\n.\r\nMAIL FROM:<>\nRSET\r\n\n\r\n", uint8(1), uint8(5))
	chunks := strings.TrimSuffix(start, "DATA\r\n")
	f.Add(chunks+"BDAT 5\r\na\r\nb\rBDAT 1 LAST\r\n\nNOOP\r\n", uint8(3), uint8(70))
	f.Add(chunks+"BDAT 3\r\na\nbNOOP\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n", uint8(1), uint8(2))
	f.Add(chunks+"BDAT 300\r\n"+strings.Repeat("x", 300)+"BDAT 2 LAST\r\n\r\nDATA\r\n", uint8(50), uint8(9))
	f.Add(chunks+"BDAT 2\r\nxyBDAT z\r\nQUIT\r\n", uint8(4), uint8(1))
	f.Add("HELO x\nNOOP\r\nGET / \r\nNOOP\r\n", uint8(8), uint8(1))
	f.Add(start+strings.Repeat("x", 300)+"\r\n.\r\nNOOP "+strings.Repeat("y", 3000)+"\r\n", uint8(99), uint8(7))
	f.Fuzz(func(t *testing.T, in string, a, b uint8) {
		if len(in) > 20000 || strings.Contains(in, "stuck") || strings.Contains(strings.ToUpper(in), "BINARY") {
			return
		}
		codes, messages := talk(in, int(a)+1, int(b)+1)
		codes1, messages1 := talk(in, len(in)+1)
		if fmt.Sprint(codes) != fmt.Sprint(codes1) || fmt.Sprint(messages) != fmt.Sprint(messages1) {
			t.Fatalf("%q\nby %d, %d: %v %v\nwhole:  %v %v", in, int(a)+1, int(b)+1, codes, messages, codes1, messages1)
		}
		for _, m := range messages {
			pairs := strings.Count(m.body, "\r\n")
			if strings.Count(m.body, "\r") != pairs || strings.Count(m.body, "\n") != pairs || len(m.body) > 200 {
				t.Fatalf("%q: took %q", in, m.body)
			}
		}
	})
}

// A door that works too long is told to stop when draining is over.
func TestDrainStopsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		l := transcript.Listen(25)
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- smtpserver.New(h.open, smtpserver.Options{}).Serve(ctx, l) }()
		nc := l.Dial()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		if _, err := io.WriteString(nc, "HELO x\r\nMAIL FROM:<stuck@b.example>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n.\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("drained in %v", took)
		}
		_ = nc.Close()
	})
}

// What is refused about mail is told to the operator, too.
func TestRefusalsAreLogged(t *testing.T) {
	var log bytes.Buffer
	c := &cut{sizes: []int{1000}, in: []byte("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nobody@x.test>\r\nRCPT TO:<c@x.test>\r\nDATA\r\nx\ny\r\n.\r\nNONSENSE\r\n")}
	smtpserver.New((&house{}).open, smtpserver.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}).ServeConn(t.Context(), c)
	for _, want := range []string{`rcpt=nobody@x.test reply="550 5.1.1 No such user"`, `size=5 reply="550 5.6.11`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log: %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "NONSENSE") {
		t.Error(log.String())
	}
}

// The dialog in the log is without secrets and bodies.
func TestLogHasNoSecrets(t *testing.T) {
	var log bytes.Buffer
	h := &house{}
	o := smtpserver.Options{Auth: users{}, PlaintextAuth: true, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	c := &cut{sizes: []int{1000}, in: []byte("EHLO x\r\nAUTH NONE\r\nAGFubgBzZWNyZXQ=\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\nAUTH PLAIN AGFubgBzZWNyZXQ=\r\n" +
		"MAIL FROM:<a@b>\r\nRCPT TO:<c@x.test>\r\nDATA\r\nprivate\r\n.\r\n")}
	smtpserver.New(h.open, o).ServeConn(t.Context(), c)
	if s := log.String(); !strings.Contains(s, "RCPT TO") || strings.Contains(s, "AGFubg") || strings.Contains(s, "secret") || strings.Contains(s, "private\n") {
		t.Error(s)
	}
	if !strings.Contains(c.out.String(), "235 2.7.0") {
		t.Error(c.out.String())
	}
}

// Many clients at once, over TCP; every message arrives.
func TestManyClients(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- smtpserver.New(h.open, smtpserver.Options{}).Serve(ctx, l) }()
	var clients sync.WaitGroup
	var failed atomic.Int32
	for i := range 40 {
		clients.Go(func() {
			if err := sendSome(l.Addr().String(), i); err != nil {
				failed.Add(1)
				t.Error(err)
			}
		})
	}
	clients.Wait()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if len(h.messages) != 200 && failed.Load() == 0 {
		t.Errorf("%d messages", len(h.messages))
	}
}

// sendSome sends five messages in one breath and waits for the farewell.
func sendSome(addr string, seed int) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	var b strings.Builder
	b.WriteString("EHLO x\r\n")
	for i := range 5 {
		fmt.Fprintf(&b, "MAIL FROM:<a@b>\r\nRCPT TO:<c%d@x.test>\r\nDATA\r\n%s\r\n.\r\n", seed, strings.Repeat(strings.Repeat("x", 70)+"\r\n", seed*100+i))
	}
	b.WriteString("QUIT\r\n")
	go func() { _, _ = io.WriteString(nc, b.String()) }()
	replies, err := io.ReadAll(nc)
	if err != nil {
		return err
	}
	if n := strings.Count(string(replies), "250 2.0.0 taken"); n != 5 || !strings.Contains(string(replies), "221 2.0.0") {
		return fmt.Errorf("%d messages taken: %s", n, replies)
	}
	return nil
}
