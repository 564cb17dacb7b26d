// Package imap is the door for IMAP: it binds the machine of
// proto/imap/imapserver to the mailboxes of an account. How connections,
// states and commands work is the machine's business; how mail is kept, that
// of store/mailbox.
//
// A session shares the open mailbox, an immutable snapshot at a time, with
// everybody else on this node. A message that APPEND brings is parsed while
// it comes and spooled when it is large.
package imap

import (
	"context"
	"log/slog"

	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
	"waxwing/store/opened"
	"waxwing/store/search"
)

// A Door opens accounts for IMAP. It is safe for concurrent use.
type Door struct {
	mailboxes *mailbox.Store
	blobs     blob.Store
	people    *directory.Directory // nil where nobody shares anything
	claims    claims
	resets    *keyResets
	index     *search.Index
	answers   *answers
	keeper    *keeper
	opened    *opened.File // nil to remember nothing
	readings  readings
}

// Options of a Door.
type Options struct {
	// Directory tells who has mailboxes. Without it users see their own alone.
	Directory *directory.Directory
	// Index helps to search. Without it all messages are read.
	Index *search.Index
	// Answers bounds the memory, in octets, in which answers to FETCH are kept
	// as they are sent; 0 for 64 MiB.
	Answers int64
	// Stored is where Run stores them. Without it, or where Run does not run,
	// they are made anew after a start.
	Stored kv.Store
	// Opened is where Remember notes what is in memory. May be nil.
	Opened *opened.File
	Log    *slog.Logger
}

// New makes a door to the mailboxes; blobs takes large messages while they
// come.
func New(mailboxes *mailbox.Store, blobs blob.Store, o Options) *Door {
	if o.Index == nil {
		o.Index = search.New(nil, mailboxes, search.Options{})
	}
	if o.Answers == 0 {
		o.Answers = 64 << 20
	}
	return &Door{
		mailboxes: mailboxes, blobs: blobs, people: o.Directory, claims: newClaims(), resets: newKeyResets(), index: o.Index,
		answers: newAnswers(o.Answers), keeper: newKeeper(&o, mailboxes), opened: o.Opened,
	}
}

// Open is the imapserver.Newer.
func (d *Door) Open(ctx context.Context, _ *imapserver.Info, who sasl.Identity) (imapserver.Account, error) {
	a := &account{door: d, account: d.mailboxes.Account(who.Account), who: who}
	if err := a.movedAway(ctx); err != nil {
		return nil, err
	}
	if _, err := a.account.Usage(ctx); err != nil { // there is an account
		return nil, refuse(err)
	}
	return a, nil
}
