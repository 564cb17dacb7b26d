package smtp

import (
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
)

// Append writes the command with CR LF. Only the parameters that Uses names
// are written, so that the caller decides by what the peer offers.
func (m Mail) Append(dst []byte) []byte {
	dst = append(dst, "MAIL FROM:"...)
	dst = appendPath(dst, m.From)
	if m.Uses.Has(Size) && m.Size > 0 {
		dst = strconv.AppendInt(append(dst, " SIZE="...), int64(m.Size), 10)
	}
	if m.Uses.Has(EightBitMIME) {
		if m.Binary {
			dst = append(dst, " BODY=BINARYMIME"...)
		} else if m.EightBit {
			dst = append(dst, " BODY=8BITMIME"...)
		} else {
			dst = append(dst, " BODY=7BIT"...)
		}
	}
	if m.Uses.Has(SMTPUTF8) && m.UTF8 {
		dst = append(dst, " SMTPUTF8"...)
	}
	if m.Uses.Has(AUTH) && m.Auth != "" {
		dst = append(append(dst, " AUTH="...), EncodeXtext(m.Auth)...)
	}
	if m.Uses.Has(DSN) {
		switch m.Return {
		case ReturnFull:
			dst = append(dst, " RET=FULL"...)
		case ReturnHeaders:
			dst = append(dst, " RET=HDRS"...)
		}
		if m.EnvelopeID != "" {
			dst = append(append(dst, " ENVID="...), EncodeXtext(m.EnvelopeID)...)
		}
	}
	return append(m.appendWishes(dst), '\r', '\n')
}

// appendWishes writes the parameters about when and how the message goes on.
func (m Mail) appendWishes(dst []byte) []byte {
	if m.Uses.Has(DeliverBy) {
		dst = strconv.AppendInt(append(dst, " BY="...), m.By.Seconds, 10)
		mode := ";N"
		if m.By.Return {
			mode = ";R"
		}
		dst = append(dst, mode...)
		if m.By.Trace {
			dst = append(dst, 'T')
		}
	}
	if m.Uses.Has(MTPriority) {
		dst = strconv.AppendInt(append(dst, " MT-PRIORITY="...), int64(m.Priority), 10)
	}
	if m.Uses.Has(FutureRelease) {
		switch {
		case m.HoldFor > 0:
			dst = strconv.AppendInt(append(dst, " HOLDFOR="...), int64(m.HoldFor/time.Second), 10)
		case !m.HoldUntil.IsZero():
			dst = m.HoldUntil.UTC().AppendFormat(append(dst, " HOLDUNTIL="...), time.RFC3339)
		}
	}
	if m.Uses.Has(RequireTLS) && m.RequireTLS {
		dst = append(dst, " REQUIRETLS"...)
	}
	if m.Uses.Has(NoSoliciting) && m.Solicit != "" {
		dst = append(append(dst, " SOLICIT="...), m.Solicit...)
	}
	if m.Uses.Has(XVERP) && m.VERP != "" {
		dst = append(append(dst, " XVERP="...), m.VERP...)
	}
	return dst
}

// Append writes the command with CR LF, with the parameters that Uses names.
func (r Rcpt) Append(dst []byte) []byte {
	dst = append(dst, "RCPT TO:"...)
	dst = appendPath(dst, r.To)
	if r.Uses.Has(DSN) {
		if words := notifyWords(r.Notify); words != "" {
			dst = append(append(dst, " NOTIFY="...), words...)
		}
		if kind, address, ok := strings.Cut(r.Original, ";"); ok {
			encode := EncodeXtext
			if strings.EqualFold(kind, "utf-8") {
				encode = EncodeUTF8Xtext
			}
			dst = append(append(append(dst, " ORCPT="...), kind...), ';')
			dst = append(dst, encode(address)...)
		}
	}
	return append(dst, '\r', '\n')
}

func notifyWords(n mail.Notify) string {
	if n&mail.NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for _, w := range []struct {
		bit  mail.Notify
		word string
	}{{mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}
