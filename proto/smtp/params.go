package smtp

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"waxwing/mail"
)

// maxParameters bounds the parameters of one command.
const maxParameters = 16

// A parameter is one row: which extension it belongs to and how its value is
// read. Set is told whether there was a "=".
type parameter[T any] struct {
	needs Extensions
	set   func(to *T, value string, given bool) error
}

// The parameters of MAIL.
var mailParameters = map[string]parameter[Mail]{
	"SIZE":        {Size, setSize},               // RFC 1870 §5
	"BODY":        {EightBitMIME, setBody},       // RFC 6152 §2, RFC 3030 §3
	"SMTPUTF8":    {SMTPUTF8, setUTF8},           // RFC 6531 §3.4
	"AUTH":        {AUTH, setAuth},               // RFC 4954 §5
	"RET":         {DSN, setReturn},              // RFC 3461 §4.3
	"ENVID":       {DSN, setEnvelopeID},          // RFC 3461 §4.4
	"BY":          {DeliverBy, setBy},            // RFC 2852 §4
	"MT-PRIORITY": {MTPriority, setPriority},     // RFC 6710 §3
	"HOLDFOR":     {FutureRelease, setHoldFor},   // RFC 4865 §3
	"HOLDUNTIL":   {FutureRelease, setHoldUntil}, // RFC 4865 §3
	"REQUIRETLS":  {RequireTLS, setRequireTLS},   // RFC 8689 §2
	"SOLICIT":     {NoSoliciting, setSolicit},    // RFC 3865 §2.3
	"XVERP":       {XVERP, setVERP},              // Postfix, VERP_README
}

// The parameters of RCPT.
var rcptParameters = map[string]parameter[Rcpt]{
	"NOTIFY": {DSN, setNotify},   // RFC 3461 §4.1
	"ORCPT":  {DSN, setOriginal}, // RFC 3461 §4.2
}

var (
	errValue       = errors.New("bad value")
	errUnsupported = errors.New("value not supported")
)

// parseParameters reads esmtp parameters. RFC 5321 §4.1.2
func parseParameters[T any](s string, table map[string]parameter[T], to *T, uses *Extensions) error {
	if s == "" {
		return nil
	}
	fields := strings.Fields(s)
	if len(fields) > maxParameters {
		return argumentError("Too many parameters")
	}
	for i, field := range fields {
		key, value, given := strings.Cut(field, "=")
		key = strings.ToUpper(key)
		row, known := table[key]
		if !known {
			return unknownParameter(key)
		}
		for _, earlier := range fields[:i] {
			if before, _, _ := strings.Cut(earlier, "="); strings.EqualFold(before, key) {
				return argumentError("Parameter " + key + " is given twice")
			}
		}
		switch err := row.set(to, value, given); {
		case errors.Is(err, errUnsupported):
			return unknownParameter(key)
		case err != nil:
			return argumentError("Bad value of parameter " + key)
		}
		*uses |= row.needs
	}
	return nil
}

// unknownParameter is for what is not recognised or cannot be done.
// RFC 5321 §4.1.1.11
func unknownParameter(key string) *Refusal {
	if len(key) > 40 {
		key = "given"
	}
	return &Refusal{Code: 555, Enhanced: Enhanced{5, 5, 4}, Text: "Parameter " + key + " not recognised or not supported"}
}

func setSize(m *Mail, value string, _ bool) error {
	// Up to 20 digits, more than an int64 holds. RFC 1870 §5
	if value == "" || len(value) > 20 || strings.Trim(value, "0123456789") != "" {
		return errValue
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > math.MaxInt64 {
		n = math.MaxInt64
	}
	m.Size = mail.ByteCount(n)
	return nil
}

func setBody(m *Mail, value string, _ bool) error {
	switch strings.ToUpper(value) {
	case "7BIT":
	case "8BITMIME":
		m.EightBit = true
	case "BINARYMIME":
		m.EightBit, m.Binary = true, true
		m.Uses |= BinaryMIME
	case "":
		return errValue
	default:
		return errUnsupported
	}
	return nil
}

func setUTF8(m *Mail, _ string, given bool) error {
	if given {
		return errValue // it takes no value, RFC 6531 §3.4
	}
	m.UTF8 = true
	return nil
}

func setAuth(m *Mail, value string, _ bool) error {
	s, err := DecodeXtext(value)
	if err != nil || s == "" {
		return errValue
	}
	if s != "<>" {
		if _, err := mail.ParseAddress(s); err != nil {
			return err
		}
	}
	m.Auth = s
	return nil
}

func setReturn(m *Mail, value string, _ bool) error {
	switch strings.ToUpper(value) {
	case "FULL":
		m.Return = ReturnFull
	case "HDRS":
		m.Return = ReturnHeaders
	default:
		return errValue
	}
	return nil
}

func setEnvelopeID(m *Mail, value string, _ bool) error {
	s, err := DecodeXtext(value)
	if err != nil || s == "" || len(value) > 100 || !isPrintable(s) {
		return errValue
	}
	m.EnvelopeID = s
	return nil
}

func setNotify(r *Rcpt, value string, _ bool) error {
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		switch word {
		case "NEVER":
			r.Notify |= mail.NotifyNever
		case "SUCCESS":
			r.Notify |= mail.NotifySuccess
		case "FAILURE":
			r.Notify |= mail.NotifyFailure
		case "DELAY":
			r.Notify |= mail.NotifyDelay
		default:
			return errValue
		}
	}
	if r.Notify&mail.NotifyNever != 0 && r.Notify != mail.NotifyNever {
		return errValue // NEVER stands alone, RFC 3461 §4.1
	}
	return nil
}

func setOriginal(r *Rcpt, value string, _ bool) error {
	kind, encoded, ok := strings.Cut(value, ";")
	if !ok || kind == "" || encoded == "" || len(value) > 500 {
		return errValue
	}
	for i := 0; i < len(kind); i++ {
		if !isAlnum(kind[i]) && kind[i] != '-' {
			return errValue
		}
	}
	decode := DecodeXtext
	if strings.EqualFold(kind, "utf-8") {
		decode = DecodeUTF8Xtext
	}
	address, err := decode(encoded)
	if err != nil || address == "" {
		return errValue
	}
	r.Original = kind + ";" + address
	return nil
}
