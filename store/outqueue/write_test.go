package outqueue

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/store/blob"
)

// byLibrary is appendItem as the library for CBOR does it.
func byLibrary(t *testing.T, it *Item) []byte {
	t.Helper()
	r := itemRecord{
		Message: it.Message, From: addressRecord{Local: it.Envelope.From.Local, Domain: it.Envelope.From.Domain},
		UTF8: it.Envelope.UTF8, EightBit: it.Envelope.EightBit, EnvID: it.Envelope.ID, Headers: it.Envelope.ReturnHeaders,
		Binary: it.Envelope.Binary, Full: it.Envelope.ReturnFull, TLS: it.Envelope.RequireTLS, AnyTLS: it.Envelope.OptionalTLS, Priority: it.Envelope.Priority,
		By: unixNano(it.Envelope.By.At), ByReturn: it.Envelope.By.Return, ByTrace: it.Envelope.By.Trace,
		Until: unixNano(it.Envelope.HoldUntil), Hold: it.Envelope.Hold, Solicit: it.Envelope.Solicit,
		Origin: originRecord{
			Account: uint64(it.Origin.Account), Service: it.Origin.Service, Remote: it.Origin.Remote, Hello: it.Origin.Hello,
		},
		Account: uint64(it.Account), Created: it.Created.UnixNano(), Size: int64(it.Size), Inline: int64(it.inline),
		Tries: it.Tries, Reroute: it.Reroute, Frozen: it.Frozen,
		To: make([]recipientRecord, len(it.Envelope.To)),
	}
	if it.blob != nil {
		r.Blob = it.blob[:]
	}
	for i, to := range it.Envelope.To {
		s := it.Status[i]
		r.To[i] = recipientRecord{
			Address:  addressRecord{Local: to.Address.Local, Domain: to.Address.Domain},
			Original: to.Original, Notify: uint8(to.Notify), State: uint8(s.State), Attempts: s.Attempts,
			Last: unixNano(s.Last), Code: s.Reply.Code, Enhanced: s.Reply.Enhanced, Text: s.Reply.Text, Remote: s.Remote,
			Told: uint8(s.Told),
		}
	}
	for _, t := range it.History {
		try := tryRecord{Began: t.Began.UnixNano(), Took: int64(t.Took), Remote: t.Remote, Text: t.Text}
		for _, c := range t.Calls {
			try.Calls = append(try.Calls, callRecord{Remote: c.Remote, TLS: c.TLS, Text: c.Text, Took: int64(c.Took)})
		}
		r.History = append(r.History, try)
	}
	b, err := cbor.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{version}, b...)
}

// some gives values of all kinds, of which many are empty.
type some struct{ *rand.Rand }

func (s some) no() bool   { return s.IntN(3) == 0 }
func (s some) yes() bool  { return !s.no() && s.IntN(2) == 0 }
func (s some) n() int64   { return s.Int64() >> s.IntN(64) }
func (s some) small() int { return s.IntN(128) }

func (s some) text() string {
	if s.no() {
		return ""
	}
	return strings.Repeat("ä", s.IntN(4)) + strings.Repeat("x", s.IntN(1<<s.IntN(11)))
}

func (s some) time() time.Time {
	if s.no() {
		return time.Time{}
	}
	return time.Unix(0, s.n())
}

func (s some) item() *Item {
	it := &Item{
		Message: s.text(), Account: mail.AccountID(s.Uint64() >> s.IntN(64)), Created: time.Unix(0, s.n()-1000), Size: mail.ByteCount(s.n()),
		inline: mail.ByteCount(s.n()), Tries: s.small(), Reroute: s.text(), Frozen: s.text(),
		Origin: Origin{Account: mail.AccountID(s.small()), Service: s.text(), Remote: s.text(), Hello: s.text()},
		Envelope: mail.Envelope{
			From: mail.Address{Local: s.text(), Domain: s.text()}, UTF8: s.yes(), EightBit: s.yes(), ID: s.text(), ReturnHeaders: s.yes(),
			Binary: s.yes(), ReturnFull: s.yes(), RequireTLS: s.yes(), OptionalTLS: s.yes(), Priority: int8(s.IntN(19) - 9),
			By: mail.DeliverBy{At: s.time(), Return: s.yes(), Trace: s.yes()}, HoldUntil: s.time(), Hold: s.text(), Solicit: s.text(),
		},
	}
	if s.yes() {
		it.blob = new(blob.Sum)
		it.blob[3] = 7
	}
	for range s.IntN(1 << s.IntN(6)) {
		it.Envelope.To = append(it.Envelope.To, mail.Recipient{
			Address: mail.Address{Local: s.text(), Domain: s.text()}, Original: s.text(), Notify: mail.Notify(s.IntN(16)),
		})
		it.Status = append(it.Status, Status{
			State: State(s.IntN(4)), Attempts: s.small(), Last: s.time(), Reply: Reply{Code: s.IntN(600), Enhanced: s.text(), Text: s.text()},
			Remote: s.text(), Told: Told(s.IntN(4)),
		})
	}
	for range s.IntN(5) {
		t := Try{Began: time.Unix(0, s.n()), Took: time.Duration(s.n()), Remote: s.text(), Text: s.text()}
		for range s.IntN(3) {
			t.Calls = append(t.Calls, Call{Remote: s.text(), TLS: s.text(), Text: s.text(), Took: time.Duration(s.n())})
		}
		it.History = append(it.History, t)
	}
	return it
}

// A record is the same, octet for octet, whoever writes it, and is read back as
// it was.
func TestRecord(t *testing.T) {
	from := some{rand.New(rand.NewPCG(1, 2))}
	for range 3000 {
		it := from.item()
		got := appendItem(nil, it)
		if want := byLibrary(t, it); !bytes.Equal(got, want) {
			t.Fatalf("%x\nnot\n%x", got, want)
		}
		read, err := decodeItem(it.ID, got)
		if err != nil {
			t.Fatal(err)
		}
		if again := appendItem(nil, read); !bytes.Equal(again, got) {
			t.Fatalf("%x\nis read as\n%x", got, again)
		}
	}
}
