// Package batv writes and reads Bounce Address Tag Validation: the senders of
// our own mail carry a tag, so that a bounce of mail which we have not sent is
// known by its missing one. draft-levine-smtp-batv-01, "prvs"
//
//	ann@a.test   prvs=KDDDSSSSSS=ann@a.test
//
// K is the number of the key, D the day on which the tag expires, S a
// signature.
package batv

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/mail"
)

// Lifetime is for how long a tag is good: as long as a message may wait in
// queues on its way, and the week that the draft proposes.
const Lifetime = 7 * 24 * time.Hour

// What is wrong with a tag.
var (
	ErrNotTagged = errors.New("address has no tag")
	ErrForged    = errors.New("tag was not made here")
	ErrExpired   = errors.New("tag has expired")
	ErrTooLong   = errors.New("address is too long for a tag")
)

// prefix is how a tag begins.
const prefix = "prvs="

// A Key signs tags; Number is its last digit.
type Key struct {
	Number int
	Secret []byte
}

// Tag gives the address with a tag. One that has a tag keeps it.
func Tag(k Key, now time.Time, a mail.Address) (mail.Address, error) {
	if _, _, ok := split(a); ok {
		return a, nil
	}
	day := now.Add(Lifetime).Unix() / 86400 % 1000
	head := fmt.Sprintf("%d%03d", k.Number%10, day)
	tagged := mail.Address{Local: prefix + head + sign(k.Secret, head, a) + "=" + a.Local, Domain: a.Domain}
	if _, err := mail.ParseAddress(tagged.String()); err != nil {
		return mail.Address{}, ErrTooLong
	}
	return tagged, nil
}

// Strip gives the address without its tag, whether it is good or not; false if
// there is none.
func Strip(a mail.Address) (mail.Address, bool) {
	plain, _, ok := split(a)
	return plain, ok
}

// Check gives the address without its tag, if one of the keys has made that
// and it has not expired.
func Check(keys []Key, now time.Time, a mail.Address) (mail.Address, error) {
	plain, tag, ok := split(a)
	if !ok {
		return mail.Address{}, ErrNotTagged
	}
	good := false
	for _, k := range keys {
		good = good || int(tag[0]-'0') == k.Number%10 && hmac.Equal([]byte(tag[4:]), []byte(sign(k.Secret, tag[:4], plain)))
	}
	if !good {
		return mail.Address{}, ErrForged
	}
	day := int(tag[1]-'0')*100 + int(tag[2]-'0')*10 + int(tag[3]-'0')
	left := (day - int(now.Unix()/86400%1000) + 1000) % 1000
	if left > int(Lifetime/(24*time.Hour)) {
		return mail.Address{}, ErrExpired
	}
	return plain, nil
}

// split takes a tag from an address.
func split(a mail.Address) (plain mail.Address, tag string, ok bool) {
	if len(a.Local) < len(prefix) || !strings.EqualFold(a.Local[:len(prefix)], prefix) {
		return mail.Address{}, "", false
	}
	tag, local, ok := strings.Cut(a.Local[len(prefix):], "=")
	if !ok || len(tag) != 10 || strings.Trim(tag[:4], "0123456789") != "" || local == "" {
		return mail.Address{}, "", false
	}
	tag = strings.ToLower(tag)
	if strings.Trim(tag[4:], "0123456789abcdef") != "" {
		return mail.Address{}, "", false
	}
	return mail.Address{Local: local, Domain: a.Domain}, tag, true
}

// sign gives three octets of a signature. The case of letters does not count.
func sign(secret []byte, head string, a mail.Address) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(head + strings.ToLower(a.String())))
	return hex.EncodeToString(mac.Sum(nil)[:3])
}
