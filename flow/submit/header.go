package submit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/trust/verify"
)

// maxHeader is the largest header that a client may submit.
const maxHeader = 512 << 10

// readHeader reads a message's header, up to and without the empty line, and
// gives what follows that line. A message without a header has all of itself
// as the rest.
func readHeader(r io.Reader) (header []byte, rest io.Reader, err error) {
	buf := make([]byte, 0, 4<<10)
	for scanned := 0; ; {
		head, after, at, done := splitHeader(buf, scanned)
		if done {
			return head, io.MultiReader(bytes.NewReader(after), r), nil
		}
		scanned = at
		if len(buf) > maxHeader {
			return nil, nil, &smtp.Refusal{
				Code: 552, Enhanced: smtp.Enhanced{5, 3, 4},
				Text: fmt.Sprintf("the header is larger than %s", mail.ByteCount(maxHeader)),
			}
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			head, after := finalHeader(buf)
			return head, bytes.NewReader(after), nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// splitHeader looks for the end of the header in b, going through whole lines
// from scanned on. If it is not there it gives how far it has come.
func splitHeader(b []byte, scanned int) (header, rest []byte, at int, done bool) {
	for {
		i := bytes.IndexByte(b[scanned:], '\n')
		if i < 0 {
			return nil, nil, scanned, false
		}
		line := b[scanned : scanned+i+1]
		switch {
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return b[:scanned], b[scanned+i+1:], scanned, true
		case !isHeaderLine(line, scanned == 0):
			// QUIRK: people type a message without a header, or forget the
			// empty line: what is no field is the body.
			return b[:scanned], b[scanned:], scanned, true
		}
		scanned += i + 1
	}
}

// finalHeader splits a message that has ended without an empty line.
func finalHeader(b []byte) (header, rest []byte) {
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, "\r\n"...)
	}
	if header, rest, _, done := splitHeader(b, 0); done {
		return header, rest
	}
	return b, nil
}

// isHeaderLine tells whether a line begins a field or goes on with one.
// RFC 5322 §2.2
func isHeaderLine(line []byte, first bool) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return !first
	}
	for f := range message.Fields(line) {
		return len(f.Name) > 0
	}
	return false
}

// parse finds all fields of a header, however many.
func parse(header []byte) message.Header {
	return message.Header(slices.Collect(message.Fields(header)))
}

// checkAuthor refuses a message that claims to be from somebody else: who has
// logged in must own every address in From, or the one in Sender, or whoever
// sends a message on unchanged, the one in the first Resent-From or
// Resent-Sender. RFC 6409 §6.1, §8.1, RFC 5322 §3.6.6
func (s *Submitter) checkAuthor(ctx context.Context, who sasl.Identity, fields message.Header) error {
	for f := range fields.All("Resent-Sender") {
		return s.checkField(ctx, who, f)
	}
	for f := range fields.All("Resent-From") {
		return s.checkField(ctx, who, f)
	}
	name := "From"
	if fields.Has("Sender") {
		name = "Sender"
	}
	for f := range fields.All(name) {
		if err := s.checkField(ctx, who, f); err != nil {
			return err
		}
	}
	return nil
}

// checkField refuses an address in a field that is not the user's own.
func (s *Submitter) checkField(ctx context.Context, who sasl.Identity, f message.Field) error {
	for _, a := range message.ParseAddressList(f.Text()) {
		if a.Group {
			continue
		}
		author, err := mail.ParseAddress(mail.Address{Local: a.Local, Domain: a.Domain}.String())
		own := false
		if err == nil {
			if own, err = s.own(ctx, who, author); err != nil {
				return err
			}
		}
		if !own {
			return &smtp.Refusal{
				Code: 550, Enhanced: smtp.Enhanced{5, 7, 1},
				Text: fmt.Sprintf("%s: <%s@%s> is not an address of %s", f.Name, a.Local, a.Domain, who.Login),
			}
		}
	}
	return nil
}

// dropped are the fields that a client must not send on: who else got the
// message, and what only delivery writes. RFC 5322 §3.6.3, RFC 5321 §4.4,
// draft-brand-indicators-for-message-identification
var dropped = []string{"Bcc", "Resent-Bcc", "Return-Path", "Delivered-To", "BIMI-Location", "BIMI-Indicator"}

// repair gives the header as it goes on, with its empty line: without what is
// dropped, or claims to be our finding (RFC 8601 §5), with what is missing.
// RFC 6409 §8
func (s *Submitter) repair(header []byte, fields message.Header, who sasl.Identity, now time.Time) io.Reader {
	var b bytes.Buffer
	// A From that names nobody is as good as none. RFC 5322 §3.6.2
	fields = slices.DeleteFunc(fields, func(f message.Field) bool {
		return slices.ContainsFunc(dropped, f.Is) || verify.Forged(header[f.Start:f.End], s.hostname) ||
			f.Is("From") && len(message.ParseAddressList(f.Text())) == 0
	})
	missing := func(name, value string) {
		if !fields.Has(name) {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	missing("Date", message.FormatDate(now))                        // RFC 6409 §8.2
	missing("Message-ID", "<"+message.NewMessageID(s.hostname)+">") // RFC 6409 §8.3
	missing("From", "<"+who.Login.String()+">")                     // RFC 5322 §3.6.2
	for _, f := range fields {
		b.Write(header[f.Start:f.End])
	}
	b.WriteString("\r\n")
	return &b
}
