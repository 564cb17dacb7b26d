package imap

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"waxwing/format/message"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/mailbox"
)

// staging gives an account that can stage messages, and nothing else.
func staging(t *testing.T) *account {
	t.Helper()
	blobs := memblob.New(0)
	t.Cleanup(func() {
		if err := blobs.Close(); err != nil {
			t.Error(err)
		}
	})
	return &account{door: &Door{blobs: blobs}}
}

// stage stages a text in pieces.
func stage(t *testing.T, a *account, text string) *staged {
	t.Helper()
	s := a.Stage(t.Context()).(*staged)
	for len(text) > 0 {
		n := 1 + rand.IntN(len(text))
		if _, err := s.Write([]byte(text[:n])); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	return s
}

// letterOf is a message of so many octets at least.
func letterOf(i, size int) string {
	head := fmt.Sprintf("Subject: %d\r\nFrom: a@b.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\n\r\n", i)
	return head + strings.Repeat("octets and -- octets\r\n", max(0, size-len(head))/22+1) + "--x--\r\n"
}

// Whoever reads a message, and however it has come, finds in it what is there.
func TestReadAhead(t *testing.T) {
	a := staging(t)
	for round := range 4 {
		var texts []string
		var all []*staged
		for i := range 40 {
			size := rand.IntN(9 << 10)
			if i%10 == round {
				size = blob.Inline + rand.IntN(3)*100 - 100
			}
			texts = append(texts, letterOf(i, size))
			all = append(all, stage(t, a, texts[i]))
			if err := all[i].Complete(); err != nil {
				t.Fatal(err)
			}
		}
		a.ahead.wait()
		for i, s := range all {
			want, err := message.Parse(strings.NewReader(texts[i]))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(s.known, mailbox.Know(want)) || s.body.Sum() != sha256.Sum256([]byte(texts[i])) {
				t.Errorf("message %d of %d octets: %+v, want %+v", i, len(texts[i]), s.known, want)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A command that fails lets go of messages that nobody has read yet, or that
// somebody is reading.
func TestReadAheadStops(t *testing.T) {
	a := staging(t)
	for round := range 20 {
		var all []*staged
		for i := range round {
			all = append(all, stage(t, a, letterOf(i, 4<<10)))
			if err := all[i].Complete(); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, stage(t, a, "Subject: not complete"))
		for _, s := range all {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if a.ahead.running || len(a.ahead.waiting) > 0 {
			t.Fatal("somebody still reads")
		}
	}
}

// A panic while reading is one of the connection's goroutine, which knows how to
// end.
func TestReadAheadPanics(t *testing.T) {
	for range 20 {
		r := &readAhead{}
		r.add(&staged{ahead: r}) // it has no body
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			r.wait()
		}()
		r.stop()
	}
}
