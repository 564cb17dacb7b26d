package smtpserver

import (
	"bytes"
	"strconv"
)

// redact gives a command line for the log: escaped, bounded and without what
// AUTH carries.
func redact(line []byte) string {
	const most = 300
	if len(line) >= 4 && bytes.EqualFold(line[:4], []byte("AUTH")) {
		words := bytes.Fields(line)
		if len(words) > 1 && len(words[1]) <= 20 {
			return "AUTH " + strconv.QuoteToASCII(string(words[1])) + " ***"
		}
		return "AUTH ***"
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
