package outqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
)

// Limits of what is kept of strangers' words.
const (
	maxReply      = 1 << 10 // octets of a reply's text
	maxHistory    = 40      // tries of an item
	maxCalls      = 8       // calls of a try
	maxCallOctets = 256     // what a call says
	fullTries     = 8       // tries of which the calls are kept, and long replies
	partSize      = 60 << 10
)

// version is the first octet of every record.
const version = 1

var (
	errDamaged = errors.New("record of the queue is damaged")
	errVersion = fmt.Errorf("%w or of an unknown version", errDamaged)
)

// itemRecord is an Item without its state. Numbers are never used again.
// appendItem writes it.
type itemRecord struct {
	Message  string            `cbor:"1,keyasint,omitempty"`
	From     addressRecord     `cbor:"2,keyasint"`
	To       []recipientRecord `cbor:"3,keyasint"`
	UTF8     bool              `cbor:"4,keyasint,omitempty"`
	EightBit bool              `cbor:"5,keyasint,omitempty"`
	EnvID    string            `cbor:"6,keyasint,omitempty"`
	Headers  bool              `cbor:"7,keyasint,omitempty"`
	Origin   originRecord      `cbor:"8,keyasint"`
	Account  uint64            `cbor:"9,keyasint,omitempty"`
	Created  int64             `cbor:"10,keyasint"`
	Size     int64             `cbor:"11,keyasint"`
	Inline   int64             `cbor:"12,keyasint"`
	Blob     []byte            `cbor:"13,keyasint,omitempty"`
	Tries    int               `cbor:"14,keyasint,omitempty"`
	History  []tryRecord       `cbor:"15,keyasint,omitempty"`
	Binary   bool              `cbor:"16,keyasint,omitempty"`
	Full     bool              `cbor:"17,keyasint,omitempty"`
	TLS      bool              `cbor:"18,keyasint,omitempty"`
	Priority int8              `cbor:"19,keyasint,omitempty"`
	By       int64             `cbor:"20,keyasint,omitempty"`
	ByReturn bool              `cbor:"21,keyasint,omitempty"`
	ByTrace  bool              `cbor:"22,keyasint,omitempty"`
	Until    int64             `cbor:"23,keyasint,omitempty"`
	Hold     string            `cbor:"24,keyasint,omitempty"`
	Solicit  string            `cbor:"25,keyasint,omitempty"`
	Reroute  string            `cbor:"26,keyasint,omitempty"`
	Frozen   string            `cbor:"27,keyasint,omitempty"`
	AnyTLS   bool              `cbor:"28,keyasint,omitempty"`
}

type addressRecord struct {
	_      struct{} `cbor:",toarray"`
	Local  string
	Domain string
}

type recipientRecord struct {
	Address  addressRecord `cbor:"1,keyasint"`
	Original string        `cbor:"2,keyasint,omitempty"`
	Notify   uint8         `cbor:"3,keyasint,omitempty"`
	State    uint8         `cbor:"4,keyasint,omitempty"`
	Attempts int           `cbor:"5,keyasint,omitempty"`
	Last     int64         `cbor:"6,keyasint,omitempty"`
	Code     int           `cbor:"7,keyasint,omitempty"`
	Enhanced string        `cbor:"8,keyasint,omitempty"`
	Text     string        `cbor:"9,keyasint,omitempty"`
	Remote   string        `cbor:"10,keyasint,omitempty"`
	Told     uint8         `cbor:"11,keyasint,omitempty"`
}

type originRecord struct {
	Account uint64 `cbor:"1,keyasint,omitempty"`
	Service string `cbor:"2,keyasint,omitempty"`
	Remote  string `cbor:"3,keyasint,omitempty"`
	Hello   string `cbor:"4,keyasint,omitempty"`
}

type tryRecord struct {
	Began  int64  `cbor:"1,keyasint"`
	Took   int64  `cbor:"2,keyasint,omitempty"`
	Remote string `cbor:"3,keyasint,omitempty"`
	Text   string `cbor:"4,keyasint,omitempty"`

	Calls []callRecord `cbor:"5,keyasint,omitempty"`
}

type callRecord struct {
	_      struct{} `cbor:",toarray"`
	Remote string
	TLS    string
	Text   string
	Took   int64
}

func decodeItem(id ID, b []byte) (*Item, error) {
	if len(b) == 0 || b[0] != version {
		return nil, fmt.Errorf("item %s: %w", id, errVersion)
	}
	var r itemRecord
	if err := cbor.Unmarshal(b[1:], &r); err != nil {
		return nil, fmt.Errorf("item %s: %w: %w", id, errDamaged, err)
	}
	it := &Item{
		ID: id, Message: r.Message,
		Envelope: mail.Envelope{
			From: mail.Address{Local: r.From.Local, Domain: r.From.Domain},
			UTF8: r.UTF8, EightBit: r.EightBit, ID: r.EnvID, ReturnHeaders: r.Headers,
			Binary: r.Binary, ReturnFull: r.Full, RequireTLS: r.TLS, OptionalTLS: r.AnyTLS, Priority: r.Priority,
			By:        mail.DeliverBy{At: fromNano(r.By), Return: r.ByReturn, Trace: r.ByTrace},
			HoldUntil: fromNano(r.Until), Hold: r.Hold, Solicit: r.Solicit,
			To: make([]mail.Recipient, len(r.To)),
		},
		Status: make([]Status, len(r.To)),
		Origin: Origin{
			Account: mail.AccountID(r.Origin.Account), Service: r.Origin.Service, Remote: r.Origin.Remote, Hello: r.Origin.Hello,
		},
		Account: mail.AccountID(r.Account), Created: time.Unix(0, r.Created),
		Size: mail.ByteCount(r.Size), inline: mail.ByteCount(r.Inline), Tries: r.Tries, Reroute: r.Reroute, Frozen: r.Frozen,
	}
	if len(r.Blob) == len(blob.Sum{}) {
		it.blob = (*blob.Sum)(r.Blob)
	}
	for i, to := range r.To {
		it.Envelope.To[i] = mail.Recipient{
			Address:  mail.Address{Local: to.Address.Local, Domain: to.Address.Domain},
			Original: to.Original, Notify: mail.Notify(to.Notify),
		}
		it.Status[i] = Status{
			State: State(to.State), Attempts: to.Attempts, Last: fromNano(to.Last),
			Reply: Reply{Code: to.Code, Enhanced: to.Enhanced, Text: to.Text}, Remote: to.Remote,
			Told: Told(to.Told),
		}
	}
	for _, t := range r.History {
		try := Try{Began: time.Unix(0, t.Began), Took: time.Duration(t.Took), Remote: t.Remote, Text: t.Text}
		for _, c := range t.Calls {
			try.Calls = append(try.Calls, Call{Remote: c.Remote, TLS: c.TLS, Text: c.Text, Took: time.Duration(c.Took)})
		}
		it.History = append(it.History, try)
	}
	return it, nil
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// A state is the hot part of an item:
//
//	version 1, flags 1, parts 2, chunks 2, due 8, epoch 8, octets 8,
//	since version 2: destination 8, sender 8, priority 1
type state struct {
	held, leased  bool
	parts, chunks uint16 // how many rows the record and the body have
	due           int64  // where it stands in the index, unless held
	epoch         uint64 // of the newest lease
	octets        uint64
	tried         bool
	way           way // zero in records of version 1

	lent bool // somebody has it, as only this process knows: not in the record
}

// taken tells whether somebody has the item.
func (s state) taken() bool { return s.leased || s.lent }

const (
	flagHeld = 1 << iota
	flagLeased
	flagTried
)

const (
	stateSize1 = 30
	stateSize  = stateSize1 + 17
	// stateVersion is that of states, which have changed since the others.
	stateVersion = 2
)

// append writes the state, of stateSize octets.
func (s state) append(b []byte) []byte {
	var flags byte
	if s.held {
		flags |= flagHeld
	}
	if s.leased {
		flags |= flagLeased
	}
	if s.tried {
		flags |= flagTried
	}
	b = append(b, stateVersion, flags)
	b = binary.BigEndian.AppendUint16(b, s.parts)
	b = binary.BigEndian.AppendUint16(b, s.chunks)
	b = binary.BigEndian.AppendUint64(b, uint64(s.due))
	b = binary.BigEndian.AppendUint64(b, s.epoch)
	b = binary.BigEndian.AppendUint64(b, s.octets)
	return s.way.append(b)
}

func decodeState(b []byte) (state, error) {
	var w way
	switch {
	case len(b) == stateSize1 && b[0] == 1:
	case len(b) == stateSize && b[0] == stateVersion:
		w = decodeWay(b[stateSize1:])
	default:
		return state{}, errVersion
	}
	return state{
		way:  w,
		held: b[1]&flagHeld != 0, leased: b[1]&flagLeased != 0, tried: b[1]&flagTried != 0,
		parts: binary.BigEndian.Uint16(b[2:]), chunks: binary.BigEndian.Uint16(b[4:]),
		due: int64(binary.BigEndian.Uint64(b[6:])), epoch: binary.BigEndian.Uint64(b[14:]),
		octets: binary.BigEndian.Uint64(b[22:]),
	}, nil
}

// A head is the shard's: version 1, shards 2, next 8, low 8, and the counts 32;
// and in version 2, which is written where one of them is known, edition 8,
// newest 8 and early 8.
type head struct {
	shards  uint16 // of the whole queue; the same in all heads
	next    uint64 // the next item's number
	low     int64  // nothing in the index stands before it
	counts  Counts
	edition uint64 // what comes is held by the rules of this edition, or a later one
	newest  int64  // the latest place in the index that something took as it came; where others share the engine
	early   uint64 // how often something took a place that a cursor may have passed; likewise
}

// Counts tell how much is in the queue.
type Counts struct {
	Items    int64
	Held     int64 // of them, are held
	Deferred int64 // of them, have been tried in vain
	Octets   mail.ByteCount
}

const (
	headSize    = 51
	longHead    = headSize + 24
	longVersion = 2
)

// append writes the head, of at most longHead octets. There is nothing before it.
func (h head) append(b []byte) []byte {
	b = append(b, version)
	b = binary.BigEndian.AppendUint16(b, h.shards)
	for _, n := range []uint64{
		h.next, uint64(h.low), uint64(h.counts.Items), uint64(h.counts.Held), uint64(h.counts.Deferred), uint64(h.counts.Octets),
	} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	if h.edition == 0 && h.newest == 0 && h.early == 0 {
		return b
	}
	b[0] = longVersion
	b = binary.BigEndian.AppendUint64(b, h.edition)
	b = binary.BigEndian.AppendUint64(b, uint64(h.newest))
	return binary.BigEndian.AppendUint64(b, h.early)
}

func decodeHead(b []byte) (head, error) {
	long := len(b) == longHead && b[0] == longVersion
	if !long && (len(b) != headSize || b[0] != version) {
		return head{}, errVersion
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[3+8*i:]) }
	h := head{
		shards: binary.BigEndian.Uint16(b[1:]), next: n(0), low: int64(n(1)),
		counts: Counts{Items: int64(n(2)), Held: int64(n(3)), Deferred: int64(n(4)), Octets: mail.ByteCount(n(5))},
	}
	if long {
		h.edition, h.newest, h.early = n(6), int64(n(7)), n(8)
	}
	return h, nil
}

// The keys.

func headKey() []byte { return []byte{keys.QueueHead} }

// How long keys are.
const (
	idKeySize   = 9
	partKeySize = idKeySize + 2
	dueKeySize  = 17
)

func itemKey(id ID, part int) []byte  { return appendItemKey(nil, id, part) }
func stateKey(id ID) []byte           { return appendIDKey(nil, keys.QueueState, id) }
func bodyKey(id ID, chunk int) []byte { return appendBodyKey(nil, id, chunk) }
func dueKey(due int64, id ID) []byte  { return appendDueKey(nil, due, id) }

func appendItemKey(b []byte, id ID, part int) []byte {
	return binary.BigEndian.AppendUint16(appendIDKey(b, keys.QueueItem, id), uint16(part))
}

func appendBodyKey(b []byte, id ID, chunk int) []byte {
	return binary.BigEndian.AppendUint16(appendIDKey(b, keys.QueueBody, id), uint16(chunk))
}

func appendIDKey(b []byte, prefix byte, id ID) []byte {
	return binary.BigEndian.AppendUint64(append(b, prefix), uint64(id))
}

// appendDueKey orders times before 1970 wrongly; there are none.
func appendDueKey(b []byte, due int64, id ID) []byte {
	b = append(b, keys.QueueDue)
	b = binary.BigEndian.AppendUint64(b, uint64(max(due, 0)))
	return binary.BigEndian.AppendUint64(b, uint64(id))
}

func splitDueKey(key []byte) (due int64, id ID, err error) {
	if len(key) != dueKeySize {
		return 0, 0, errors.New("key of the queue's index is malformed")
	}
	return int64(binary.BigEndian.Uint64(key[1:])), ID(binary.BigEndian.Uint64(key[9:])), nil
}

func blobKey(sum blob.Sum) []byte { return append([]byte{keys.QueueBlob}, sum[:]...) }

// idOf gives the item of a key that is a prefix and an id.
func idOf(key []byte) ID { return ID(binary.BigEndian.Uint64(key[1:])) }
