package migrate

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/format/mbox"
)

// A brokenSource breaks off after some messages.
type brokenSource struct {
	Source
	after int
}

var errBroken = errors.New("broken off")

func (b *brokenSource) Fetch(ctx context.Context, f *Folder, list []Message, fn func(int, Text, error) error) error {
	return b.Source.Fetch(ctx, f, list, func(i int, t Text, err error) error {
		if b.after == 0 {
			return errBroken
		}
		b.after--
		return fn(i, t, err)
	})
}

// Of two equal messages in one file both are there in the end, wherever an
// import breaks off, and however often it is run again.
func TestEqualMessages(t *testing.T) {
	const one = "From ann@example.org Mon Nov  2 10:00:00 2026\nFrom: ann@example.org\nMessage-ID: <1@example.org>\n\nHello.\n\n"
	file := filepath.Join(t.TempDir(), "Old.mbox")
	other := strings.ReplaceAll(one, "1@", "2@")
	write(t, file, one+other+one+one)
	for after := range 5 {
		client := serve(t)
		source, err := Open(t.Context(), file, OpenOptions{MboxFormat: mbox.Auto})
		if err != nil {
			t.Fatal(err)
		}
		im := Import{Client: client, Account: ann, Source: &brokenSource{source, after}}
		if _, err := im.Run(t.Context()); after < 4 && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if err := source.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			run(t, client, file, Import{})
			if n := len(contents(t, client)["Old"]); n != 4 {
				t.Errorf("broken off after %d: %d messages", after, n)
			}
		}
	}
}
