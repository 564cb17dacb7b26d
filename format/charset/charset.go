// Package charset turns text in the charsets of mail into UTF-8.
//
// It knows all of WHATWG's encodings and IANA's that golang.org/x/text has,
// and besides UTF-7 (RFC 2152), ISO-2022-KR (RFC 1557), HZ (RFC 1843), UTF-32
// and the DOS code pages, under the names that people and programs use for
// them. It never fails: what cannot be decoded becomes U+FFFD, and a charset
// that no one knows is guessed.
package charset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// Known tells whether there is a decoder for the charset of this name.
func Known(label string) bool { return lookup(label) != nil }

// NewReader gives what r reads as UTF-8. It fails only if r does.
func NewReader(r io.Reader, label string) io.Reader {
	return transform.NewReader(r, decoder(label))
}

// Decode gives b as UTF-8.
func Decode(b []byte, label string) string {
	if ascii(b) && !shifts(b) {
		if isUTF8(label) || isASCII(label) {
			return string(b)
		}
	}
	out, _, err := transform.Bytes(decoder(label), b)
	if err != nil { // none of our decoders fails
		return string(bytes.ToValidUTF8(b, []byte("\uFFFD")))
	}
	return string(out)
}

// Guess gives text without a declared charset as UTF-8: what is UTF-8 stays,
// other octets count as windows-1252.
func Guess(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out, _, _ := transform.Bytes(guess{}, b)
	return string(out)
}

func decoder(label string) transform.Transformer {
	if isASCII(label) {
		return guess{}
	}
	if e := lookup(label); e != nil {
		return whole{e.NewDecoder().Transformer}
	}
	return guess{}
}

// A whole decoder never fails: what its inner one cannot make a character of,
// such as the rest of a cut UTF-32 text, becomes one U+FFFD.
type whole struct{ transform.Transformer }

// Transform implements transform.Transformer.
func (w whole) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = w.Transformer.Transform(dst, src, atEOF)
	switch {
	case err == nil, errors.Is(err, transform.ErrShortDst), errors.Is(err, transform.ErrShortSrc) && !atEOF:
		return nDst, nSrc, err
	case len(dst)-nDst < len("\uFFFD"):
		return nDst, nSrc, transform.ErrShortDst
	}
	return nDst + copy(dst[nDst:], "\uFFFD"), len(src), nil
}

func isUTF8(label string) bool { return strings.EqualFold(label, "utf-8") }

// isASCII: us-ascii with octets above 127 is a lie in either direction, so
// that it is guessed.
func isASCII(label string) bool {
	return label == "" || strings.EqualFold(label, "us-ascii") || strings.EqualFold(label, "ascii")
}

func ascii(b []byte) bool {
	const high = 0x8080808080808080 // of eight octets
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// shifts tells whether there is an octet that ISO 2022 would act on.
func shifts(b []byte) bool { return bytes.IndexByte(b, 0x1b) >= 0 }

// lookup finds an encoding by the name that mail uses for it.
func lookup(label string) encoding.Encoding {
	label = strings.ToLower(strings.Trim(label, " \t\"'"))
	if i := strings.IndexByte(label, '*'); i >= 0 { // a language, RFC 2231 §5
		label = label[:i]
	}
	if e := special(label); e != nil {
		return e
	}
	if e, err := htmlindex.Get(label); err == nil && e != encoding.Replacement {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(label); err == nil && e != nil {
		return e
	}
	if e, err := ianaindex.IANA.Encoding(label); err == nil && e != nil {
		return e
	}
	return nil
}

// special holds what the indexes lack, or give another meaning.
func special(label string) encoding.Encoding {
	switch label {
	case "utf8", "utf-8", "utf_8", "utf8mb4", "unicode-1-1-utf-8", "cp65001", "windows-65001":
		return unicode.UTF8
	case "utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7", "x-unicode-2-0-utf-7":
		return oneWay{newUTF7}
	case "iso-2022-kr", "csiso2022kr":
		return oneWay{newISO2022KR}
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM) // RFC 2781 §4.3
	case "utf-32", "utf32", "ucs-4", "iso-10646-ucs-4":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)
	case "gb2312", "gbk", "gb_2312-80", "x-gbk", "cp936", "ms936", "windows-936", "euc-cn", "gb18030", "gb18030-2000":
		return simplifiedchinese.GB18030 // each holds the one before
	case "hz-gb-2312", "hz":
		return simplifiedchinese.HZGB2312
	case "cp932", "ms932", "windows-932", "shift-jis", "sjis", "x-ms-cp932":
		return japanese.ShiftJIS
	case "iso-2022-jp-1", "iso-2022-jp-2", "iso-2022-jp-3", "iso-2022-jp-2004", "iso-2022-jp-ms", "cp50220", "cp50221", "cp50222", "x-windows-iso2022jp":
		return japanese.ISO2022JP
	case "eucjp", "euc-jp-ms", "cp51932", "eucjp-ms", "eucjp-win":
		return japanese.EUCJP
	case "cp949", "ms949", "windows-949", "uhc", "ks_c_5601", "euckr":
		return korean.EUCKR
	case "cp437", "437":
		return charmap.CodePage437
	case "cp850", "850", "cp-850":
		return charmap.CodePage850
	case "cp852", "852":
		return charmap.CodePage852
	case "cp855", "855":
		return charmap.CodePage855
	case "cp858", "858":
		return charmap.CodePage858
	case "cp866-u":
		return charmap.CodePage866
	case "latin-1", "iso-8859-1-windows-3.1-latin-1", "iso-8859-1-windows-3.0-latin-1", "8859_1", "iso8859_1", "cp-1252", "ansi", "windows_1252":
		return charmap.Windows1252
	case "latin-9", "8859_15", "iso8859_15":
		return charmap.ISO8859_15
	case "x-mac-roman", "mac-roman", "macroman":
		return charmap.Macintosh
	}
	return nil
}

// oneWay is an encoding that we read and never write.
type oneWay struct{ decode func() transform.Transformer }

func (e oneWay) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: e.decode()}
}

func (e oneWay) NewEncoder() *encoding.Encoder {
	return encoding.Replacement.NewEncoder()
}

// guess passes UTF-8 and reads other octets as windows-1252.
type guess struct{ transform.NopResetter }

func (guess) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		if c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst++
			nSrc++
			continue
		}
		r, n := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && n == 1 {
			if !atEOF && !utf8.FullRune(src[nSrc:]) {
				return nDst, nSrc, transform.ErrShortSrc
			}
			r = charmap.Windows1252.DecodeByte(c)
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += n
	}
	return nDst, nSrc, nil
}
