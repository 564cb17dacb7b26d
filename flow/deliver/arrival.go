package deliver

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"waxwing/format/message"
	"waxwing/proto/smtp"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/store/trace"
	"waxwing/trust/arc"
)

// MaxHops is how many Received fields a message may have; one more and it is
// going round in circles. RFC 5321 §6.3
const MaxHops = 100

// maxTraceHeader is how much of a header is read to count hops.
const maxTraceHeader = 256 << 10

// An Arrival is a message that has been received whole, parsed on the way,
// and belongs to nobody yet. Close it when its recipients have it.
type Arrival struct {
	ID     string // names the message in logs, traces and Received fields
	Body   *blob.Staged
	Parsed *message.Message

	// EightBit says that there are octets above 127, whatever was declared.
	EightBit bool
	// NUL says that there is an octet 0, which no text may have.
	NUL bool

	// Junk says that it is held to be spam: it goes to Junk, not to INBOX.
	Junk bool

	// Token, if not empty, makes each delivery of this arrival happen once,
	// however often it is tried with the same token.
	Token string

	// Origin is what the queue tells of where the message came from.
	Origin outqueue.Origin

	// TLS is how the connection was protected that it came by, and Facts what
	// was found about it on its way in. Both are for the trace.
	TLS   string
	Facts []trace.Fact

	// Chain is the state of the ARC chain that the message came with, and
	// Results what else was found out about it then: an authserv-id and results
	// as in Authentication-Results. Chain is empty if nobody has looked; the
	// message is forwarded without a seal then. RFC 8617
	Chain   arc.Status
	Results string

	// Solicits is what the header says of solicitation, once CheckHops has
	// looked; empty if it says nothing, or nonsense. RFC 3865 §2.5
	Solicits string

	// OptionalTLS says that the header has one field "TLS-Required: No", once
	// CheckHops has looked. RFC 8689 §3
	OptionalTLS bool
}

// token gives the token of one delivery; empty if there are none.
func (a *Arrival) token(to string) string {
	if a.Token == "" {
		return ""
	}
	return a.Token + " " + to
}

// NewID makes the id of a message: 16 letters that sort by time.
func NewID(now time.Time) string {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails
	return sortableBase32.EncodeToString(b[:])
}

var sortableBase32 = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Stage takes in a message from r: one pass that spools and parses it. A
// message that begins with something other than a header field gets an empty
// header, so that what is put in front of it stays a header.
func Stage(ctx context.Context, blobs blob.Store, now time.Time, r io.Reader) (*Arrival, error) {
	return stage(ctx, blobs, now, false, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}

// StageFor is Stage for a message that somebody writes, for recipients whose way
// is known: where it stays in no mailbox of ours it is parsed no further than
// that needs.
func StageFor(ctx context.Context, blobs blob.Store, now time.Time, to []Recipient, write func(io.Writer) error) (*Arrival, error) {
	stays := slices.ContainsFunc(to, func(r Recipient) bool { return len(r.Route.Accounts) > 0 || r.Reports })
	return stage(ctx, blobs, now, len(to) > 0 && !stays, write)
}

// parsers keeps parsers for the next message, with their buffers.
var parsers = sync.Pool{New: func() any { return message.NewParser() }}

func stage(ctx context.Context, blobs blob.Store, now time.Time, brief bool, write func(io.Writer) error) (*Arrival, error) {
	a := &Arrival{ID: NewID(now), Body: blob.Stage(ctx, blobs)}
	parser := parsers.Get().(*message.Parser)
	defer parsers.Put(parser)
	parser.Reset()
	if brief {
		parser.Brief()
	}
	sink := &intake{to: io.MultiWriter(a.Body, parser)}
	err := write(sink)
	if err == nil {
		err = sink.end()
	}
	if err == nil {
		err = a.Body.Finish()
	}
	if err != nil {
		_ = a.Body.Close()
		return nil, err
	}
	a.Parsed, a.EightBit, a.NUL = parser.Finish(), sink.eightBit, sink.nul
	return a, nil
}

// Close lets go of the bytes.
func (a *Arrival) Close() error { return a.Body.Close() }

// Header gives the header as it arrived, as much of it as tells of its way.
func (a *Arrival) Header() ([]byte, error) {
	n := min(a.Parsed.Root.Body, maxTraceHeader)
	if whole := a.Body.Bytes(); whole != nil {
		return whole[:min(n, int64(len(whole)))], nil
	}
	header := make([]byte, n)
	if _, err := a.Body.ReadAt(header, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return header, nil
}

// CheckHops refuses a message that goes round in circles, and notes what the
// header says of solicitation and of TLS. RFC 5321 §6.3
func (a *Arrival) CheckHops() error {
	header, err := a.Header()
	if err != nil {
		return err
	}
	hops, wishes := 0, 0
	for f := range message.Fields(header) {
		switch {
		case f.Is("Received"):
			hops++
		case f.Is("Solicitation"):
			if words := strings.TrimSpace(f.Text()); smtp.IsSolicitation(words) {
				a.Solicits = words
			}
		case f.Is("TLS-Required"):
			// More than one must not be there: then none counts. RFC 8689 §3
			wishes++
			a.OptionalTLS = wishes == 1 && strings.EqualFold(strings.TrimSpace(f.Text()), "No")
		}
	}
	if hops > MaxHops {
		return &smtp.Refusal{
			Code: 554, Enhanced: smtp.Enhanced{5, 4, 6},
			Text: fmt.Sprintf("too many hops: this message has been through %d servers, it is in a loop", hops),
		}
	}
	return nil
}

// An intake looks at the first line before it lets bytes through, and for
// octets above 127 and NULs.
type intake struct {
	to       io.Writer
	first    []byte // the beginning of the first line, when it came in pieces
	begun    bool
	eightBit bool
	nul      bool
}

// The longest line that is waited for to find a colon in it.
const maxFieldName = 256

func (w *intake) Write(p []byte) (int, error) {
	w.eightBit = w.eightBit || isEightBit(p)
	w.nul = w.nul || bytes.IndexByte(p, 0) >= 0
	if w.begun {
		return w.to.Write(p)
	}
	first := p
	if len(w.first) > 0 {
		w.first = append(w.first, p...)
		first = w.first
	}
	if len(first) < maxFieldName && bytes.IndexByte(first, '\n') < 0 {
		w.first = append(w.first[:0], first...)
		return len(p), nil
	}
	return len(p), w.begin(first)
}

// begin decides, once, whether an empty header is missing.
func (w *intake) begin(first []byte) error {
	w.begun = true
	if !beginsHeader(first) {
		if _, err := io.WriteString(w.to, "\r\n"); err != nil {
			return err
		}
	}
	_, err := w.to.Write(first)
	w.first = nil
	return err
}

func (w *intake) end() error {
	if w.begun {
		return nil
	}
	return w.begin(w.first)
}

// beginsHeader tells whether b starts with a header field or with the empty
// line behind an empty header. RFC 5322 §2.1
func beginsHeader(b []byte) bool {
	for f := range message.Fields(b) {
		return len(f.Name) > 0
	}
	return true
}

// isEightBit looks for octets above 127, eight at a time.
func isEightBit(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
