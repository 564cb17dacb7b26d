package arf

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"waxwing/format/message"
)

// shown are the fields that tell why a message could not be proven. All others
// are left out: the subject, and what a program or a person adds, are nobody
// else's business.
var shown = map[string]bool{
	"received": true, "dkim-signature": true, "arc-seal": true, "arc-message-signature": true, "arc-authentication-results": true,
	"authentication-results": true, "received-spf": true, "return-path": true, "from": true, "sender": true, "reply-to": true, "to": true,
	"cc": true, "date": true, "message-id": true, "mime-version": true, "content-type": true, "content-transfer-encoding": true,
	"list-id": true, "auto-submitted": true, "precedence": true,
}

// named are fields with names of people, of which the addresses are given only.
var named = map[string]bool{"to": true, "cc": true, "reply-to": true, "sender": true}

// addresses gives the bare addresses of a list.
func addresses(list string) []byte {
	var b []byte
	for _, a := range message.ParseAddressList(list) {
		if a.Group || a.Domain == "" {
			continue
		}
		separator := " "
		if b != nil {
			separator = ",\r\n "
		}
		b = append(b, separator+"<"+oneLine(a.Local)+"@"+oneLine(a.Domain)+">"...)
	}
	if b == nil {
		return []byte(" undisclosed:;")
	}
	return b
}

// maxRedacted bounds what is given of a header.
const maxRedacted = 32 << 10

// Redact gives of a header what tells of a message's way. Local parts of
// addresses are replaced, but for those of a domain and what lies below it;
// the same one by the same with the same key, so that reports can be compared.
// RFC 6590 §3
func Redact(header []byte, domain string, key []byte) []byte {
	var out []byte
	for f := range message.Fields(header) {
		if !shown[strings.ToLower(string(f.Name))] {
			continue
		}
		value := f.Value
		if named[strings.ToLower(string(f.Name))] {
			value = addresses(f.Text())
		}
		line := append(append(bytes.Clone(f.Name), ':'), redactLine(value, domain, key)...)
		if len(out)+len(line)+2 > maxRedacted {
			break
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}

// Address gives an address as Redact would.
func Address(address, domain string, key []byte) string {
	return string(redactLine([]byte(address), domain, key))
}

// redactLine replaces what stands before each @ whose domain is not the given
// one.
func redactLine(b []byte, domain string, key []byte) []byte {
	var out []byte
	for {
		at := bytes.IndexByte(b, '@')
		if at < 0 {
			return append(out, b...)
		}
		start := localStart(b[:at])
		end := at + 1
		for end < len(b) && isHost(b[end]) {
			end++
		}
		local, host := b[start:at], strings.ToLower(strings.TrimRight(string(b[at+1:end]), "."))
		out = append(out, b[:start]...)
		switch {
		case len(local) == 0, host == domain, strings.HasSuffix(host, "."+domain):
			out = append(out, local...)
		default:
			mac := hmac.New(sha256.New, key)
			_, _ = mac.Write(bytes.ToLower(local)) // never fails
			out = base64.RawURLEncoding.AppendEncode(append(out, "redacted-"...), mac.Sum(nil)[:9])
		}
		out = append(out, b[at:end]...)
		b = b[end:]
	}
}

// localStart finds where the local part begins that ends here.
func localStart(b []byte) int {
	if n := len(b); n > 1 && b[n-1] == '"' {
		for i := n - 2; i >= 0; i-- {
			if b[i] == '"' && (i == 0 || b[i-1] != '\\') {
				return i
			}
		}
		return 0
	}
	i := len(b)
	for i > 0 && !strings.ContainsRune(" \t\r\n<>,;:()[]\"", rune(b[i-1])) {
		i--
	}
	return i
}

func isHost(c byte) bool {
	return c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
