package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/store/keys"
)

// version is the first octet of every value.
const version = 1

// Limits of what is kept of strangers' words.
const (
	maxText       = 512 // octets
	maxRecipients = 100
	maxFacts      = 32
)

type eventRecord struct {
	Time      int64    `cbor:"1,keyasint"`
	Step      uint8    `cbor:"2,keyasint"`
	Message   string   `cbor:"3,keyasint,omitempty"`
	MessageID string   `cbor:"4,keyasint,omitempty"`
	Queue     string   `cbor:"5,keyasint,omitempty"`
	Service   string   `cbor:"6,keyasint,omitempty"`
	Remote    string   `cbor:"7,keyasint,omitempty"`
	Hello     string   `cbor:"8,keyasint,omitempty"`
	TLS       string   `cbor:"9,keyasint,omitempty"`
	Account   uint64   `cbor:"10,keyasint,omitempty"`
	From      string   `cbor:"11,keyasint,omitempty"`
	To        []string `cbor:"12,keyasint,omitempty"`
	Size      int64    `cbor:"13,keyasint,omitempty"`
	Reason    string   `cbor:"14,keyasint,omitempty"`
	Facts     []string `cbor:"15,keyasint,omitempty"` // names and values in turn
	Took      int64    `cbor:"16,keyasint,omitempty"`
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

// octets is about how much room an event takes.
func (e *Event) octets() int {
	n := 64 + min(len(e.Message)+len(e.MessageID)+len(e.Hello)+len(e.Reason)+len(e.From), 4*maxText)
	for _, to := range e.To[:min(len(e.To), maxRecipients)] {
		n += min(len(to), maxText) + 2
	}
	for _, f := range e.Facts[:min(len(e.Facts), maxFacts)] {
		n += min(len(f.Name), maxText) + min(len(f.Value), maxText) + 4
	}
	return n
}

func encode(events []Event) ([]byte, error) {
	records := make([]eventRecord, len(events))
	for i, e := range events {
		r := eventRecord{
			Time: e.Time.UnixNano(), Step: uint8(e.Step), Message: clip(e.Message), MessageID: clip(e.MessageID), Queue: clip(e.Queue),
			Service: clip(e.Service), Remote: clip(e.Remote), Hello: clip(e.Hello), TLS: clip(e.TLS), Account: uint64(e.Account),
			From: clip(e.From), Size: int64(e.Size), Reason: clip(e.Reason), Took: int64(e.Took),
		}
		for _, to := range e.To[:min(len(e.To), maxRecipients)] {
			r.To = append(r.To, clip(to))
		}
		for _, f := range e.Facts[:min(len(e.Facts), maxFacts)] {
			r.Facts = append(r.Facts, clip(f.Name), clip(f.Value))
		}
		records[i] = r
	}
	b, err := cbor.Marshal(records)
	return append([]byte{version}, b...), err
}

func decode(b []byte) ([]Event, error) {
	if len(b) == 0 || b[0] != version {
		return nil, errors.New("steps are of an unknown version")
	}
	var records []eventRecord
	if err := cbor.Unmarshal(b[1:], &records); err != nil {
		return nil, fmt.Errorf("steps are damaged: %w", err)
	}
	events := make([]Event, len(records))
	for i, r := range records {
		events[i] = Event{
			Time: time.Unix(0, r.Time), Step: Step(r.Step), Message: r.Message, MessageID: r.MessageID, Queue: r.Queue,
			Service: r.Service, Remote: r.Remote, Hello: r.Hello, TLS: r.TLS, Account: mail.AccountID(r.Account),
			From: r.From, To: r.To, Size: mail.ByteCount(r.Size), Reason: r.Reason, Took: time.Duration(r.Took),
		}
		for n := 0; n+1 < len(r.Facts); n += 2 {
			events[i].Facts = append(events[i].Facts, Fact{r.Facts[n], r.Facts[n+1]})
		}
	}
	return events, nil
}

// index gives the hashes under which a row is found: of ids, addresses and
// hosts.
func index(events []Event) [][]byte {
	var terms [][]byte
	seen := map[string]bool{}
	add := func(text string) {
		term := string(normal(clip(text)))
		if term == "" || seen[term] {
			return
		}
		seen[term] = true
		sum := sha256.Sum256([]byte(term))
		terms = append(terms, sum[:8])
	}
	for i := range events {
		e := &events[i]
		for _, text := range []string{e.Message, e.MessageID, e.Queue, e.From, host(e.Remote)} {
			add(text)
		}
		for _, to := range e.To[:min(len(e.To), maxRecipients)] {
			add(to)
		}
	}
	return terms
}

// normal gives the form in which ids and addresses are compared.
func normal(text string) string {
	return strings.ToLower(strings.Trim(strings.TrimSpace(text), "<>"))
}

// host gives the address of "192.0.2.1:25" or "mx.example[192.0.2.1:25]".
func host(remote string) string {
	if _, inner, ok := strings.Cut(remote, "["); ok && strings.HasSuffix(inner, "]") && !strings.HasPrefix(remote, "[") {
		remote = inner[:len(inner)-1]
		if i := strings.LastIndex(remote, "]:"); i > 0 {
			remote = "[" + strings.TrimPrefix(remote, "[")
		}
	}
	if at, err := netip.ParseAddrPort(remote); err == nil {
		return at.Addr().String()
	}
	return remote
}

// place is where a row stands: time 8, writer 4, number 4.
func place(t time.Time, writer, number uint32) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(max(t.UnixNano(), 0)))
	b = binary.BigEndian.AppendUint32(b, writer)
	return binary.BigEndian.AppendUint32(b, number)
}

func timeOf(place []byte) time.Time {
	if len(place) < 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(place)))
}

func indexKey(term, place []byte) []byte {
	return append(append([]byte{keys.TraceIndex}, term...), place...)
}
