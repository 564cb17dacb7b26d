package smtpserver

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"waxwing/proto/smtp"
)

// redact gives a command line for the log: escaped, bounded, and without what
// AUTH carries or what is no command.
func redact(line []byte) string {
	const most = 300
	if len(line) >= 4 && bytes.EqualFold(line[:4], []byte("AUTH")) {
		words := bytes.Fields(line)
		if len(words) > 1 && len(words[1]) <= 20 {
			return "AUTH " + strconv.QuoteToASCII(string(words[1])) + " ***"
		}
		return "AUTH ***"
	}
	if verb, _, _ := bytes.Cut(line, []byte(" ")); !slices.Contains(smtp.Verbs(), strings.ToUpper(string(verb))) {
		// The password of one whose AUTH was refused, perhaps.
		return "(no command, " + strconv.Itoa(len(line)) + " octets)"
	}
	if len(line) > most {
		return strconv.QuoteToASCII(string(line[:most])) + "..."
	}
	return strconv.QuoteToASCII(string(line))
}

// isOtherProtocol recognises TLS and HTTP. A browser can be made to send HTTP
// here with SMTP in the body, so nothing after it is read.
func isOtherProtocol(line []byte) bool {
	if isTLSHello(line) {
		return true
	}
	for _, verb := range []string{"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH "} {
		if bytes.HasPrefix(line, []byte(verb)) {
			return true
		}
	}
	return false
}
