package message

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
)

// textEncoding chooses the transfer encoding of text with CRLF line ends.
func textEncoding(text string) string {
	line, longest, unsafe := 0, 0, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			line = 0
			continue
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n':
			continue
		case c >= 0x7f || c < ' ' && c != '\t' && c != '\f':
			unsafe++
		}
		line++
		longest = max(longest, line)
	}
	switch {
	case unsafe == 0 && longest <= maxLine:
		return "7bit"
	case 4*unsafe > len(text): // it would be longer, and no one could read it
		return "base64"
	}
	return "quoted-printable"
}

// encodeTo writes content in a transfer encoding.
func encodeTo(w *countWriter, content io.Reader, encoding string) {
	switch encoding {
	case "base64":
		w.fail(encodeBase64(w, content))
	case "quoted-printable":
		q := quotedprintable.NewWriter(w)
		_, err := io.Copy(q, content)
		w.fail(err)
		w.fail(q.Close())
	default:
		_, err := io.Copy(w, content)
		w.fail(err)
	}
}

// encodeBase64 writes lines of 76 characters. RFC 2045 §6.8
func encodeBase64(w io.Writer, content io.Reader) error {
	const line, lines = 57, 64
	in := make([]byte, line*lines)
	out := make([]byte, 0, (76+2)*lines)
	for {
		n, err := io.ReadFull(content, in)
		out = out[:0]
		for at := 0; at < n; at += line {
			out = base64.StdEncoding.AppendEncode(out, in[at:min(at+line, n)])
			out = append(out, "\r\n"...)
		}
		if len(out) > 0 {
			if _, err := w.Write(out); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}
