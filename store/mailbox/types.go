package mailbox

import (
	"errors"
	"math"
	"time"

	"waxwing/mail"
)

// Errors that callers branch on.
var (
	ErrNoAccount   = errors.New("no such account")
	ErrNoMailbox   = errors.New("no such mailbox")
	ErrExists      = errors.New("mailbox already exists")
	ErrNoMessage   = errors.New("no such message")
	ErrOverQuota   = errors.New("over quota")
	ErrInboxDelete = errors.New("INBOX cannot be deleted")
	ErrName        = errors.New("mailbox name is not allowed")
	ErrHasChildren = errors.New("mailbox has children")
	ErrTooMany     = errors.New("limit reached") // mailboxes, keywords
	ErrLocked      = errors.New("maildrop is locked by another session")
	ErrTooOld      = errors.New("changes that old are forgotten")
	ErrTooLarge    = errors.New("message is too large")
	ErrClosed      = errors.New("store is closed")
)

// Info is a mailbox as it stands at one modseq.
type Info struct {
	ID            mail.MailboxID
	Name          string // full name, UTF-8 NFC, "/" between levels
	Role          mail.Role
	Subscribed    bool
	UIDValidity   mail.UIDValidity
	UIDNext       mail.UID
	HighestModSeq mail.ModSeq
	Messages      int
	Unseen        int
	Deleted       int
	Size          mail.ByteCount

	// NoSelect says that there is only the name, for the sake of the
	// mailboxes below it. RFC 9051 §6.3.5
	NoSelect bool
}

// An Entry is one message in one mailbox: what changes about it. It is 40
// bytes; a million of them are held in memory.
type Entry struct {
	UID      mail.UID
	Size     uint32 // octets of the message
	Saved    uint32 // SAVEDATE (RFC 8514), Unix seconds; our own clock, so until 2106
	Keywords KeywordSet
	Flags    mail.Flags
	Email    mail.EmailID
	ModSeq   mail.ModSeq
	Internal int64 // INTERNALDATE, Unix seconds; the zone is UTC
}

// A KeywordSet names a set of keywords, interned per account on this node;
// zero is the empty set. Account.Keywords spells it out.
type KeywordSet uint16

// SaveDate gives Saved as a time.
func (e Entry) SaveDate() time.Time { return time.Unix(int64(e.Saved), 0).UTC() }

// savedAt gives a time as Entry.Saved has it.
func savedAt(now time.Time) uint32 { return uint32(min(max(now.Unix(), 0), math.MaxUint32)) }

// InternalDate gives Internal as a time.
func (e Entry) InternalDate() time.Time { return time.Unix(e.Internal, 0).UTC() }
