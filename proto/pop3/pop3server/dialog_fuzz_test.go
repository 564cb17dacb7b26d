package pop3server

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// Whatever a client sends, it gets responses of POP3 and no bug of ours: no
// panic, no first line beyond 512 octets (RFC 1939 §3), and the connection
// ends when the client has gone.
func FuzzDialog(f *testing.F) {
	f.Add("USER bob\r\nPASS waxwing\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 1 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n")
	f.Add("CAPA\r\nAUTH\r\nAUTH PLAIN\r\nAGJvYgB3YXh3aW5n\r\nLANG de\r\nRETR 2\r\nNOOP\r\n")
	f.Add("UTF8\r\nLANG\r\nAUTH LOGIN\r\n*\r\nSTLS\r\n\x00\r\nx\n")
	f.Fuzz(func(t *testing.T, said string) {
		var log bytes.Buffer
		synctest.Test(t, func(t *testing.T) {
			l, _ := serve(t, Options{PlaintextAuth: true, Log: slog.New(slog.NewTextHandler(&log, nil))}, &drop{messages: []string{"a: b\r\n\r\n.c\r\n"}})
			c := l.Dial()
			heard := make(chan string)
			go func() {
				b, _ := io.ReadAll(c) // ends with an error when we close
				heard <- string(b)
			}()
			_, _ = io.WriteString(c, said) // the server may have hung up
			synctest.Wait()
			_ = c.Close()
			answers := <-heard
			for line := range strings.Lines(answers) {
				if !strings.HasSuffix(line, "\r\n") || len(line) > 512 {
					t.Fatalf("%q is answered with %q", said, line)
				}
			}
			if !strings.HasPrefix(answers, "+OK ") {
				t.Fatalf("the greeting is %.100q", answers)
			}
		})
		if strings.Contains(log.String(), "panic") {
			t.Fatalf("%q: %s", said, &log)
		}
	})
}
