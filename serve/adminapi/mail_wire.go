package adminapi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// Mailbox is one mailbox of an account.
type Mailbox struct {
	ID            uint32 `json:"id"`
	Name          string `json:"name"` // "/" between levels
	Role          string `json:"role,omitempty"`
	Subscribed    bool   `json:"subscribed"`
	NoSelect      bool   `json:"no_select,omitempty"` // only a name, for those below it
	UIDValidity   uint32 `json:"uid_validity"`
	UIDNext       uint32 `json:"uid_next"`
	HighestModSeq uint64 `json:"highest_modseq"`
	Messages      int    `json:"messages"`
	Size          int64  `json:"size"`
}

// WantedMailbox is a PUT: there is to be a mailbox like this.
type WantedMailbox struct {
	Name       string `json:"name"`
	Role       string `json:"role,omitempty"`       // given to a new one, unless another has it
	Subscribed *bool  `json:"subscribed,omitempty"` // nil: as it is; a new one is subscribed
}

// Entry is one message in a mailbox.
type Entry struct {
	UID      uint32   `json:"uid"`
	Email    string   `json:"email"`
	Flags    []string `json:"flags,omitempty"` // as IMAP writes them
	Internal int64    `json:"internal"`        // Unix seconds
	Size     int64    `json:"size"`

	// Failed says why the message, whose octets are wanted, cannot be given; Size
	// is zero then.
	Failed string `json:"failed,omitempty"`
}

// An Incoming stands before the octets of a message that is to be imported.
type Incoming struct {
	Size     int64    `json:"size"`
	Internal int64    `json:"internal"` // Unix seconds
	Flags    []string `json:"flags,omitempty"`
	Places   []Place  `json:"places"`
}

// A Place is a mailbox that a message is to be in, and where it comes from.
type Place struct {
	Mailbox uint32 `json:"mailbox"`
	Source  string `json:"source"` // the source mailbox: 32 hex digits
	Item    string `json:"item"`   // the message there: ASCII, 1 to 40 octets

	// Below is the UID below which the mailbox may hold the same message that
	// has come by another way; zero if it is not to be looked for.
	Below uint32 `json:"below,omitempty"`
}

// Outcome tells what has become of an Incoming.
type Outcome struct {
	Imported int    `json:"imported"` // places that are new
	There    int    `json:"there"`    // places where it was already
	Failed   string `json:"failed,omitempty"`
	Quota    bool   `json:"quota,omitempty"` // it failed since the account is full
}

// Imported is what is remembered of an item of a source.
type Imported struct {
	Item    string   `json:"item"`
	Mailbox uint32   `json:"mailbox"`
	UID     uint32   `json:"uid"`
	Flags   []string `json:"flags,omitempty"` // at the source, when they were last carried over
}

// SourceChange is what has changed about an item at its source.
type SourceChange struct {
	Item  string   `json:"item"`
	Flags []string `json:"flags,omitempty"`
	Gone  bool     `json:"gone,omitempty"` // it is to be expunged here, too
}

// SourceChanges is a POST.
type SourceChanges struct {
	Changes []SourceChange `json:"changes"`
}

// SourceChanged tells what a SourceChanges did.
type SourceChanged struct {
	Changed  int `json:"changed"`
	Expunged int `json:"expunged"`
}

// uidList is a POST that asks for messages.
type uidList struct {
	UIDs []uint32 `json:"uids"`
}

// outcomes answers a stream of messages.
type outcomes struct {
	Outcomes []Outcome `json:"outcomes"`
}

// Bounds of one stream of messages towards the server.
const (
	MaxBatch      = 1000 // messages
	MaxBatchUIDs  = 10_000
	maxPlaceCount = 50
	maxHead       = 64 << 10
	maxMessage    = 1 << 30
)

// A stream is heads and messages in turn: the head as one line of JSON, then
// the octets of the message, as many as its "size" says.

func writeHead(w *bufio.Writer, head any) error {
	b, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if len(b) > maxHead-1 {
		return errors.New("too much to say about one message")
	}
	if _, err = w.Write(b); err == nil {
		err = w.WriteByte('\n')
	}
	return err
}

// readHead reads the next head; io.EOF means that there is no more. r holds
// maxHead octets.
func readHead(r *bufio.Reader, head any) error {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return io.EOF
	case errors.Is(err, bufio.ErrBufferFull):
		return errors.New("the head of a message is too long")
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	return json.Unmarshal(line, head)
}

// FlagNames gives flags and keywords as IMAP writes them, a word each.
func FlagNames(flags mail.Flags, keywords []mail.Keyword) []string {
	if flags == 0 && len(keywords) == 0 {
		return nil
	}
	list := imap.AppendFlags(nil, flags, keywords, false)
	return strings.Fields(string(list[1 : len(list)-1]))
}

// ParseFlags reads what FlagNames gives. Other words with a backslash are
// refused.
func ParseFlags(names []string) (flags mail.Flags, keywords []mail.Keyword, err error) {
	for _, name := range names {
		if !strings.HasPrefix(name, `\`) {
			keywords = append(keywords, mail.Keyword(name))
			continue
		}
		f := mail.Flags(0)
		switch strings.ToLower(name) {
		case `\seen`:
			f = mail.Seen
		case `\answered`:
			f = mail.Answered
		case `\flagged`:
			f = mail.Flagged
		case `\deleted`:
			f = mail.Deleted
		case `\draft`:
			f = mail.Draft
		default:
			return 0, nil, fmt.Errorf("%q is no flag", name)
		}
		flags |= f
	}
	return flags, keywords, nil
}
