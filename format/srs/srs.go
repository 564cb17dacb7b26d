// Package srs writes and reads the addresses of the Sender Rewriting Scheme:
// whoever forwards a message puts an address of its own into the envelope, so
// that SPF holds at the next host, and from which the sender can be found
// again when a bounce comes back.
//
//	ann@a.test, forwarded by b.test      SRS0=HHHHHH=TT=a.test=ann@b.test
//	that one, forwarded by c.test        SRS1=HHHHHH=b.test==HHHHHH=TT=a.test=ann@c.test
//
// H is a hash with a key of the forwarder's, T the day. Bounces to the second
// go straight back to b.test, however many have forwarded in between. The
// forms are those of Mail::SRS, postsrsd and libsrs2 (there is no RFC; Meng
// Weng Wong and Shevek, "The Sender Rewriting Scheme", 2003).
package srs

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"waxwing/mail"
)

// Lifetime is for how long an address can be reversed: as long as others keep
// a message in their queues, and some days for their people.
const Lifetime = 21 * 24 * time.Hour

// hashLength is how many letters of the hash are kept. Four are usual; six
// letters of which the case does not count are more than 30 bits.
const hashLength = 6

// What is wrong with an address.
var (
	ErrNotSRS  = errors.New("not a rewritten address")
	ErrForged  = errors.New("rewritten address was not made here")
	ErrExpired = errors.New("rewritten address is too old")
	ErrTooLong = errors.New("address is too long to be rewritten")
)

// Is tells whether an address has the form of a rewritten one.
func Is(a mail.Address) bool {
	return len(a.Local) > 5 && strings.EqualFold(a.Local[:3], "SRS") &&
		(a.Local[3] == '0' || a.Local[3] == '1') && strings.IndexByte("=+-", a.Local[4]) >= 0
}

// Forward rewrites a sender for a domain of ours.
func Forward(key []byte, now time.Time, sender mail.Address, domain string) (mail.Address, error) {
	var local string
	switch {
	case Is(sender) && sender.Local[3] == '1':
		// Somebody has forwarded what somebody had forwarded: the first is kept.
		_, host, user, ok := cut3(sender.Local[5:])
		if !ok {
			return mail.Address{}, ErrNotSRS
		}
		local = "SRS1=" + hash(key, host, user) + "=" + host + "=" + user
	case Is(sender):
		user := sender.Local[4:]
		local = "SRS1=" + hash(key, sender.Domain, user) + "=" + sender.Domain + "=" + user
	default:
		day := timestamp(now)
		local = "SRS0=" + hash(key, day, sender.Domain, sender.Local) + "=" + day + "=" + sender.Domain + "=" + sender.Local
	}
	// What is too long would be refused when it comes back.
	a, err := mail.ParseAddress(mail.Address{Local: local, Domain: domain}.String())
	if err != nil {
		return mail.Address{}, ErrTooLong
	}
	return a, nil
}

// Reverse gives the address that Forward has rewritten with one of the keys.
func Reverse(keys [][]byte, now time.Time, a mail.Address) (mail.Address, error) {
	if !Is(a) {
		return mail.Address{}, ErrNotSRS
	}
	var local, domain string
	if a.Local[3] == '1' {
		sum, host, user, ok := cut3(a.Local[5:])
		if !ok || user == "" || strings.IndexByte("=+-", user[0]) < 0 {
			return mail.Address{}, ErrNotSRS
		}
		if !made(keys, sum, host, user) {
			return mail.Address{}, ErrForged
		}
		local, domain = "SRS0"+user, host
	} else {
		sum, day, rest, ok := cut3(a.Local[5:])
		host, user, ok2 := strings.Cut(rest, "=")
		if !ok || !ok2 {
			return mail.Address{}, ErrNotSRS
		}
		if !made(keys, sum, day, host, user) {
			return mail.Address{}, ErrForged
		}
		if !fresh(day, now) {
			return mail.Address{}, ErrExpired
		}
		local, domain = user, host
	}
	to, err := mail.ParseAddress(mail.Address{Local: local, Domain: domain}.String())
	if err != nil {
		return mail.Address{}, ErrNotSRS
	}
	return to, nil
}

func cut3(s string) (first, second, rest string, ok bool) {
	first, s, ok = strings.Cut(s, "=")
	if !ok {
		return "", "", "", false
	}
	second, rest, ok = strings.Cut(s, "=")
	return first, second, rest, ok
}

// hash signs the parts of an address. Hosts on the way may change the case of
// letters, so it does not count.
func hash(key []byte, parts ...string) string {
	mac := hmac.New(sha1.New, key)
	text := make([]byte, 0, 128)
	for _, p := range parts {
		text = append(text, lower(p)...)
	}
	mac.Write(text)
	var sum [sha1.Size]byte
	return base64.StdEncoding.EncodeToString(mac.Sum(sum[:0]))[:hashLength]
}

// lower changes ASCII letters only, as everybody else does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func made(keys [][]byte, sum string, parts ...string) bool {
	for _, key := range keys {
		if hmac.Equal([]byte(lower(sum)), []byte(lower(hash(key, parts...)))) {
			return true
		}
	}
	return false
}

// The day is counted in base 32, in two letters that come round every 1024
// days.
const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	days    = 32 * 32
)

func dayOf(t time.Time) int { return int(t.Unix() / 86400 % days) }

func timestamp(now time.Time) string {
	d := dayOf(now)
	return string([]byte{letters[d>>5], letters[d&31]})
}

func fresh(day string, now time.Time) bool {
	if len(day) != 2 {
		return false
	}
	day = strings.ToUpper(day)
	high, low := strings.IndexByte(letters, day[0]), strings.IndexByte(letters, day[1])
	if high < 0 || low < 0 {
		return false
	}
	age := (dayOf(now) - (high<<5 | low) + days) % days
	return age <= int(Lifetime/(24*time.Hour))
}
