// Package house builds the rooms that tests of flow and serve stand in: the
// real ones, on the engine that package test/engine gives, with a domain and two accounts.
package house

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"waxwing/auth"
	"waxwing/flow/deliver"
	"waxwing/flow/receive"
	"waxwing/flow/submit"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/directory"
	"waxwing/store/dkimkeys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
	"waxwing/test/engine"
)

// Hostname is what the house calls itself.
const Hostname = "mx.example.test"

// A House is the rooms.
type House struct {
	Directory *directory.Directory
	Mailboxes *mailbox.Store
	Queue     *outqueue.Queue
	Blobs     blob.Store
	Auth      *auth.Authenticator
	Deliverer *deliver.Deliverer
	Receiver  *receive.Receiver
	Submitter *submit.Submitter
	Keys      *dkimkeys.Store // that sign; none are there at first
	Log       *slog.Logger

	Alice, Bob directory.Account
	tb         testing.TB
}

// New builds a house with the domain example.test and the accounts
// alice@example.test and bob@example.test, which have no passwords yet.
func New(tb testing.TB) *House {
	tb.Helper()
	db, blobs := engine.New(tb), memblob.New(0)
	h := Over(tb, db, blobs, slog.New(slog.DiscardHandler))
	tb.Cleanup(func() {
		for _, c := range []io.Closer{h.Mailboxes, blobs, db} {
			if err := c.Close(); err != nil {
				tb.Errorf("close: %v", err)
			}
		}
	})
	h.Furnish()
	return h
}

// Over builds the rooms over stores that the caller closes, after the
// mailboxes. There is nobody in it.
func Over(tb testing.TB, db kv.Store, blobs blob.Store, log *slog.Logger) *House {
	h := &House{Directory: directory.New(db), Blobs: blobs, Log: log, tb: tb}
	h.Mailboxes = mailbox.New(db, blobs, mailbox.Options{Log: log})
	h.Queue = outqueue.New(db, blobs, outqueue.Options{Log: log})
	h.Auth = auth.New(h.Directory, auth.Options{Log: h.Log})
	h.Keys = dkimkeys.New(db)
	h.Deliverer = deliver.New(h.Directory, h.Mailboxes, h.Queue, blobs, deliver.Options{Hostname: Hostname, Keys: h.Keys.Signing, Log: h.Log})
	h.Receiver = receive.New(h.Deliverer, blobs, receive.Options{Hostname: Hostname, Log: h.Log})
	h.Submitter = submit.New(h.Deliverer, h.Directory, blobs, submit.Options{Hostname: Hostname, Log: h.Log})
	return h
}

// Furnish adds the domain and the accounts of New to an empty house.
func (h *House) Furnish() {
	h.tb.Helper()
	if _, err := h.Directory.AddDomain(ctx(h.tb), time.Now(), directory.Domain{Name: "example.test"}); err != nil {
		h.tb.Fatal(err)
	}
	h.Alice, h.Bob = h.Account("alice@example.test"), h.Account("bob@example.test")
}

func ctx(tb testing.TB) context.Context { return tb.Context() }

// Account makes an account with its mailboxes.
func (h *House) Account(address string) directory.Account {
	h.tb.Helper()
	a, err := h.Directory.AddAccount(ctx(h.tb), time.Now(), directory.Account{Address: Address(address)})
	if err != nil {
		h.tb.Fatal(err)
	}
	if err := h.Mailboxes.Create(ctx(h.tb), a.ID, time.Now(), mailbox.AccountOptions{Quota: a.Quota}); err != nil {
		h.tb.Fatal(err)
	}
	return a
}

// Alias makes an alias.
func (h *House) Alias(address string, targets ...string) {
	h.tb.Helper()
	alias := directory.Alias{Address: Address(address)}
	for _, t := range targets {
		alias.Targets = append(alias.Targets, Address(t))
	}
	if _, err := h.Directory.AddAlias(ctx(h.tb), time.Now(), alias); err != nil {
		h.tb.Fatal(err)
	}
}

// Address reads an address that is known to be right.
func Address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// Identity is an account's login.
func Identity(a directory.Account) sasl.Identity {
	return sasl.Identity{Account: a.ID, Login: a.Address, Mechanism: "PLAIN"}
}

// Inbox gives the texts of the messages in an account's INBOX.
func (h *House) Inbox(a directory.Account) []string {
	h.tb.Helper()
	return h.In(a, mailbox.InboxName)
}

// In gives the texts of the messages in one of an account's mailboxes.
func (h *House) In(a directory.Account, name string) []string {
	h.tb.Helper()
	account := h.Mailboxes.Account(a.ID)
	info, err := account.Mailbox(ctx(h.tb), name)
	if err != nil {
		h.tb.Fatal(err)
	}
	view, err := account.Open(ctx(h.tb), info.ID)
	if err != nil {
		h.tb.Fatal(err)
	}
	defer view.Close()
	var texts []string
	for _, e := range view.Snapshot().Entries(0) {
		body, err := account.OpenMessage(ctx(h.tb), e.Email)
		if err != nil {
			h.tb.Fatal(err)
		}
		text := make([]byte, body.Size())
		if _, err := body.ReadAt(text, 0); err != nil && err != io.EOF {
			h.tb.Fatal(err)
		}
		if err := body.Close(); err != nil {
			h.tb.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// Queued gives the items in the outqueue.
func (h *House) Queued() []*outqueue.Item {
	h.tb.Helper()
	var all []*outqueue.Item
	for it, err := range h.Queue.List(ctx(h.tb), outqueue.Filter{}) {
		if err != nil {
			h.tb.Fatal(err)
		}
		all = append(all, it)
	}
	return all
}
