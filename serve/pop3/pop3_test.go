package pop3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/auth"
	"waxwing/mail"
	"waxwing/proto/pop3/pop3server"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/test/engine"
	"waxwing/test/transcript"
)

// What bob's INBOX holds. Transcripts know the sizes.
var inbox = []string{
	"From: ann@example.com\r\nSubject: one\r\n\r\nfirst line\r\n.a line that begins with a dot\r\n.\r\n..\r\na last line, and then a dot behind it.\r\n",
	"From: ann@example.com\r\nSubject: two\r\n\r\nbody of two\r\nsecond line\r\n",
	"From: Jörg <jörg@example.com>\r\nSubject: Grüße\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nschöne Grüße\r\n",
}

const odd = "Subject: odd\n\na\n.\nquit\nend"

// A house is what stands behind the door.
type house struct {
	t         testing.TB
	mailboxes *mailbox.Store
	logins    *auth.Authenticator
	accounts  map[string]mail.AccountID
}

func newHouse(t testing.TB) *house {
	ctx, now := t.Context(), time.Now()
	db := engine.New(t)
	users := directory.New(db)
	h := &house{
		t:         t,
		mailboxes: mailbox.New(db, nil, mailbox.Options{}),
		logins:    auth.New(users, auth.Options{}),
		accounts:  map[string]mail.AccountID{},
	}
	t.Cleanup(func() {
		h.must(h.mailboxes.Close())
		h.must(db.Close())
	})
	h.must(kv.Apply(ctx, db, keys.Directory, func(tx kv.Txn) error {
		for _, item := range people() {
			tx.Put(item.Key, item.Value)
		}
		return nil
	}))
	for a, err := range users.Accounts(ctx, 0) {
		h.must(err)
		h.accounts[a.Address.Local] = a.ID
		h.must(h.mailboxes.Create(ctx, a.ID, now, mailbox.AccountOptions{}))
	}
	return h
}

// people makes the directory of all tests, once: hashing passwords is slow.
var people = sync.OnceValue(func() (items []kv.Item) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	ctx, now := context.Background(), time.Now()
	db := memkv.New()
	users := directory.New(db)
	_, err := users.AddDomain(ctx, now, directory.Domain{Name: "example.test"})
	must(err)
	for name, password := range map[string]string{"alice": "waxwing", "bob": "waxwing", "jörg": "schlüssel"} {
		address, err := mail.ParseAddress(name + "@example.test")
		must(err)
		a, err := users.AddAccount(ctx, now, directory.Account{Address: address})
		must(err)
		must(users.SetPassword(ctx, a.ID, password))
	}
	must(db.View(ctx, keys.Directory, func(r kv.Reader) error {
		for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			items = append(items, kv.Item{Key: bytes.Clone(item.Key), Value: bytes.Clone(item.Value)})
		}
		return nil
	}))
	return items
})

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// append puts messages into an INBOX.
func (h *house) append(name string, messages ...string) {
	h.t.Helper()
	ctx := h.t.Context()
	a := h.mailboxes.Account(h.accounts[name])
	info, err := a.Mailbox(ctx, "INBOX")
	h.must(err)
	for _, m := range messages {
		body, err := blob.StageBytes(ctx, nil, []byte(m))
		h.must(err)
		_, err = a.Append(ctx, time.Now(), mailbox.NewEntry{Mailbox: info.ID, Body: body})
		h.must(err)
		h.must(body.Close())
	}
}

// snapshot gives an INBOX as it is.
func (h *house) snapshot(name string) *mailbox.Snapshot {
	h.t.Helper()
	a := h.mailboxes.Account(h.accounts[name])
	info, err := a.Mailbox(h.t.Context(), "INBOX")
	h.must(err)
	v, err := a.Open(h.t.Context(), info.ID)
	h.must(err)
	defer v.Close()
	return v.Snapshot()
}

// serve opens the door on a listener, until the test ends.
func (h *house) serve(l net.Listener, o pop3server.Options) {
	o.Hostname, o.Auth = "mail.example", h.logins
	door := New(h.mailboxes, Options{LoginDelay: o.LoginDelay})
	server := pop3server.New(door.Open, o)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	h.t.Cleanup(func() {
		stop()
		h.must(<-ended)
	})
}

func TestTranscripts(t *testing.T) {
	people() // outside of bubbles
	transcript.Run(t, "testdata/*.pop3", func(t *testing.T, o transcript.Options) transcript.Dial {
		h := newHouse(t)
		h.append("bob", inbox...)
		if o["odd"] != "" {
			h.append("bob", odd)
		}
		options := pop3server.Options{PlaintextOnLoopback: true}
		options.MaxErrors, _ = strconv.Atoi(o["errors"])
		options.MaxLogins, _ = strconv.Atoi(o["logins"])
		options.Expire, _ = strconv.Atoi(o["expire"])
		options.LoginDelay, _ = time.ParseDuration(o["delay"])
		if o["tls"] != "none" {
			options.TLS = &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}}
			options.ImplicitTLS = o["tls"] == "implicit"
		}
		l := transcript.Listen(110)
		h.serve(l, options)
		remote := netip.MustParseAddr("127.0.0.1")
		if o["remote"] != "" {
			remote = netip.MustParseAddr(o["remote"])
		}
		user := o["login"] // of the first connection
		return func() net.Conn {
			c := l.DialFrom(netip.AddrPortFrom(remote, 40000))
			if user != "" {
				newClient(t, c).login(user, "waxwing")
				user = ""
			}
			return c
		}
	})
}

// A client speaks POP3 as far as these tests need it.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// newClient takes a new connection. It reads no further than the last line.
func newClient(t testing.TB, conn net.Conn) *client {
	c := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
	c.ok("")
	return c
}

func (c *client) login(user, password string) {
	c.t.Helper()
	c.ok("USER " + user)
	c.ok("PASS " + password)
}

// ok sends a line and gives the positive response.
func (c *client) ok(line string) string {
	c.t.Helper()
	if line != "" {
		if _, err := io.WriteString(c.conn, line+"\r\n"); err != nil {
			c.t.Fatal(err)
		}
	}
	response, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(response, "+OK") {
		c.t.Fatalf("%s: %q, %v", line, response, err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(response, "+OK "), "\r\n")
}

// lines reads a multi-line response, unstuffed.
func (c *client) lines() string {
	c.t.Helper()
	var all strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if line == ".\r\n" {
			return all.String()
		}
		all.WriteString(strings.TrimPrefix(line, "."))
	}
}

// dial gives a client of bob's over TCP.
func (h *house) dial() *client {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.serve(l, pop3server.Options{PlaintextOnLoopback: true})
	conn, err := net.Dial("tcp", l.Addr().String())
	h.must(err)
	h.t.Cleanup(func() { _ = conn.Close() })
	c := newClient(h.t, conn)
	c.login("bob", "waxwing")
	return c
}

// What IMAP sessions and deliveries do meanwhile does not disturb the
// numbering, and what is gone already is no obstacle to QUIT.
func TestChangesMeanwhile(t *testing.T) {
	h := newHouse(t)
	h.append("bob", inbox...)
	before := h.snapshot("bob")
	c := h.dial()
	c.ok("RETR 1")
	c.lines()
	c.ok("DELE 2")
	c.ok("DELE 3")
	h.append("bob", inbox[0])
	account := h.mailboxes.Account(h.accounts["bob"])
	_, _, err := account.Expunge(t.Context(), before.Info().ID, []mail.UID{before.At(1).UID}, mailbox.ExpungeOptions{})
	h.must(err)
	if have := c.ok("STAT"); have != "1 130" {
		t.Errorf("STAT says %q", have)
	}
	c.ok("QUIT")
	after := h.snapshot("bob")
	if after.Len() != 2 {
		t.Fatalf("%d messages are left", after.Len())
	}
	if e := after.At(0); e.UID != before.At(0).UID || !e.Flags.Has(mail.Seen) {
		t.Errorf("the message that was retrieved is now %+v", e)
	}
	if e := after.At(1); e.Flags.Has(mail.Seen) {
		t.Errorf("the message that came meanwhile is now %+v", e)
	}
}

// A large maildrop is listed from memory, and all of it is deleted at once.
func TestManyMessages(t *testing.T) {
	const n = 3500 // more than one transaction holds
	h := newHouse(t)
	ctx := t.Context()
	a := h.mailboxes.Account(h.accounts["bob"])
	info, err := a.Mailbox(ctx, "INBOX")
	h.must(err)
	for i := 0; i < n; i += 100 {
		var entries []mailbox.NewEntry
		for k := range 100 {
			body, err := blob.StageBytes(ctx, nil, fmt.Appendf(nil, "Subject: %d\r\n\r\n", i+k))
			h.must(err)
			entries = append(entries, mailbox.NewEntry{Mailbox: info.ID, Body: body})
		}
		_, err := a.Append(ctx, time.Now(), entries...)
		h.must(err)
	}
	c := h.dial()
	for _, command := range []string{"LIST", "UIDL"} {
		c.ok(command)
		if have := strings.Count(c.lines(), "\n"); have != n {
			t.Errorf("%s gives %d lines", command, have)
		}
	}
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "DELE %d\r\n", i+1)
	}
	go func() { _, _ = io.WriteString(c.conn, all.String()) }() // an error shows in the responses
	for range n {
		c.ok("")
	}
	c.ok("QUIT")
	if have := h.snapshot("bob").Len(); have != 0 {
		t.Errorf("%d messages are left", have)
	}
}

// Sizes agree with what is sent, and the message is what was stored, also
// where it is larger than any buffer.
func TestLargeMessage(t *testing.T) {
	m := "Subject: large\r\n\r\n" + strings.Repeat("..dots and ..more\r\n.\r\n", 4000)
	h := newHouse(t)
	h.append("bob", m)
	c := h.dial()
	if have := c.ok("LIST 1"); have != fmt.Sprintf("1 %d", len(m)) {
		t.Errorf("LIST says %q", have)
	}
	if have := c.ok("RETR 1"); have != fmt.Sprintf("%d octets", len(m)) {
		t.Errorf("RETR says %q", have)
	}
	if have := c.lines(); have != m {
		t.Errorf("%d octets have come, want %d", len(have), len(m))
	}
	c.ok("TOP 1 2")
	if have := c.lines(); have != m[:len("Subject: large\r\n\r\n..dots and ..more\r\n.\r\n")] {
		t.Errorf("TOP gives %q", have)
	}
}
