package imapserver

import (
	"context"

	"waxwing/format/abstract"
	"waxwing/format/message"
	"waxwing/mail"
)

// Finding is how a Mailbox helps to find messages, and to put them in order.
type Finding interface {
	// Abstracts gives what messages are searched, sorted and threaded by; nil
	// for those that are gone for good or cannot be read.
	Abstracts(ctx context.Context, ids []mail.EmailID) ([]abstract.Row, error)
	// Narrow gives, for each query, which messages may have what it wants in
	// header or body; nil where any may.
	Narrow(ctx context.Context, queries []abstract.Query) ([]Candidates, error)
	// Whole reads messages with what is known of them. Like Facts it may give
	// fewer than it is asked for.
	Whole(ctx context.Context, ids []mail.EmailID) (Wholes, error)
	// Order gives places of a snapshot in the order of keys: those of places,
	// which are ascending, or all where that is nil. What it gives must not
	// be changed.
	Order(ctx context.Context, s Snapshot, places []int, keys []abstract.SortKey) ([]int32, error)
	// Threaded threads them. What it gives must not be changed.
	Threaded(ctx context.Context, s Snapshot, places []int, by abstract.Algorithm) ([]*abstract.Node, error)
}

// Candidates are the messages that may have a text. They are safe for
// concurrent use.
type Candidates interface {
	// May tells whether a message may have it, which is certain if it may not,
	// or if it has been found out before.
	May(id mail.EmailID) (may, certain bool)
	// Found keeps what has been found out by looking: whether a message has it.
	Found(id mail.EmailID, has bool)
}

// Wholes are messages that have been read together. Release has to be called:
// until then their texts are valid.
type Wholes struct {
	List    []Whole
	Release func()
}

// A Whole is a message with what is known of it.
type Whole struct {
	Message *message.Message // nil: there is no such message, or it cannot be read
	Text    []byte           // nil for a large one, which Mailbox.Body opens
	Err     error            // why it cannot be read
}
