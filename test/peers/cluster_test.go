//go:build peers

package peers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/test/system"
)

// A cluster is two servers on one database and one bucket.
type cluster struct {
	one, two bench
	s3       *system.S3
}

func startCluster(t *testing.T, args ...string) cluster {
	t.Helper()
	db, s3 := startPostgres(t), system.StartS3(t)
	args = append(args, "--store", db.URL(db.NewDatabase(t)), "--blobs", "s3://mail/cluster",
		"--blobs-endpoint", "http://"+s3.Address(), "--blobs-credentials", s3.Credentials(), "--take-over", "5s")
	return cluster{newBench(t, args...), newBench(t, args...), s3}
}

// body gives a message of about so many KiB.
func body(subject string, kib int) string {
	line := strings.Repeat(subject[len(subject)-1:], 71) + "\r\n"
	return message(subject) + strings.Repeat(line, kib*1024/len(line))
}

// deliver sends a message to bob from outside; nil means that the server has
// taken it.
func deliver(b bench, text string) error {
	conn, err := net.Dial("tcp", b.Addr(25))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		return err
	}
	if err := errors.Join(c.Mail("ann@elsewhere.test"), c.Rcpt(system.Bob)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return errors.Join(err, w.Close()) // Close waits for the 250
}

// subjects gives the subjects and UIDs of bob's INBOX as a server shows them.
func subjects(b bench) (subjects, uids []string) {
	b.Helper()
	c := dialIMAP(b.T, b)
	defer c.conn.Close()
	c.command("a LOGIN " + system.Bob + " " + system.Password)
	c.command("b EXAMINE INBOX")
	c.send("c FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
	for line := range strings.Lines(c.until("c OK")) {
		line = strings.TrimSpace(line)
		if subject, ok := strings.CutPrefix(line, "Subject: "); ok {
			subjects = append(subjects, subject)
		} else if _, rest, ok := strings.Cut(line, "(UID "); ok {
			uid, _, _ := strings.Cut(rest, " ")
			uids = append(uids, uid)
		}
	}
	return subjects, uids
}

// Two servers have one store: what one delivers the other's clients see at
// once, whatever its size, and no UID is given twice.
func TestCluster(t *testing.T) {
	c := startCluster(t)
	for i, way := range []struct{ from, to bench }{{c.one, c.two}, {c.two, c.one}} {
		idle := dialIMAP(t, way.to)
		idle.command("a LOGIN " + system.Bob + " " + system.Password)
		idle.command("b SELECT INBOX")
		for j, kib := range []int{1, 300} {
			n := 2*i + j + 1
			idle.send("c IDLE")
			idle.until("+ ")
			text := body(fmt.Sprint("To the other ", n), kib)
			if err := deliver(way.from, text); err != nil {
				t.Fatal(err)
			}
			idle.until(fmt.Sprintf("* %d EXISTS", n))
			idle.send("DONE")
			idle.until("c OK")
			got := way.to.run("curl", "-sS", "--cacert", way.to.CA(), "--user", system.Bob+":"+system.Password,
				fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;UID=%d", way.to.Port(993), n))
			if !strings.HasSuffix(crlf(got), text) {
				t.Errorf("message %d of %d KiB: %d octets come back", n, kib, len(got))
			}
		}
	}
	if n := c.s3.Objects(t); n != 3 { // the large ones, and the note of the layout
		t.Errorf("%d objects in the bucket", n)
	}

	// Both write to one mailbox at the same time.
	var writers sync.WaitGroup
	for i, b := range []bench{c.one, c.two} {
		for w := range 2 {
			writers.Go(func() {
				for n := range 8 {
					if err := deliver(b, body(fmt.Sprintf("Of %d %d %d", i, w, n), 1+n%4*40)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	writers.Wait()
	first, uids := subjects(c.one)
	second, again := subjects(c.two)
	if len(first) != 36 {
		t.Errorf("%d messages", len(first))
	}
	if !slices.Equal(first, second) || !slices.Equal(uids, again) || len(slices.Compact(uids)) != 36 {
		t.Errorf("one shows %v with UIDs %v, the other %v with %v", first, uids, second, again)
	}

	// One session at a time has the maildrop, wherever it is.
	login := func(b bench) (*bufio.Reader, net.Conn) {
		conn, err := net.Dial("tcp", b.Addr(110))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "USER %s\r\nPASS %s\r\n", system.Bob, system.Password)
		r := bufio.NewReader(conn)
		for range 2 {
			if line, err := r.ReadString('\n'); !strings.HasPrefix(line, "+OK") {
				t.Fatal(line, err)
			}
		}
		return r, conn
	}
	holder, conn := login(c.one)
	if line, err := holder.ReadString('\n'); !strings.HasPrefix(line, "+OK") {
		t.Fatal(line, err)
	}
	other, _ := login(c.two)
	if line, err := other.ReadString('\n'); !strings.HasPrefix(line, "-ERR [IN-USE]") {
		t.Error(line, err)
	}
	fmt.Fprint(conn, "QUIT\r\n")
	if line, err := holder.ReadString('\n'); !strings.HasPrefix(line, "+OK") {
		t.Error(line, err)
	}
	c.two.eventually("the other's turn", func() bool {
		next, conn := login(c.two)
		defer conn.Close()
		line, _ := next.ReadString('\n')
		return strings.HasPrefix(line, "+OK")
	})
}

// When a server dies nothing that it has acknowledged is lost, and the other
// delivers what it was delivering.
func TestClusterNodeDies(t *testing.T) {
	far := startSink(t)
	resolver := system.StartKnot(t, map[string]string{"elsewhere.test": "@ MX 10 mx\nmx A 127.0.0.1\n"})
	c := startCluster(t, "--resolver", resolver, "--smtp-out-port", fmt.Sprint(far.port), "--retry", "1s")

	// Three messages are on their way from the first when it dies.
	for n, kib := range []int{1, 1, 300} {
		c.one.run("curl", "-sS", "--ssl-reqd", "--cacert", c.one.CA(), "--user", system.Alice+":"+system.Password,
			"--url", fmt.Sprintf("smtp://127.0.0.1:%d", c.one.Port(587)), "--mail-from", system.Alice,
			"--mail-rcpt", "carl@elsewhere.test", "-T", c.one.file("out.eml", body(fmt.Sprint("Onward ", n), kib)))
	}
	c.one.eventually("the first tries", func() bool { return far.waiting() > 0 })

	var acknowledged []string
	var mu sync.Mutex // guards acknowledged
	enough := make(chan struct{})
	var senders sync.WaitGroup
	for w := range 3 {
		senders.Go(func() {
			for n := 0; ; n++ {
				subject := fmt.Sprintf("Under load %d %d", w, n)
				if deliver(c.one, body(subject, 1+n%3*70)) != nil {
					return // it is dead
				}
				mu.Lock()
				if acknowledged = append(acknowledged, subject); len(acknowledged) == 20 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Fatal("nothing is taken")
	}
	c.one.Kill()
	senders.Wait()
	far.release()

	got, _ := subjects(c.two)
	for _, subject := range acknowledged {
		if !slices.Contains(got, subject) {
			t.Errorf("%q was acknowledged and is lost", subject)
		}
	}
	// The newest is whole: large ones come from the bucket.
	c.two.contains(c.two.run("curl", "-sS", "--cacert", c.two.CA(), "--user", system.Bob+":"+system.Password,
		fmt.Sprintf("imaps://127.0.0.1:%d/INBOX;UID=*", c.two.Port(993))), "Subject: Under load")
	c.two.eventually("the delivery of what the dead one had", func() bool { return far.has("Onward 0", "Onward 1", "Onward 2") })

	// It comes back as if nothing had been.
	c.one.Waxwing.Run()
	if back, _ := subjects(c.one); !slices.Equal(back, got) {
		t.Errorf("%d messages, and %d where it had died", len(got), len(back))
	}
}

// A sink is an SMTP server that keeps its clients waiting after DATA until it
// is released, and then takes everything.
type sink struct {
	port    int
	onward  chan struct{}
	release func()

	mu    sync.Mutex // guards what follows
	held  int
	taken strings.Builder
}

func startSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{port: l.Addr().(*net.TCPAddr).Port, onward: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.onward) })
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		s.release()
		l.Close()
		sessions.Wait()
	})
	return s
}

func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 sink")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " "); verb {
		case "DATA":
			s.mu.Lock()
			s.held++
			s.mu.Unlock()
			<-s.onward
			say("354 go on")
			var text strings.Builder
			for lines.Scan() && lines.Text() != "." {
				fmt.Fprintln(&text, lines.Text())
			}
			s.mu.Lock()
			s.taken.WriteString(text.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

// waiting tells how many transactions have come as far as DATA.
func (s *sink) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// has tells whether messages with these subjects were taken.
func (s *sink) has(subjects ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, subject := range subjects {
		if !strings.Contains(s.taken.String(), "Subject: "+subject+"\n") {
			return false
		}
	}
	return true
}
