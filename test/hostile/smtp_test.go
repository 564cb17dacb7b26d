//go:build hostile

package hostile

import (
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"waxwing/test/system"
)

// The beginnings of a dialog, as wire.talk takes them.
var (
	greeted   = []string{"220", "EHLO evil.test", "250"}
	inMail    = append(greeted[:3:3], "MAIL FROM:<eve@evil.test>", "250")
	withRcpt  = append(inMail[:5:5], "RCPT TO:<"+system.Bob+">", "250")
	inData    = append(withRcpt[:7:7], "DATA", "354")
	startTLS  = append(greeted[:3:3], "STARTTLS", "220")
	challenge = append(greeted[:3:3], "AUTH LOGIN", "334")
)

// after has an attack begin at some state of the dialog.
func after(turns []string, then func(w *wire) error) func(*wire, func()) error {
	return func(w *wire, ready func()) error {
		if err := w.talk(turns...); err != nil {
			return err
		}
		ready()
		return then(w)
	}
}

func trickling(octet string) func(*wire) error {
	return func(w *wire) error { return trickle(w, octet) }
}

func flooding(text string) func(*wire) error {
	text = strings.Repeat(text, 1+4096/len(text))
	return func(w *wire) error { return flood(w, text, true) }
}

func deaf(text string) func(*wire) error {
	text = strings.Repeat(text, 1+4096/len(text))
	return func(w *wire) error { return flood(w, text, false) }
}

// saying says one thing and waits for what becomes of it.
func saying(text string) func(*wire) error {
	return func(w *wire) error {
		if err := w.say(text); err != nil {
			return err
		}
		return hold(w)
	}
}

// halfClosed says something, then that it says no more.
func halfClosed(text string) func(*wire) error {
	return func(w *wire) error {
		if err := w.say(text); err != nil {
			return err
		}
		if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		return hold(w)
	}
}

// reset says something and breaks the connection.
func reset(text string) func(*wire) error {
	return func(w *wire) error {
		if err := w.say(text); err != nil {
			return err
		}
		if err := w.Conn.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		return w.Close()
	}
}

// garbage is octets without sense, with some line ends among them.
func garbage(w *wire) error {
	b := make([]byte, 4096)
	for {
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		copy(b[rand.IntN(4000):], "\r\n")
		if err := w.say(string(b)); err != nil {
			return err
		}
	}
}

// A stranger may do anything at port 25 and 587; the others are served.
func TestSMTP(t *testing.T) {
	a := newArena(t)
	for _, k := range []attack{
		// Silence and single octets, in each state.
		{name: "silence", door: 25, run: after(nil, hold)},
		{name: "slow greeting", door: 25, run: after([]string{"220"}, trickling("E"))},
		{name: "slow HELO", door: 25, run: after(greeted, trickling("H"))},
		{name: "slow MAIL", door: 25, run: after(inMail, trickling("R"))},
		{name: "slow DATA", door: 25, run: after(inData, trickling("x"))},
		{name: "slow header", door: 25, run: after(inData, trickling("X: y\r\n"))},
		{name: "slow BDAT", door: 25, run: after(withRcpt, func(w *wire) error { _ = w.say("BDAT 49000000\r\n"); return trickle(w, "x") })},
		{name: "slow AUTH", door: 587, run: after(challenge, trickling("Y"))},
		// Replies that nobody reads.
		{name: "deaf to HELP", door: 25, run: after(greeted, deaf("HELP\r\n"))},
		{name: "deaf to RCPT", door: 25, run: after(inMail, deaf("RCPT TO:<"+system.Bob+">\r\n"))},
		// Floods of commands.
		{name: "NOOP", door: 25, run: after(greeted, flooding("NOOP\r\n"))},
		{name: "RSET", door: 25, run: after(greeted, flooding("RSET\r\n"))},
		{name: "EHLO", door: 25, run: after(greeted, flooding("EHLO evil.test\r\n"))},
		{name: "unknown", door: 25, run: after(greeted, flooding("XYZZY plugh\r\n"))},
		{name: "empty lines", door: 25, run: after(greeted, flooding("\r\n"))},
		{name: "bare LF", door: 25, run: after(greeted, flooding("\n"))},
		{name: "MAIL and RSET", door: 25, run: after(greeted, flooding("MAIL FROM:<eve@evil.test>\r\nRSET\r\n"))},
		{name: "recipients", door: 25, run: after(inMail, flooding("RCPT TO:<"+system.Bob+">\r\n"))},
		{name: "guessed recipients", door: 25, run: after(inMail, flooding("RCPT TO:<guess@example.test>\r\n"))},
		{name: "before the greeting", door: 25, run: after(nil, flooding("EHLO evil.test\r\nNOOP\r\nMAIL FROM:<>\r\n"))},
		// Of somebody else: all of 127.0.0.0/8 is one place, from which bob's
		// own failures would count.
		{name: "passwords", door: 587, run: after(greeted, func(w *wire) error {
			return flood(w, "AUTH PLAIN AGd1ZXNzQGV4YW1wbGUudGVzdAB3cm9uZw==\r\n", true)
		})},
		// What never ends.
		{name: "endless line", door: 25, run: after(greeted, flooding("x"))},
		{name: "endless AUTH", door: 587, run: after(greeted, func(w *wire) error { _ = w.say("AUTH PLAIN "); return flood(w, strings.Repeat("A", 4096), true) })},
		{name: "endless header", door: 25, few: true, run: after(inData, flooding("X-Field: value\r\n"))},
		{name: "endless field", door: 25, few: true, run: after(inData, flooding("x"))},
		{name: "endless folding", door: 25, few: true, run: after(inData, flooding("X: y,\r\n z@example.test,\r\n"))},
		{name: "endless parts", door: 25, few: true, run: after(inData, func(w *wire) error {
			_ = w.say("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
			return flood(w, strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\n", 100), true)
		})},
		// BDAT.
		{name: "BDAT 0", door: 25, run: after(withRcpt, flooding("BDAT 0\r\n"))},
		{name: "BDAT 1", door: 25, run: after(withRcpt, flooding("BDAT 1\r\nx"))},
		{name: "huge BDAT", door: 25, run: after(withRcpt, saying("BDAT 9223372036854775807 LAST\r\n"))},
		{name: "BDAT beyond counting", door: 25, run: after(withRcpt, saying("BDAT 99999999999999999999999999 LAST\r\n"))},
		{name: "BDAT without recipients", door: 25, run: after(greeted, flooding("BDAT 3\r\nabc"))},
		// Ends that are none.
		{name: "half-closed at the greeting", door: 25, run: after([]string{"220"}, halfClosed(""))},
		{name: "half-closed in a command", door: 25, run: after(greeted, halfClosed("MAIL FROM:<a@"))},
		{name: "half-closed in a message", door: 25, run: after(inData, halfClosed("Subject: half\r\n"))},
		{name: "half-closed before the dot's line ends", door: 25, run: after(inData, halfClosed("Subject: half\r\n\r\n."))},
		{name: "half-closed in BDAT", door: 25, run: after(withRcpt, halfClosed("BDAT 100 LAST\r\nhalf"))},
		{name: "broken in a message", door: 25, run: after(inData, reset("Subject: broken\r\n"))},
		{name: "come and gone", door: 25, run: after(nil, reset(""))},
		// Other languages.
		{name: "garbage", door: 25, run: after(nil, garbage)},
		{name: "garbage in a message", door: 25, run: after(inData, garbage)},
		{name: "NULs", door: 25, run: after(greeted, flooding("\x00"))},
		{name: "HTTP", door: 25, run: after(nil, saying("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<eve@evil.test>\r\n"))},
	} {
		t.Run(k.name, func(t *testing.T) { a.under(t, k) })
	}
	want := int(a.clients[0].done.Load()+a.clients[1].done.Load()) + 2
	if got := a.delivered(); got != want {
		t.Errorf("bob has %d messages, %d were acknowledged", got, want)
	}
}

// One octet in each packet is slow, and otherwise nothing special.
func TestOneOctetAtATime(t *testing.T) {
	a := newArena(t)
	before := a.delivered()
	w, err := a.dial(t.Context(), 25, net.IPv4(127, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	dialog := "EHLO slow.test\r\nMAIL FROM:<eve@slow.test>\r\nRCPT TO:<" + system.Bob + ">\r\nDATA\r\nSubject: drop by drop\r\n\r\n..\r\n.\r\n" +
		"MAIL FROM:<eve@slow.test>\r\nRCPT TO:<" + system.Bob + ">\r\nBDAT 4\r\nA: B\r\nBDAT 5 LAST\r\n\r\n.\r\nQUIT\r\n"
	dialog = strings.Replace(dialog, "BDAT 4\r\nA: B\r\nBDAT 5 LAST\r\n\r\n.\r\n", "BDAT 4\r\nA: BBDAT 7 LAST\r\n\r\n\r\n.\r\n", 1)
	for i := range dialog {
		if err := w.say(dialog[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.talk("220"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"250", "250", "250", "354", "250", "250", "250", "250", "250", "221"} {
		if err := w.hear(want); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.delivered() - before; got != 2 {
		t.Errorf("%d messages arrived, not 2", got)
	}
}
