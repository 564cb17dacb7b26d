//go:build hostile

package hostile

import (
	"crypto/tls"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// hello begins a ClientHello that never ends: its record says 512 octets.
const hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

// handshakes does them one after the other, as fast as they come.
func (a *arena) handshakes(w *wire, ready func()) error {
	config := a.TLS()
	config.InsecureSkipVerify = true // the client's time is not what this is about
	t := tls.Client(w.Conn, config)
	if err := t.Handshake(); err != nil {
		return err
	}
	ready()
	return t.Close()
}

// afterHandshake has an attack begin inside TLS.
func (a *arena) afterHandshake(then func(t *tls.Conn) error) func(*wire, func()) error {
	return func(w *wire, ready func()) error {
		config := a.TLS()
		config.InsecureSkipVerify = true
		t := tls.Client(w.Conn, config)
		if err := t.Handshake(); err != nil {
			return err
		}
		ready()
		return then(t)
	}
}

// Handshakes that do not end, are none, or are too many.
func TestTLS(t *testing.T) {
	a := newArena(t)
	for _, k := range []attack{
		{name: "silence", door: 465, run: after(nil, hold)},
		{name: "slow handshake", door: 465, run: after(nil, func(w *wire) error { _ = w.say(hello); return trickle(w, "\x00") })},
		{name: "slow handshake after STARTTLS", door: 25, run: after(startTLS, func(w *wire) error { _ = w.say(hello); return trickle(w, "\x00") })},
		{name: "silence after STARTTLS", door: 25, run: after(startTLS, hold)},
		{name: "slow handshake, IMAP", door: 993, run: after(nil, func(w *wire) error { _ = w.say(hello); return trickle(w, "\x00") })},
		{name: "slow handshake, POP3", door: 995, run: after(nil, func(w *wire) error { _ = w.say(hello); return trickle(w, "\x00") })},
		{name: "half a handshake", door: 465, run: after(nil, halfClosed(hello))},
		{name: "garbage", door: 465, run: after(nil, garbage)},
		{name: "garbage after STARTTLS", door: 25, run: after(startTLS, garbage)},
		{name: "commands after STARTTLS", door: 25, run: after(greeted, flooding("STARTTLS\r\nMAIL FROM:<eve@evil.test>\r\n"))},
		{name: "plain text to TLS", door: 465, run: after(nil, flooding("EHLO evil.test\r\n"))},
		{name: "empty records", door: 465, run: after(nil, flooding("\x16\x03\x01\x00\x00"))},
		{name: "alerts", door: 465, run: after(nil, flooding("\x15\x03\x01\x00\x02\x01\x00"))},
		{name: "largest records", door: 465, run: after(nil, flooding("\x16\x03\x01\x40\x00"+strings.Repeat("\x01\x00\x3f\xfc", 4096)))},
		{name: "TLS to a port without", door: 25, run: after(nil, flooding(hello))},
		{name: "garbage in a session", door: 465, run: a.afterHandshake(func(t *tls.Conn) error {
			for {
				if _, err := t.NetConn().Write([]byte("\x16\x03\x03\x00\x20" + strings.Repeat("x", 32))); err != nil {
					return err
				}
			}
		})},
		{name: "silence in a session", door: 465, run: a.afterHandshake(func(t *tls.Conn) error { _, err := io.Copy(io.Discard, t); return err })},
		{name: "handshakes", door: 465, run: a.handshakes},
	} {
		t.Run(k.name, func(t *testing.T) { a.under(t, k) })
	}
}

// A client that wants to negotiate again in the middle of TLS 1.2 does not get
// it: it would be an amplifier, and once was a hole (RFC 9325 §3.5).
func TestRenegotiation(t *testing.T) {
	a := newArena(t)
	cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", a.Addr(465), "-CAfile", a.CA(), "-tls1_2")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		time.Sleep(time.Second) // openssl says nothing when its input is awaited
		_, err := io.WriteString(in, "R\n")
		said <- fmt.Sprint(err)
	}()
	stop := time.AfterFunc(patience, func() { _ = in.Close() })
	defer stop.Stop()
	out, err := cmd.CombinedOutput()
	text := string(out)
	if !strings.Contains(text, "RENEGOTIATING") || !strings.Contains(text, "no renegotiation") && err == nil {
		t.Errorf("write %v, openssl %v, said:\n%s", <-said, err, text)
	}
	if !stop.Stop() {
		t.Error("the connection was not closed")
	}
}
