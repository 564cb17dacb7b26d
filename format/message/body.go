package message

import (
	"encoding/base64"
	"io"
	"strings"

	"waxwing/format/charset"
)

// DecodeBody takes off a Content-Transfer-Encoding. It decodes base64 and
// quoted-printable, leaves out what does not belong there, and passes all
// other encodings. It fails only if r does. RFC 2045 §6
func DecodeBody(r io.Reader, encoding string) io.Reader {
	if d := newBodyDecoder(strings.ToLower(encoding)); d != nil {
		return &bodyReader{r: r, decoder: d}
	}
	return r
}

// newBodyDecoder gives nothing for an encoding that is none.
func newBodyDecoder(encoding string) bodyDecoder {
	switch encoding {
	case "base64":
		return &base64Decoder{}
	case "quoted-printable":
		return &quotedDecoder{}
	}
	return nil
}

// DecodeText gives text in a charset as UTF-8. It fails only if r does.
func DecodeText(r io.Reader, label string) io.Reader { return charset.NewReader(r, label) }

// A bodyDecoder appends what src gives to dst. Of dst, all but the last held
// octets are final.
type bodyDecoder interface {
	decode(dst, src []byte) []byte
	end(dst []byte) []byte
	held(dst []byte) int
	drop(n int) // n octets have gone from the start of dst
}

type bodyReader struct {
	r       io.Reader
	decoder bodyDecoder
	in      [4096]byte
	out     []byte
	err     error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		ready := len(b.out)
		if b.err == nil {
			ready -= b.decoder.held(b.out)
		}
		if ready > 0 {
			n := copy(p, b.out[:ready])
			b.out = b.out[:copy(b.out, b.out[n:])]
			b.decoder.drop(n)
			return n, nil
		}
		if b.err != nil {
			return 0, b.err
		}
		n, err := b.r.Read(b.in[:])
		b.out = b.decoder.decode(b.out, b.in[:n])
		if err != nil {
			b.out = b.decoder.end(b.out)
			b.err = err
		}
	}
}

// base64Decoder skips octets that are not of the alphabet; padding ends a
// quantum, and more may follow. RFC 2045 §6.8
type base64Decoder struct {
	bits  uint32
	count uint
}

// base64Values maps octets to their six bits; 64 is padding, 65 none of it.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 65
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	t['='] = 64
	return t
}()

func (d *base64Decoder) decode(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if d.count == 0 {
			for i+4 <= len(src) {
				a, b, c, e := base64Values[src[i]], base64Values[src[i+1]], base64Values[src[i+2]], base64Values[src[i+3]]
				if (a|b|c|e)&0xc0 != 0 {
					break
				}
				dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|e)
				i += 4
			}
			if i == len(src) {
				break
			}
		}
		v := base64Values[src[i]]
		i++
		switch {
		case v < 64:
			d.bits = d.bits<<6 | uint32(v)
			if d.count += 6; d.count == 24 {
				dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
				d.bits, d.count = 0, 0
			}
		case v == 64:
			dst = d.end(dst)
		}
	}
	return dst
}

func (d *base64Decoder) end(dst []byte) []byte {
	switch d.count {
	case 12:
		dst = append(dst, byte(d.bits>>4))
	case 18:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.bits, d.count = 0, 0
	return dst
}

func (d *base64Decoder) held([]byte) int { return 0 }
func (d *base64Decoder) drop(int)        {}

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// quotedDecoder takes "=" that starts nothing as itself, and drops white space
// at the end of lines. RFC 2045 §6.7
type quotedDecoder struct {
	escape byte // what has been seen of an escape: 0, '=', or its first digit
	soft   bool // white space behind "=", perhaps before a line end
	spaces int  // octets of it
	hard   int  // what lies before this in dst stays
}

// White space at the end of a line may be dropped up to this length.
const maxTrailing = 1024

func (d *quotedDecoder) decode(dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case d.escape == 0 && c == '=':
			d.escape = '='
		case d.escape == 0 && c == '\n':
			dst = d.line(dst)
		case d.escape == 0:
			dst = append(dst, c)
		default:
			dst = d.escaped(dst, c)
		}
	}
	return dst
}

// escaped takes an octet behind "=".
func (d *quotedDecoder) escaped(dst []byte, c byte) []byte {
	switch {
	case c == '\n' && d.escape == '=': // a soft line break
		d.escape, d.soft, d.spaces = 0, false, 0
		d.hard = len(dst) // white space before it is not at the end of a line
		return dst
	case d.escape == '=' && (c == ' ' || c == '\t' || c == '\r'):
		d.soft = true
		if d.spaces++; d.spaces < maxTrailing {
			return dst
		}
	case d.escape == '=' && !d.soft && hexDigit(c) < 16:
		d.escape = c
		return dst
	case d.escape != '=' && hexDigit(c) < 16:
		v, _ := unhex(d.escape, c)
		d.escape = 0
		dst = append(dst, v)
		d.hard = len(dst)
		return dst
	}
	// No escape after all: what was taken for one stands for itself.
	dst = append(dst, '=')
	if d.escape != '=' {
		dst = append(dst, d.escape)
	} else if d.soft {
		dst = append(dst, ' ')
	}
	d.escape, d.soft, d.spaces = 0, false, 0
	return d.decode(dst, []byte{c})
}

// line ends a line: white space before it goes.
func (d *quotedDecoder) line(dst []byte) []byte {
	n := len(dst)
	end := "\n"
	if n > d.hard && dst[n-1] == '\r' {
		n--
		end = "\r\n"
	}
	for n > d.hard && (dst[n-1] == ' ' || dst[n-1] == '\t') {
		n--
	}
	dst = append(dst[:n], end...)
	d.hard = len(dst)
	return dst
}

func (d *quotedDecoder) end(dst []byte) []byte {
	switch {
	case d.escape == '=' && d.soft, d.escape == 0:
	case d.escape == '=': // a soft line break without a line end
	default:
		dst = append(dst, '=', d.escape)
	}
	d.escape, d.soft, d.spaces = 0, false, 0
	return dst
}

// held tells how much at the end of dst may yet be dropped.
func (d *quotedDecoder) held(dst []byte) int {
	n := len(dst)
	for n > d.hard && len(dst)-n < maxTrailing && (dst[n-1] == ' ' || dst[n-1] == '\t' || dst[n-1] == '\r') {
		n--
	}
	if len(dst)-n >= maxTrailing {
		return 0
	}
	return len(dst) - n
}

func (d *quotedDecoder) drop(n int) { d.hard = max(0, d.hard-n) }
