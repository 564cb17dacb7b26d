package imapserver

import (
	"context"
	"io"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// An Account is what the machine needs of one account's mail. Methods refuse
// with *imap.Refusal; other errors are server trouble. It is used by one
// connection's goroutine. Names are UTF-8, with "/" between levels.
type Account interface {
	// Mailboxes lists all, by name, INBOX first.
	Mailboxes(ctx context.Context) ([]Status, error)
	// Mailbox tells of one; imap.CodeNonexistent if there is none.
	Mailbox(ctx context.Context, name string) (Status, error)
	// Subscriptions lists the names subscribed to, which need not exist.
	Subscriptions(ctx context.Context) ([]string, error)

	// Create makes a mailbox and gives its name as it is kept.
	Create(ctx context.Context, name string, role mail.Role) (string, error)
	Rename(ctx context.Context, from, to string) (string, error)
	Delete(ctx context.Context, name string) error
	Subscribe(ctx context.Context, name string, subscribed bool) error

	// Open opens a mailbox for a session.
	Open(ctx context.Context, name string) (Mailbox, error)

	// Accepts says whether a mailbox may take messages, imap.CodeNonexistent
	// if there is none: before the first of them is read. Append sees for
	// itself once more.
	Accepts(ctx context.Context, mailbox string) error
	// Stage begins a message that APPEND brings.
	Stage(ctx context.Context) Staged
	// Append adds staged messages to a mailbox, all or none, durable when it
	// returns.
	Append(ctx context.Context, mailbox string, messages ...NewMessage) (Appended, error)

	Sharing
	Quotas
	Annotations
	Watching

	// Self tells whether a name is that of the account's user. Other opens
	// the account of another, as that user; imap.CodeNonexistent if there is
	// none. RFC 4467 §3
	Self(ctx context.Context, user string) (bool, error)
	Other(ctx context.Context, user string) (Account, error)
	// AccessKey gives the secret with which URLs of a mailbox are authorized,
	// nil if there is none. With make it makes one, with replace a new one.
	// RFC 4467 §2.2
	AccessKey(ctx context.Context, mailbox string, make, replace bool) ([]byte, error)
	// ForgetAccessKeys removes all of them.
	ForgetAccessKeys(ctx context.Context) error

	// Close ends the session.
	Close()
}

// MaxHeader is how much of a header is looked at to choose fields of it.
const MaxHeader = 1 << 20

// A Status is a mailbox as LIST and STATUS show it.
type Status struct {
	ID          mail.MailboxID
	Name        string
	Role        mail.Role
	NoSelect    bool // there is only the name, or it is Unreadable
	Unreadable  bool // there is no right to open it, nor to know what is in it
	Rights      mail.Rights
	Foreign     bool           // it is another's
	Owner       mail.AccountID // whose, then
	UIDValidity mail.UIDValidity
	UIDNext     mail.UID
	Messages    int
	Recent      int // RFC 3501 §6.3.10
	Unseen      int
	Deleted     int
	Size        mail.ByteCount
	// HighestModSeq is at least that of every entry, and of everything that
	// has gone. RFC 7162 §3.1.2.1
	HighestModSeq mail.ModSeq
}

// A Staged takes the octets of a message.
type Staged interface {
	io.Writer
	// Complete tells that all octets have come, and that another message of the
	// same command follows: what takes time can be done while it comes.
	Complete() error
	// Close throws the message away unless Append has kept it. It is always
	// called.
	Close() error
}

// A NewMessage is a message for Append.
type NewMessage struct {
	Body     Staged
	Flags    mail.Flags
	Keywords []mail.Keyword
	Internal time.Time // zero for now
}

// Appended says where messages went; nothing where the user may not read what
// is there. RFC 4315 §3
type Appended struct {
	UIDValidity mail.UIDValidity
	UIDs        []mail.UID
}

// A Mailbox is an open mailbox.
type Mailbox interface {
	// Snapshot gives the newest state. After a method of this session, or of
	// any other, has changed the mailbox and returned, it shows the change.
	Snapshot() Snapshot
	// Rights gives what the user may do with it now. RFC 4314
	Rights(ctx context.Context) (mail.Rights, error)
	// Subscribe has poke called after every change, and every KeyResets, until
	// cancel has been called. It returns at once, and calls no method of the
	// mailbox.
	Subscribe(poke func()) (cancel func())
	// KeyResets counts how often the user's key for URLs of it has been
	// changed. RFC 4467 §7
	KeyResets() uint64
	// Diff tells what happened between two snapshots.
	Diff(old, newest Snapshot) Delta
	// Keeping gives newest's state, with those of old's entries that a
	// session may not yet hear to be expunged.
	Keeping(newest, old Snapshot, vanished []mail.UID) Snapshot
	// Claim tells which messages below next are recent: those from the UID
	// it gives on. With take nobody else will be told that they are.
	// RFC 3501 §2.3.2
	Claim(next mail.UID, take bool) mail.UID

	// Keywords spells out a set; AllKeywords gives those in use.
	Keywords(set KeywordSet) []mail.Keyword
	AllKeywords(ctx context.Context) ([]mail.Keyword, error)

	// Facts gives what was found out when the messages arrived, nil for
	// those that are gone for good. Where there is very much of it, or a
	// message cannot be read, it gives it for the first of ids only; for one
	// at least, unless it is the first that cannot be read.
	Facts(ctx context.Context, ids []mail.EmailID) ([]*message.Message, error)
	// Headers gives messages' headers, each with the empty line that ends
	// it, or the first MaxHeader octets of it; nil for those that are gone
	// for good. Like Facts it may give fewer than it is asked for.
	Headers(ctx context.Context, ids []mail.EmailID) ([][]byte, error)
	// Ready gives one kind of answer to FETCH for each of the entries, as it
	// is sent, nil for messages that are gone for good. It puts them into got,
	// which it may make longer; they must not be changed. Like Facts it may
	// give fewer than it is asked for.
	Ready(ctx context.Context, answer Answer, entries []Entry, got [][]byte) ([][]byte, error)
	// Small reads those of the messages that are small. Like Facts it may give
	// fewer than it is asked for.
	Small(ctx context.Context, ids []mail.EmailID) (Texts, error)
	// Threads gives the threads of messages, zero for those that are gone for
	// good. RFC 8474 §5.2
	Threads(ctx context.Context, ids []mail.EmailID) ([]mail.ThreadID, error)
	// Thread gives the messages of the thread by that id.
	Thread(ctx context.Context, id string) (map[mail.EmailID]bool, error)
	// Vanished gives what has been expunged after a modseq, by UID. known is
	// false where that is forgotten, or too much to look through.
	Vanished(ctx context.Context, since mail.ModSeq) (uids []mail.UID, known bool, err error)
	// Body opens a message of any size.
	Body(ctx context.Context, id mail.EmailID) (Body, error)

	Finding

	// SetFlags changes flags; UIDs that are gone are passed over. It gives
	// those that were left alone because of UnchangedSince.
	SetFlags(ctx context.Context, uids []mail.UID, change FlagChange) (modified []mail.UID, err error)
	// Copy and Move put messages into another mailbox, all or none.
	Copy(ctx context.Context, uids []mail.UID, to string) (Copied, error)
	Move(ctx context.Context, uids []mail.UID, to string) (Copied, error)
	// Replace adds a message to a mailbox and expunges one of this, both or
	// neither. RFC 8508 §3.4
	Replace(ctx context.Context, uid mail.UID, to string, m NewMessage) (Appended, error)
	// Expunge removes those of the messages that have \Deleted.
	Expunge(ctx context.Context, uids []mail.UID) error

	Close()
}

// A FlagChange is what STORE does.
type FlagChange struct {
	Op       imap.StoreOp
	Flags    mail.Flags
	Keywords []mail.Keyword

	// UnchangedSince, when it is not nil, leaves alone what has changed after
	// it. RFC 7162 §3.1.3
	UnchangedSince *mail.ModSeq
}

// Copied pairs UIDs of the source with those of the destination, which are left
// out where the user may not read what is there. RFC 4315 §3
type Copied struct {
	UIDValidity  mail.UIDValidity
	Source, Dest []mail.UID
}

// A Snapshot is one state of a mailbox: entries by UID, immutable.
type Snapshot interface {
	Len() int
	// At gives the i-th entry, from 0.
	At(i int) Entry
	// Read copies entries from the i-th on into dst, and tells how many.
	Read(dst []Entry, i int) int
	// Find gives the place of a UID, or where it would stand.
	Find(uid mail.UID) (i int, found bool)
	Status() Status
	// Gone says that the mailbox has been deleted.
	Gone() bool
}

// An Entry is one message of a Snapshot.
type Entry struct {
	UID      mail.UID
	Email    mail.EmailID
	Size     uint32
	Flags    mail.Flags
	Keywords KeywordSet
	Saved    uint32 // SAVEDATE in Unix seconds
	Internal int64  // INTERNALDATE in Unix seconds
	ModSeq   mail.ModSeq
}

// A KeywordSet stands for a set of keywords; zero is the empty one.
type KeywordSet uint32

// A Delta is what happened between two snapshots, each part by UID.
type Delta struct {
	Vanished []mail.UID
	Changed  []Entry
	Added    []Entry
}

// Texts are small messages in memory that is used again after Release.
type Texts interface {
	Len() int
	// At gives the two halves of a message, which must not be changed; false
	// for one that Mailbox.Body opens, or that there is not.
	At(i int) (first, second []byte, ok bool)
	Release()
}

// A Body is an open message.
type Body interface {
	io.ReaderAt
	Size() mail.ByteCount
	Close() error
}
