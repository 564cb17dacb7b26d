package trace

import (
	"context"
	"time"

	"waxwing/mail"
)

// A Recorder takes the steps of messages. Record copies what it keeps, waits
// for nobody and cannot fail: where there is no room, events are dropped and
// counted. It is safe for concurrent use.
type Recorder interface {
	Record(ctx context.Context, e Event)
}

// Discard is a Recorder that forgets everything.
type Discard struct{}

// Record does nothing.
func (Discard) Record(context.Context, Event) {}

// A Step says which step of a message's way an event is.
type Step uint8

// The steps. Numbers are stored and never used again.
const (
	Connected Step = iota + 1 // a peer was turned away, or slowed, before it had said what it wants
	Recipient                 // a recipient was accepted or refused
	Received                  // the message has come in
	Judged                    // a check or a rule has said something about it
	Refused                   // the message was refused at the door
	Filed                     // it lies in an account's mailbox
	Queued                    // it waits in the outqueue
	Sent                      // another host has it
	Deferred                  // a try was in vain and another will follow
	Failed                    // it cannot go to a recipient
	Notified                  // the sender has been told something
	Steered                   // an administrator has done something to it
	Done                      // nothing is left to do
)

var stepNames = [...]string{
	Connected: "connected", Recipient: "recipient", Received: "received", Judged: "judged", Refused: "refused",
	Filed: "filed", Queued: "queued", Sent: "sent", Deferred: "deferred", Failed: "failed", Notified: "notified",
	Steered: "steered", Done: "done",
}

// String gives the word that commands print.
func (s Step) String() string {
	if int(s) < len(stepNames) && stepNames[s] != "" {
		return stepNames[s]
	}
	return "step"
}

// An Event is one step of a message. Whatever is not known stays empty; only
// Step and Reason are always given. Long texts are clipped.
type Event struct {
	Time time.Time // zero for now
	Step Step

	// Message is the id that the message got at the door, which ties its
	// steps together. Events without one (a peer that was turned away) stand
	// alone.
	Message string
	// MessageID is the content of the header field, with or without its
	// angle brackets.
	MessageID string
	// Queue is the outqueue item.
	Queue string

	// Service is the door or room: "mx", "submission", "relay", ...
	Service string
	// Remote is the peer's address, Hello what it called itself, TLS the
	// version and cipher suite.
	Remote, Hello, TLS string
	// Account is whose submission, or whose mailbox, it is; zero for none.
	Account mail.AccountID

	From string   // the reverse-path
	To   []string // recipients that the step is about
	Size mail.ByteCount

	// Reason says, in words for an operator, why the step was taken: the
	// rule, the check's finding, the peer's answer, the mailbox.
	Reason string
	// Facts are what the decision was made on, such as "spf" "pass".
	Facts []Fact

	Took time.Duration
}

// A Fact is one thing that was known when a decision was made.
type Fact struct{ Name, Value string }
