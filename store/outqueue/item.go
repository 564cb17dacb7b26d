package outqueue

import (
	"errors"
	"strconv"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
)

// Errors that callers branch on.
var (
	// ErrNotFound says that there is no such item: it has gone, or was deleted.
	ErrNotFound = errors.New("no such queue item")
	// ErrLeaseLost says that the item is no longer the caller's.
	ErrLeaseLost = errors.New("lease has been lost")
	// ErrFull says that the queue takes no more for now.
	ErrFull = errors.New("queue is full")
	// ErrUnderway says that somebody is at the item, which must not change then.
	ErrUnderway = errors.New("the item is being tried")
	// ErrHeld says that the item is not tried until it is released.
	ErrHeld = errors.New("the item is held")
	// ErrTooLarge says that an envelope is over the limits.
	ErrTooLarge = errors.New("envelope is too large for the queue")
)

// An ID names an item. It is never used again. The shard is in its upper
// sixteen bits.
type ID uint64

const numberBits = 48

func newID(shard int, number uint64) ID { return ID(uint64(shard)<<numberBits | number) }

func (id ID) shard() int { return int(id >> numberBits) }

// String gives the form that stands in logs and commands, such as "q10000000002f".
func (id ID) String() string { return "q" + strconv.FormatUint(uint64(id), 16) }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	if len(s) < 2 || s[0] != 'q' {
		return 0, errors.New("not a queue id")
	}
	n, err := strconv.ParseUint(s[1:], 16, 64)
	if err != nil || ID(n).String() != s {
		return 0, errors.New("not a queue id")
	}
	return ID(n), nil
}

// A Submission is a message to be enqueued.
type Submission struct {
	// Message is the id that the message got at the door, for logs.
	Message  string
	Envelope mail.Envelope

	// Body is finished; the caller closes it after Enqueue. Prefix is header
	// fields that stand before it.
	Body   *blob.Staged
	Prefix []byte

	Origin Origin

	// Account is where the message goes if that is one of our own accounts:
	// a redelivery. Zero for a message that is routed by its recipients.
	Account mail.AccountID

	// Due is when the first try may be; zero for at once. It is not before
	// Envelope.HoldUntil.
	Due time.Time

	// Token, if not empty, makes Enqueue idempotent: for a day the same token
	// gives the item that was made first (even if that has gone by now).
	Token string
}

// Origin is where a message came from, for traces and policy.
type Origin struct {
	Account mail.AccountID // whose submission it is; zero for none of ours
	Service string         // "submission", "mx", "jmap", "dsn", ...
	Remote  string         // the peer's address
	Hello   string         // what the peer called itself
}

// State is what has become of a recipient.
type State uint8

// The states. All but Pending are final.
const (
	Pending   State = iota // still to be tried
	Delivered              // the next host, or the account, has it
	Failed                 // refused for good
	Expired                // given up after too long a time
)

// String gives the state in lower case.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Delivered:
		return "delivered"
	case Failed:
		return "failed"
	case Expired:
		return "expired"
	}
	return "state " + strconv.Itoa(int(s))
}

// A Status is what is known of one recipient.
type Status struct {
	State    State
	Attempts int       // tries that reached a conclusion for this recipient
	Last     time.Time // of the last of them
	Reply    Reply     // to the last of them
	Remote   string    // the MTA that gave it, or would have
	Told     Told      // what the sender has been told meanwhile
}

// Told is what the sender of a message that still waits has been told, so
// that it is told once.
type Told uint8

// What a sender may be told before the end.
const (
	ToldDelay    Told = 1 << iota // that it takes long
	ToldDeadline                  // that it was not there in time, RFC 2852 §4.1.3
)

// A Reply is what a peer, or we ourselves, said of a recipient. Code zero
// says that nobody answered; Text then says what went wrong.
type Reply struct {
	Code     int    // RFC 5321 §4.2.1
	Enhanced string // "5.1.1", RFC 3463; empty for none
	Text     string
}

// A Try is one line of an item's history.
type Try struct {
	Began  time.Time
	Took   time.Duration
	Remote string // the MTA that was tried last
	Text   string // how it ended
	Calls  []Call // the hosts that were called, in their order; the first of many
}

// A Call is one host's part in a try.
type Call struct {
	Remote string // name and address
	TLS    string // version and cipher suite; empty for none
	Text   string // what it said, or why it could not be talked to
	Took   time.Duration
}

// An Item is what the queue knows of a message.
type Item struct {
	ID       ID
	Message  string
	Envelope mail.Envelope
	Status   []Status // of Envelope.To, one for one
	Origin   Origin
	Account  mail.AccountID // see Submission
	Reroute  string         // where an administrator sends it instead; empty for its ordinary way
	Frozen   string         // the rule that holds it; empty for none
	Created  time.Time
	Size     mail.ByteCount // prefix and body

	Tries   int   // how often it was released after a try
	History []Try // the last of them, oldest first

	Due    time.Time // the next try; for a leased item the end of the lease
	Held   bool      // not tried until it is released
	Leased bool      // somebody is at it

	inline mail.ByteCount // how much of the size lies in the engine
	blob   *blob.Sum      // the rest
	body   []byte         // what lies in the engine, if it has just come; else nil
}

// Pending gives the indexes of the recipients that are still to be tried.
func (it *Item) Pending() []int {
	pending := make([]int, 0, len(it.Status))
	for i, s := range it.Status {
		if s.State == Pending {
			pending = append(pending, i)
		}
	}
	return pending
}

// A Lease is an item that is the caller's until a time.
type Lease struct {
	Item    *Item
	Expires time.Time
	epoch   uint64
}

// An Attempt is what came of trying a leased item.
type Attempt struct {
	// Results are of recipients that were Pending; those not named stay as
	// they are.
	Results []Result

	// Keep keeps the lease: more results follow. The fields below are for
	// the attempt that ends it.
	Keep bool

	// Next is when to try again, if recipients are still Pending.
	Next time.Time

	// Patient says that nothing is lost if a crash comes first, and nobody waits:
	// the results are noted a moment later, together with others.
	Patient bool

	// Try is what the history says; with a zero Began nothing was tried.
	Try Try

	// Then is enqueued in the same transaction: notifications that follow
	// from the results.
	Then []Submission
}

// A Result is the outcome for one recipient.
type Result struct {
	Index  int // in Envelope.To
	State  State
	Reply  Reply
	Remote string
	Told   Told // added to what was told before
}
