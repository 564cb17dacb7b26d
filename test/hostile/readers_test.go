//go:build hostile

package hostile

import (
	"strings"
	"testing"
)

// The doors at which mail is read.
func TestIMAPAndPOP3(t *testing.T) {
	a := newArena(t)
	ok, pop := []string{"* OK"}, []string{"+OK"}
	for _, k := range []attack{
		{name: "IMAP silence", door: 143, run: after(ok, hold)},
		{name: "IMAP slow tag", door: 143, run: after(ok, trickling("a"))},
		{name: "IMAP slow literal", door: 143, run: after(ok, func(w *wire) error { _ = w.say("a LOGIN {100+}\r\n"); return trickle(w, "x") })},
		{name: "IMAP deaf", door: 143, run: after(ok, deaf("a CAPABILITY\r\n"))},
		{name: "IMAP NOOP", door: 143, run: after(ok, flooding("a NOOP\r\n"))},
		{name: "IMAP unknown", door: 143, run: after(ok, flooding("a XYZZY\r\n"))},
		{name: "IMAP endless line", door: 143, run: after(ok, flooding("x"))},
		{name: "IMAP endless nesting", door: 143, run: after(ok, func(w *wire) error { _ = w.say("a SEARCH "); return flood(w, strings.Repeat("(", 4096), true) })},
		{name: "IMAP huge literal", door: 143, run: after(ok, saying("a LOGIN {99999999999}\r\n"))},
		{name: "IMAP many literals", door: 143, run: after(ok, flooding("a LOGIN {1+}\r\nx {1+}\r\ny\r\n"))},
		{name: "IMAP half-closed", door: 143, run: after(ok, halfClosed("a LOGIN {10}\r\nabc"))},
		{name: "IMAP garbage", door: 143, run: after(ok, garbage)},
		{name: "POP3 silence", door: 110, run: after(pop, hold)},
		{name: "POP3 slow USER", door: 110, run: after(pop, trickling("U"))},
		{name: "POP3 deaf", door: 110, run: after(pop, deaf("CAPA\r\n"))},
		{name: "POP3 USER", door: 110, run: after(pop, flooding("USER alice\r\n"))},
		{name: "POP3 endless line", door: 110, run: after(pop, flooding("x"))},
		{name: "POP3 half-closed", door: 110, run: after(pop, halfClosed("USER al"))},
		{name: "POP3 garbage", door: 110, run: after(pop, garbage)},
		{name: "HTTPS silence", door: 443, run: after(nil, hold)},
		{name: "HTTPS garbage", door: 443, run: after(nil, garbage)},
	} {
		t.Run(k.name, func(t *testing.T) { a.under(t, k) })
	}
}
