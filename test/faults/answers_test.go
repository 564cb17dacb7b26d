package faults

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// A dialog is one connection that lines go over.
type dialog struct {
	t *testing.T
	*textproto.Conn
}

func dial(t *testing.T, addr string) dialog {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	d := dialog{t, textproto.NewConn(nc)}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// ask says a line and gives the last one of the answer, which begins with a
// status: a tag, +OK, -ERR or a code and a space.
func (d dialog) ask(line string, status ...string) string {
	d.t.Helper()
	if line != "" {
		if err := d.PrintfLine("%s", line); err != nil {
			d.t.Fatal(err)
		}
	}
	for {
		got, err := d.ReadLine()
		if err != nil {
			d.t.Fatalf("%.60q: %v", line, err)
		}
		for _, s := range status {
			if strings.HasPrefix(got, s) {
				return got
			}
		}
		if len(status) == 0 && len(got) > 3 && got[3] == ' ' {
			return got
		}
	}
}

// deliver sends a message of so many octets and gives the answer.
func (s *server) deliver(octets int) string {
	s.t.Helper()
	d := dial(s.t, s.MX)
	for _, line := range []string{"", "EHLO far.test", "MAIL FROM:<a@far.test>", "RCPT TO:<" + s.Server.Bob + ">"} {
		if got := d.ask(line); got[0] != '2' {
			return got
		}
	}
	d.ask("DATA")
	// Its own, else the store has its body already.
	return d.ask("Subject: x\r\n\r\n" + rand.Text() + "\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", octets/72) + ".")
}

const small, large = 10_000, 300_000

// What senders are told of a disk that cannot be written: that it is full, or
// nothing about it. RFC 5321 §4.2.2, RFC 3463 §3.4
func TestAnswers(t *testing.T) {
	s := open(t, NewDisk(), nil)
	defer s.close()
	for _, tt := range []struct {
		name   string
		fault  Fault
		octets int
		want   string
	}{
		{"full", Full, large, "452 4.3.1 "},
		{"cut short", func(op Op, name string) error {
			if op == OpWrite && isBlob(name) {
				return Short
			}
			return nil
		}, large, "452 4.3.1 "},
		{"broken", func(op Op, name string) error {
			if isBlob(name) && op == OpWrite {
				return syscall.EIO
			}
			return nil
		}, large, "451 4.3.0 "},
		{"not synced", func(op Op, name string) error {
			if isBlob(name) && op == OpSync {
				return syscall.EIO
			}
			return nil
		}, large, "451 4.3.0 "},
		{"not the body's", func(op Op, name string) error {
			if isBlob(name) {
				return syscall.EIO
			}
			return nil
		}, small, "250 2.0.0 "},
		{"mended", nil, large, "250 2.0.0 "},
	} {
		s.disk.Fail(tt.fault)
		if got := s.deliver(tt.octets); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// While little space is left messages are refused, but people can read, flag,
// move and delete, thousands at once.
func TestLittleSpace(t *testing.T) {
	s := open(t, NewDisk(), nil)
	defer s.close()
	bob, err := s.Directory.Login(t.Context(), s.Server.Bob)
	if err != nil {
		t.Fatal(err)
	}
	const many = 2000
	for range many / 100 {
		var entries []mailbox.NewEntry
		for range 100 {
			body, err := blob.StageBytes(t.Context(), s.blobs, fmt.Appendf(nil, "Subject: old\r\n\r\n%d\r\n", len(entries)))
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			entries = append(entries, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body})
		}
		if _, err := s.Mailboxes.Account(bob.Account).Append(t.Context(), time.Now(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	s.disk.SetFree(minFree * 3 / 4)
	more := s.eventually("452 4.3.1 ")
	if got := s.deliver(large); !strings.HasPrefix(got, "452 4.3.1 ") {
		t.Errorf("a large message: %q", got)
	}

	reader := dial(t, s.IMAP)
	reader.ask("", "* OK")
	for _, line := range []string{
		"t LOGIN " + s.Server.Bob + " " + s.Password, "t SELECT INBOX", `t STORE 1:1999 +FLAGS (\Seen $Old)`,
		"t UID MOVE 1:500 Trash", `t STORE 1:500 +FLAGS.SILENT (\Deleted)`, "t EXPUNGE", "t DELETE Archive", "t CREATE Later",
	} {
		if got := reader.ask(line, "t "); !strings.HasPrefix(got, "t OK") {
			t.Errorf("%s: %q", line, got)
		}
	}
	if got := reader.ask("t STATUS INBOX (MESSAGES)", "* STATUS"); !strings.Contains(got, fmt.Sprintf("MESSAGES %d)", many/2+more)) {
		t.Error(got)
	}
	reader.ask("t LOGOUT", "t OK")

	maildrop := dial(t, s.POP3)
	maildrop.ask("", "+OK")
	maildrop.ask("USER "+s.Server.Bob, "+OK")
	maildrop.ask("PASS "+s.Password, "+OK")
	for i := range 900 {
		maildrop.ask(fmt.Sprintf("DELE %d", i+1), "+OK")
	}
	if got := maildrop.ask("QUIT", "+OK", "-ERR"); !strings.HasPrefix(got, "+OK") {
		t.Error(got)
	}

	s.disk.SetFree(plenty)
	s.eventually("250 ")
	s.verify()
}

// eventually waits until messages get an answer, and tells how many got
// another before.
func (s *server) eventually(want string) (others int) {
	s.t.Helper()
	for until := time.Now().Add(time.Minute); ; others++ {
		got := s.deliver(small)
		if strings.HasPrefix(got, want) {
			return others
		}
		time.Sleep(50 * time.Millisecond)
		if time.Now().After(until) {
			s.t.Fatalf("%q, not %q", got, want)
		}
	}
}
