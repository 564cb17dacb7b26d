package migrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"time"

	"waxwing/mail"
)

// A Source is where mail comes from. It is used by one goroutine.
type Source interface {
	// Folders lists the mailboxes that there are.
	Folders(ctx context.Context) ([]Folder, error)

	// List lists the messages of a folder, in the order in which they came,
	// and sets the folder's ID.
	List(ctx context.Context, f *Folder) ([]Message, error)

	// Fetch reads messages of the folder that was listed last and calls fn
	// for each, once, by its index. A message that cannot be read comes with
	// an error; an error that fn returns ends Fetch.
	Fetch(ctx context.Context, f *Folder, list []Message, fn func(i int, t Text, err error) error) error

	// Notes says what was found that is not mail, or not understood.
	Notes() []string

	Close() error
}

// A Folder is a mailbox of a source.
type Folder struct {
	Name       string    // as ours are: UTF-8, "/" between levels, INBOX
	Role       mail.Role // as the source says, or as its name does
	Subscribed *bool     // nil: the source does not say
	Virtual    bool      // shows messages of other folders
	ID         string    // what tells it from all others; see sourceID

	path string // where the source has it
}

// A Message is one message of a folder.
type Message struct {
	Item     string // what tells it from others of the folder, ASCII
	Flags    mail.Flags
	Keywords []mail.Keyword
	Date     time.Time // zero: Fetch will tell
	Size     int64     // about, -1: Fetch will tell

	// Labels name the mailboxes that it is in, where the source has labels
	// (Gmail); nil where it has folders.
	Labels []string

	path string // where the source has it
	at   int64
	like string // the Item of one before it that is equal to it, if the source knows
}

// A Text is a message's octets, as they travel.
type Text struct {
	io.Reader
	Size int64
	Date time.Time
}

// sourceID gives the ID of a folder, from what makes it out.
func sourceID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
