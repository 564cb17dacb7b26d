package imap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/auth"
	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/blob"
	"waxwing/store/blob/fsblob"
	"waxwing/store/directory"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/test/engine"
	"waxwing/test/transcript"
)

// A house is what stands behind the door.
type house struct {
	t         testing.TB
	db        kv.Store
	mailboxes *mailbox.Store
	users     *directory.Directory
	blobs     blob.Store
	logins    *auth.Authenticator
	accounts  map[string]mail.AccountID
}

func newHouse(t testing.TB, o mailbox.Options) *house { return newHouseOn(t, engine.New(t), o) }

// newHouseOn stands on a store, which it closes.
func newHouseOn(t testing.TB, db kv.Store, o mailbox.Options) *house {
	ctx, now := t.Context(), time.Now()
	blobs, err := fsblob.Open(t.TempDir(), fsblob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	users := directory.New(db)
	h := &house{
		t:         t,
		db:        db,
		blobs:     blobs,
		users:     users,
		mailboxes: mailbox.New(db, blobs, o),
		logins:    auth.New(users, auth.Options{}),
		accounts:  map[string]mail.AccountID{},
	}
	t.Cleanup(func() {
		h.must(h.mailboxes.Close())
		h.must(blobs.Close())
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
	for _, name := range []string{"alice", "bob"} {
		a, err := users.AddAccount(ctx, now, directory.Account{Address: mail.Address{Local: name, Domain: "example.test"}})
		must(err)
		must(users.SetPassword(ctx, a.ID, "waxwing"))
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

// append puts messages into alice's INBOX.
func (h *house) append(messages ...string) {
	h.t.Helper()
	ctx := h.t.Context()
	a := h.mailboxes.Account(h.accounts["alice"])
	info, err := a.Mailbox(ctx, "INBOX")
	h.must(err)
	for _, m := range messages {
		body, err := blob.StageBytes(ctx, h.blobs, []byte(m))
		h.must(err)
		_, err = a.Append(ctx, time.Now(), mailbox.NewEntry{Mailbox: info.ID, Body: body})
		h.must(err)
		h.must(body.Close())
	}
}

// serve opens the door on a listener, until the test ends.
func (h *house) serve(l net.Listener, o imapserver.Options) (stop func()) {
	o.Hostname, o.Auth = "mail.example", h.logins
	server := imapserver.New(New(h.mailboxes, h.blobs, Options{Directory: h.users}).Open, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	h.t.Cleanup(func() {
		cancel()
		h.must(<-ended)
	})
	return cancel
}

// change changes the account of a user, if one is named.
func (h *house) change(name string, fn func(*directory.Account)) {
	h.t.Helper()
	if name == "" {
		return
	}
	_, err := h.users.UpdateAccount(h.t.Context(), h.accounts[name], func(a *directory.Account) error { fn(a); return nil })
	h.must(err)
}

// short makes a small message with a number in it.
func short(i int) string {
	return fmt.Sprintf("From: Ann <ann@example.com>\r\nTo: alice@example.test\r\nSubject: message %d\r\n"+
		"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <%d@example.com>\r\n\r\nbody of %d\r\n", i, i, i)
}

// Options of the transcripts: O: login (alice, before anything else is said,
// on every connection), O: select (a mailbox, the same), O: short (how many
// messages made by short are in INBOX), O: mail (files of testdata that are),
// O: tls, O: remote, O: errors, O: logins, O: limit, O: drain, O: plaintext,
// O: quota, O: admin (who is one), O: moved (who, and where to).
func TestTranscripts(t *testing.T) {
	people() // outside of bubbles
	transcript.Run(t, "testdata/*.imap", func(t *testing.T, o transcript.Options) transcript.Dial {
		quota, _ := strconv.Atoi(o["quota"])
		h := newHouse(t, mailbox.Options{Quota: mail.ByteCount(quota)})
		h.change(o["admin"], func(a *directory.Account) { a.Admin = true })
		if who, host, moved := strings.Cut(o["moved"], " "); moved {
			h.change(who, func(a *directory.Account) { a.Settings = map[string]string{directory.SettingMoved: host} })
		}
		n, _ := strconv.Atoi(o["short"])
		for i := range n {
			h.append(short(i + 1))
		}
		for _, name := range strings.Fields(o["mail"]) {
			b, err := os.ReadFile(filepath.Join("testdata", name))
			h.must(err)
			h.append(strings.ReplaceAll(string(b), "\n", "\r\n"))
		}
		options := imapserver.Options{PlaintextOnLoopback: true, Version: "1.0"}
		options.MaxErrors, _ = strconv.Atoi(o["errors"])
		options.MaxLogins, _ = strconv.Atoi(o["logins"])
		limit, _ := strconv.Atoi(o["limit"])
		options.MaxMessage = mail.ByteCount(limit)
		options.MessageLimit, _ = strconv.Atoi(o["messages"])
		options.MaxPerAccount, _ = strconv.Atoi(o["connections"])
		if o["tls"] != "none" {
			options.TLS = &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}}
			options.ImplicitTLS = o["tls"] == "implicit"
		}
		l := transcript.Listen(143)
		stop := h.serve(l, options)
		if after, err := time.ParseDuration(o["drain"]); err == nil {
			timer := time.AfterFunc(after, stop)
			t.Cleanup(func() { timer.Stop() })
		}
		remote := netip.MustParseAddr("127.0.0.1")
		if o["remote"] != "" {
			remote = netip.MustParseAddr(o["remote"])
		}
		return func() net.Conn {
			c := l.DialFrom(netip.AddrPortFrom(remote, 40000))
			if o["login"] != "" {
				k := newClient(t, c)
				k.ok("LOGIN " + o["login"] + " waxwing")
				if o["enable"] != "" {
					k.ok("ENABLE " + o["enable"])
				}
				if o["select"] != "" {
					k.ok("SELECT " + o["select"])
				}
			}
			return c
		}
	})
}

// A client speaks IMAP as far as these tests need it.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	tag  int
}

// newClient takes a new connection.
func newClient(t testing.TB, conn net.Conn) *client {
	c := &client{t: t, conn: conn, in: bufio.NewReader(conn)}
	c.line()
	return c
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// do sends a command and gives the untagged responses and the tagged one.
// Literals in responses must not look like a tagged line.
func (c *client) do(command string) (untagged []string, tagged string) {
	c.t.Helper()
	c.tag++
	tag := "t" + strconv.Itoa(c.tag)
	if _, err := io.WriteString(c.conn, tag+" "+command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	for {
		line := c.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			return untagged, rest
		}
		untagged = append(untagged, line)
	}
}

// ok sends a command that has to succeed.
func (c *client) ok(command string) []string {
	c.t.Helper()
	untagged, tagged := c.do(command)
	if !strings.HasPrefix(tagged, "OK") {
		c.t.Fatalf("%.100s: %s", command, tagged)
	}
	return untagged
}

// dial gives a client of alice's over TCP.
func (h *house) dial(addr string) *client { return h.dialAs(addr, "alice") }

// dialAs gives a client of somebody's.
func (h *house) dialAs(addr, user string) *client {
	conn, err := net.Dial("tcp", addr)
	h.must(err)
	h.t.Cleanup(func() { _ = conn.Close() })
	c := newClient(h.t, conn)
	c.ok("LOGIN " + user + " waxwing")
	return c
}

// listen opens the door on a TCP port.
func (h *house) listen() string {
	return h.listenWith(imapserver.Options{PlaintextOnLoopback: true})
}

func (h *house) listenWith(o imapserver.Options) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	h.serve(l, o)
	return l.Addr().String()
}
