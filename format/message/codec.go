package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"waxwing/mail"
)

// The binary form of a Message. All numbers are varints.
//
//	version    one octet
//	totals     parts below the root, parameters, addresses, other strings,
//	           embedded envelopes, defects: so that decoding makes one
//	           allocation for all of a kind
//	size, date (1 and Unix seconds, or 0), preview
//	envelope, references, defects
//	root part, and after each part its children
//
// A string is length*2 and its octets, or index*2+1 of a word in the table of
// common ones. Offsets of a part are relative: the header's to the parent's
// body, the body's to the header, the end to the body.

const binaryVersion = 1

// Table of common words. Stored messages refer to it by index: words may be
// added at the end and never changed.
var commonWords = [...]string{
	"text", "plain", "html", "multipart", "mixed", "alternative", "related", "message", "rfc822", "application",
	"octet-stream", "pdf", "image", "png", "jpeg", "gif", "7bit", "8bit", "binary", "base64",
	"quoted-printable", "charset", "utf-8", "us-ascii", "iso-8859-1", "windows-1252", "boundary", "name", "filename", "attachment",
	"inline", "format", "flowed", "delsp", "yes", "no", "calendar", "method", "report", "report-type",
	"delivery-status", "signed", "protocol", "micalg", "type", "size", "creation-date", "modification-date", "digest", "zip",
	"UTF-8", "utf8", "US-ASCII", "ISO-8859-1", "iso-8859-15", "gb2312", "iso-2022-jp", "koi8-r", "multipart/alternative", "text/html",
	"pkcs7-signature", "pgp-signature", "rfc822-headers", "fixed", "audio", "video", "csv", "xml", "request", "jpg",
}

var commonIndex = func() map[string]uint64 {
	m := make(map[string]uint64, len(commonWords))
	for i, w := range commonWords {
		m[w] = uint64(i)
	}
	return m
}()

var errCorrupt = errors.New("encoded message is corrupt")

// totals counts what a message holds.
type totals struct{ parts, params, addresses, strings, envelopes, defects int }

func (t *totals) addPart(p *Part) {
	t.params += len(p.Params) + len(p.DispositionParams)
	t.strings += len(p.Language)
	if p.Embedded != nil {
		t.envelopes++
		t.addEnvelope(p.Embedded)
	}
	t.parts += len(p.Parts)
	for i := range p.Parts {
		t.addPart(&p.Parts[i])
	}
}

func (t *totals) addEnvelope(e *Envelope) {
	t.addresses += len(e.From) + len(e.Sender) + len(e.ReplyTo) + len(e.To) + len(e.Cc) + len(e.Bcc)
}

// AppendBinary appends the message's binary form to dst. Dates keep whole
// seconds.
func (m *Message) AppendBinary(dst []byte) []byte {
	t := totals{strings: len(m.References), defects: len(m.Defects)}
	t.addEnvelope(&m.Envelope)
	t.addPart(&m.Root)

	e := encoder{append(dst, binaryVersion)}
	for _, n := range []int{t.parts, t.params, t.addresses, t.strings, t.envelopes, t.defects} {
		e.number(int64(n))
	}
	e.number(int64(m.Size))
	if m.Date.IsZero() {
		e.number(0)
	} else {
		e.number(1)
		e.signed(m.Date.Unix())
	}
	e.text(m.Preview)
	e.envelope(&m.Envelope)
	e.list(m.References)
	e.number(int64(len(m.Defects)))
	for _, d := range m.Defects {
		e.signed(d.Offset)
		e.text(d.What)
	}
	e.part(&m.Root, 0)
	return e.b
}

type encoder struct{ b []byte }

func (e *encoder) number(n int64) { e.b = binary.AppendUvarint(e.b, uint64(n)) }
func (e *encoder) signed(n int64) { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s))*2)
	e.b = append(e.b, s...)
}

// word is for strings that are likely to be common ones.
func (e *encoder) word(s string) {
	if i, ok := commonIndex[s]; ok {
		e.b = binary.AppendUvarint(e.b, i*2+1)
		return
	}
	e.text(s)
}

func (e *encoder) list(l []string) {
	e.number(int64(len(l)))
	for _, s := range l {
		e.text(s)
	}
}

func (e *encoder) params(l []Param) {
	e.number(int64(len(l)))
	for _, p := range l {
		e.word(p.Name)
		e.word(p.Value)
	}
}

func (e *encoder) envelope(v *Envelope) {
	for _, s := range []string{v.Date, v.Subject, v.InReplyTo, v.MessageID} {
		e.text(s)
	}
	for _, l := range [][]Address{v.From, v.Sender, v.ReplyTo, v.To, v.Cc, v.Bcc} {
		e.number(int64(len(l)))
		for _, a := range l {
			group := int64(0)
			if a.Group {
				group = 1
			}
			e.number(group)
			e.text(a.Name)
			e.text(a.Local)
			e.text(a.Domain)
		}
	}
}

func (e *encoder) part(p *Part, base int64) {
	e.signed(p.Header - base)
	e.signed(p.Body - p.Header)
	e.signed(p.End - p.Body)
	e.signed(p.Lines)
	e.word(p.Type)
	e.word(p.Subtype)
	e.params(p.Params)
	e.word(p.Encoding)
	e.text(p.ID)
	e.text(p.Description)
	e.text(p.MD5)
	e.word(p.Disposition)
	e.params(p.DispositionParams)
	e.list(p.Language)
	e.text(p.Location)
	if p.Embedded == nil {
		e.number(0)
	} else {
		e.number(1)
		e.envelope(p.Embedded)
	}
	e.number(int64(len(p.Parts)))
	for i := range p.Parts {
		e.part(&p.Parts[i], p.Body)
	}
}

// Decode gives back the message that AppendBinary wrote. It fails on what is
// not the whole of such a form, and does not allocate more than a few times
// the length of b for it.
func Decode(b []byte) (*Message, error) {
	if len(b) == 0 || b[0] != binaryVersion {
		if len(b) > 0 {
			return nil, fmt.Errorf("encoded message has unknown version %d", b[0])
		}
		return nil, errCorrupt
	}
	d := decoder{s: string(b), at: 1, room: new(room)}
	m := new(Message)
	d.message(m)
	if d.failed || d.at != len(d.s) {
		return nil, errCorrupt
	}
	return m, nil
}

// decoder reads a binary form. After a failure all it gives is zero.
type decoder struct {
	s      string
	at     int
	failed bool
	only   Only
	room   *room

	// What is left of the room.
	parts      []Part
	parameters []Param
	addresses  []Address
	strings    []string
	envelopes  []Envelope
}

func (d *decoder) message(m *Message) {
	// The second operand is the least that one of a kind takes.
	parts, params := d.count(15), d.count(2)
	addresses, strings := d.count(4), d.count(1)
	envelopes, defects := d.count(10), d.count(2)
	if d.failed {
		return
	}
	d.parts = makeSome(&d.room.parts, parts)
	d.parameters = makeSome(&d.room.parameters, params)
	d.addresses = makeSome(&d.room.addresses, addresses)
	d.strings = makeSome(&d.room.strings, strings)
	d.envelopes = makeSome(&d.room.envelopes, envelopes)
	m.Size = mail.ByteCount(d.number())
	switch d.number() {
	case 0:
	case 1:
		m.Date = time.Unix(d.signed(), 0).UTC()
	default:
		d.failed = true
	}
	m.Preview = d.text()
	switch d.only {
	case Everything:
		d.envelope(&m.Envelope)
		m.References = d.list()
	case EnvelopeOnly:
		d.envelope(&m.Envelope)
		return
	case PreviewOnly:
		return
	case StructureOnly:
		d.skipEnvelope()
		d.skipStrings(d.count(1))
		for n := d.count(2); n > 0 && !d.failed; n-- { // defects
			d.number()
			d.skipStrings(1)
		}
		d.part(&m.Root, 0, 0)
		return
	}
	if n := d.count(2); n != defects {
		d.failed = true
	} else {
		m.Defects = makeSome(&d.room.defects, n)
	}
	for i := range m.Defects {
		m.Defects[i] = Defect{d.signed(), d.text()}
	}
	d.part(&m.Root, 0, 0)
	if len(d.parts)+len(d.parameters)+len(d.addresses)+len(d.strings)+len(d.envelopes) > 0 {
		d.failed = true
	}
}

// A room is memory for what a message has several of.
type room struct {
	parts      []Part
	parameters []Param
	addresses  []Address
	strings    []string
	envelopes  []Envelope
	defects    []Defect
}

// makeSome gives n zero values, in the memory of those before if they fit.
func makeSome[T any](from *[]T, n int) []T {
	if n == 0 {
		return nil
	}
	if n > cap(*from) {
		*from = make([]T, n)
		return *from
	}
	some := (*from)[:n]
	clear(some)
	return some
}

// takeSome cuts n off what has been allocated for a kind.
func takeSome[T any](d *decoder, from *[]T, n int) []T {
	if n > len(*from) || d.failed {
		d.failed = true
		return nil
	}
	if n == 0 {
		return nil
	}
	taken := (*from)[:n:n]
	*from = (*from)[n:]
	return taken
}

func (d *decoder) number() uint64 {
	if d.at < len(d.s) && d.s[d.at] < 0x80 && !d.failed {
		d.at++
		return uint64(d.s[d.at-1])
	}
	var n uint64
	for shift := uint(0); shift < 64 && d.at < len(d.s) && !d.failed; shift += 7 {
		c := d.s[d.at]
		d.at++
		if shift == 63 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	d.failed = true
	return 0
}

func (d *decoder) signed() int64 {
	n := d.number()
	return int64(n>>1) ^ -int64(n&1)
}

// count reads how many there are of something that takes at least so many
// octets each.
func (d *decoder) count(least int) int {
	n := d.number()
	if n > uint64(len(d.s)-d.at)/uint64(least) {
		d.failed = true
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.number()
	if n&1 == 1 {
		if n >>= 1; n < uint64(len(commonWords)) {
			return commonWords[n]
		}
		d.failed = true
		return ""
	}
	n >>= 1
	if n > uint64(len(d.s)-d.at) {
		d.failed = true
		return ""
	}
	s := d.s[d.at : d.at+int(n)]
	d.at += int(n)
	return s
}

func (d *decoder) list() []string {
	l := takeSome(d, &d.strings, d.count(1))
	for i := range l {
		l[i] = d.text()
	}
	return l
}

func (d *decoder) params() []Param {
	l := takeSome(d, &d.parameters, d.count(2))
	for i := range l {
		l[i] = Param{d.text(), d.text()}
	}
	return l
}

func (d *decoder) envelope(v *Envelope) {
	for _, s := range []*string{&v.Date, &v.Subject, &v.InReplyTo, &v.MessageID} {
		*s = d.text()
	}
	for _, l := range []*[]Address{&v.From, &v.Sender, &v.ReplyTo, &v.To, &v.Cc, &v.Bcc} {
		*l = takeSome(d, &d.addresses, d.count(4))
		for i := range *l {
			a := &(*l)[i]
			group := d.number()
			if group > 1 {
				d.failed = true
			}
			a.Group = group == 1
			a.Name, a.Local, a.Domain = d.text(), d.text(), d.text()
		}
	}
}

// maxBinaryDepth is above what the parser makes: each of maxDepth levels may
// be a part and a message in it.
const maxBinaryDepth = 2*maxDepth + 2

func (d *decoder) part(p *Part, base int64, depth int) {
	if depth > maxBinaryDepth {
		d.failed = true
		return
	}
	p.Header = base + d.signed()
	p.Body = p.Header + d.signed()
	p.End = p.Body + d.signed()
	p.Lines = d.signed()
	p.Type, p.Subtype = d.text(), d.text()
	p.Params = d.params()
	p.Encoding = d.text()
	p.ID, p.Description, p.MD5 = d.text(), d.text(), d.text()
	p.Disposition = d.text()
	p.DispositionParams = d.params()
	p.Language = d.list()
	p.Location = d.text()
	switch d.number() {
	case 0:
	case 1:
		if e := takeSome(d, &d.envelopes, 1); e != nil {
			p.Embedded = &e[0]
			d.envelope(p.Embedded)
		}
	default:
		d.failed = true
	}
	p.Parts = takeSome(d, &d.parts, d.count(15))
	for i := range p.Parts {
		d.part(&p.Parts[i], p.Body, depth+1)
		if d.failed {
			return
		}
	}
}
