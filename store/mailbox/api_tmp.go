package mailbox

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
)

var errSoon = errors.New("not written yet")

type node struct{}

func (s *Store) Create(ctx context.Context, id mail.AccountID, now time.Time, o AccountOptions) error {
	return errSoon
}
func (s *Store) SetQuota(ctx context.Context, id mail.AccountID, q mail.ByteCount) error {
	return errSoon
}
func (s *Store) Delete(ctx context.Context, id mail.AccountID) error { return errSoon }
func (s *Store) Account(id mail.AccountID) *Account                  { return &Account{} }
func (s *Store) Purge(ctx context.Context, now time.Time) error      { return errSoon }

type Account struct{}

type NewEntry struct {
	Mailbox  mail.MailboxID
	Body     *blob.Staged
	Parsed   *message.Message
	Prefix   []byte
	Flags    mail.Flags
	Keywords []mail.Keyword
	Internal time.Time
	Token    string
}
type Appended struct {
	Mailbox     mail.MailboxID
	UIDValidity mail.UIDValidity
	UID         mail.UID
	Email       mail.EmailID
	Thread      mail.ThreadID
	ModSeq      mail.ModSeq
}

func (a *Account) ID() mail.AccountID { return 0 }
func (a *Account) Append(ctx context.Context, now time.Time, entries ...NewEntry) ([]Appended, error) {
	return nil, errSoon
}
func (a *Account) Mailboxes(ctx context.Context) ([]Info, error)          { return nil, errSoon }
func (a *Account) Mailbox(ctx context.Context, name string) (Info, error) { return Info{}, errSoon }
func (a *Account) MailboxByID(ctx context.Context, id mail.MailboxID) (Info, error) {
	return Info{}, errSoon
}
func (a *Account) MailboxByRole(ctx context.Context, role mail.Role) (Info, error) {
	return Info{}, errSoon
}

type CreateOptions struct{ Role mail.Role }

func (a *Account) CreateMailbox(ctx context.Context, name string, o CreateOptions) (Info, error) {
	return Info{}, errSoon
}
func (a *Account) RenameMailbox(ctx context.Context, from, to string) error { return errSoon }
func (a *Account) DeleteMailbox(ctx context.Context, name string) error     { return errSoon }
func (a *Account) Subscribe(ctx context.Context, name string, subscribed bool) error {
	return errSoon
}
func (a *Account) Subscriptions(ctx context.Context) ([]string, error) { return nil, errSoon }

type Usage struct {
	Bytes, Quota mail.ByteCount
	Messages     int
}

func (a *Account) Usage(ctx context.Context) (Usage, error) { return Usage{}, errSoon }

type View struct{}

func (a *Account) Open(ctx context.Context, id mail.MailboxID) (*View, error) { return nil, errSoon }
func (v *View) Snapshot() *Snapshot                                           { return nil }
func (v *View) Subscribe() (<-chan struct{}, func())                          { return nil, func() {} }
func (v *View) Close()                                                        {}

type Snapshot struct{}

func (s *Snapshot) Info() Info                                           { return Info{} }
func (s *Snapshot) Len() int                                             { return 0 }
func (s *Snapshot) At(i int) Entry                                       { return Entry{} }
func (s *Snapshot) Find(uid mail.UID) (int, bool)                        { return 0, false }
func (s *Snapshot) Entries(from int) iter.Seq2[int, Entry]               { return nil }
func (s *Snapshot) Gone() bool                                           { return false }
func (s *Snapshot) Keeping(old *Snapshot, vanished []mail.UID) *Snapshot { return s }

type Delta struct {
	Vanished []mail.UID
	Changed  []Entry
	Added    []Entry
}

func Diff(old, new *Snapshot) Delta { return Delta{} }

type FlagOp uint8

const (
	FlagsReplace FlagOp = iota
	FlagsAdd
	FlagsRemove
)

type FlagChange struct {
	Op             FlagOp
	Flags          mail.Flags
	Keywords       []mail.Keyword
	UnchangedSince *mail.ModSeq
}
type SetResult struct {
	ModSeq   mail.ModSeq
	Modified []mail.UID
}

func (a *Account) SetFlags(ctx context.Context, mbox mail.MailboxID, uids []mail.UID, c FlagChange) (SetResult, error) {
	return SetResult{}, errSoon
}

type Copied struct {
	UIDValidity  mail.UIDValidity
	Source, Dest []mail.UID
}

func (a *Account) Copy(ctx context.Context, now time.Time, from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (Copied, error) {
	return Copied{}, errSoon
}
func (a *Account) Move(ctx context.Context, now time.Time, from mail.MailboxID, uids []mail.UID, to mail.MailboxID) (Copied, error) {
	return Copied{}, errSoon
}

type ExpungeOptions struct{ OnlyDeleted bool }

func (a *Account) Expunge(ctx context.Context, mbox mail.MailboxID, uids []mail.UID, o ExpungeOptions) ([]mail.UID, mail.ModSeq, error) {
	return nil, 0, errSoon
}

type Facts struct {
	Email    mail.EmailID
	Thread   mail.ThreadID
	Size     mail.ByteCount
	Received time.Time
	Message  *message.Message
}

func (a *Account) Facts(ctx context.Context, ids []mail.EmailID) ([]*Facts, error) {
	return nil, errSoon
}

type Body interface {
	io.ReaderAt
	Size() mail.ByteCount
	Close() error
}

func (a *Account) OpenMessage(ctx context.Context, id mail.EmailID) (Body, error) {
	return nil, errSoon
}
func (a *Account) ReadHeader(ctx context.Context, id mail.EmailID) ([]byte, error) {
	return nil, errSoon
}
func (a *Account) Keywords(set KeywordSet) []mail.Keyword                   { return nil }
func (a *Account) KeywordNames(ctx context.Context) ([]mail.Keyword, error) { return nil, errSoon }
func (a *Account) Watch(ctx context.Context) (<-chan mail.ModSeq, error)    { return nil, errSoon }

type Change struct {
	ModSeq    mail.ModSeq
	Time      time.Time
	Mailboxes []MailboxChange
	Created   []Affected
	Changed   []Affected
	Vanished  []Affected
}
type MailboxChange struct {
	Mailbox mail.MailboxID
	Kind    ChangeKind
}
type ChangeKind uint8

const (
	MailboxCreated ChangeKind = 1 + iota
	MailboxChanged
	MailboxDeleted
)

type Affected struct {
	Mailbox mail.MailboxID
	UIDs    []mail.UID
	Emails  []mail.EmailID
}

func (a *Account) Changes(ctx context.Context, since mail.ModSeq) iter.Seq2[Change, error] {
	return nil
}
func (a *Account) LockMaildrop() (unlock func(), err error) { return nil, ErrLocked }
