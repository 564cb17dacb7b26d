package pop3

import "fmt"

// A Code is a response code, without its brackets. RFC 2449 §8
type Code string

// The response codes.
const (
	NoCode     Code = ""
	InUse      Code = "IN-USE"      // RFC 2449 §8.1.2
	LoginDelay Code = "LOGIN-DELAY" // RFC 2449 §8.1.1
	SysTemp    Code = "SYS/TEMP"    // RFC 3206 §4
	SysPerm    Code = "SYS/PERM"    // RFC 3206 §4
	AuthFailed Code = "AUTH"        // RFC 3206 §5
)

// A Refusal is an -ERR response.
type Refusal struct {
	Code   Code
	Phrase Phrase
	Args   []any // what the phrase speaks of
	Err    error // for our log
}

// Error gives the refusal as it is sent, in English, and its cause.
func (r *Refusal) Error() string {
	s := r.Line(English)
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Line gives the response without its CRLF.
func (r *Refusal) Line(l Language) string {
	text := l.Text(r.Phrase, r.Args...)
	if r.Code == NoCode {
		return "-ERR " + text
	}
	return fmt.Sprintf("-ERR [%s] %s", r.Code, text)
}
