package imapserver

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/hex"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

func inflated(b []byte) ([]byte, error) {
	var out bytes.Buffer
	err := (&inflater{in: bufio.NewReader(bytes.NewReader(b)), out: &out}).run()
	return out.Bytes(), err
}

func deflate(t testing.TB, text []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What compress/flate has made comes out again, at each of its levels.
func TestInflate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, text := range [][]byte{nil, []byte("a"), []byte(strings.Repeat("a1 UID FETCH 17 (FLAGS)\r\n", 10_000)), noise, bytes.Repeat(noise[:33_000], 3)} {
		for level := -2; level <= 9; level++ {
			if got, err := inflated(deflate(t, text, level)); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d octets at level %d: %d, %v", len(text), level, len(got), err)
			}
		}
	}
}

// A client that flushes with ten bits, of which seven have not been sent, is
// understood before it says more. These are of zlib, with Z_PARTIAL_FLUSH; the
// second one's codes are its own.
func TestInflateOfPartialFlush(t *testing.T) {
	var second strings.Builder
	for i := 7; i < 17; i++ {
		second.WriteString("c" + itoa(i) + " UID FETCH " + itoa(i) + " (BODY.PEEK[])\r\n")
	}
	second.WriteString("c NOOP\r\n")
	r, w := io.Pipe()
	got, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- (&inflater{in: bufio.NewReader(r), out: out}).run() }()
	for _, step := range []struct{ octets, text string }{
		{partialFirst, "c NOOP\r\n"}, {partialSecond, second.String()},
	} {
		b, err := hex.DecodeString(step.octets)
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() { _, err := w.Write(b); written <- err }()
		text := make([]byte, len(step.text))
		if _, err := io.ReadFull(got, text); err != nil || string(text) != step.text {
			t.Fatalf("%q, %v", text, err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != io.EOF {
		t.Fatal(err)
	}
}

const (
	partialFirst  = "4a56f0f3f70fe0e50208"
	partialSecond = "4006bde20008434114ddca936008fdb7165a0241800041088afdef810ac424236f8ebb6f9073c93295639c2548336cf9eaf6" +
		"52d6fb69ab46d0489a4013a9ea816b902b74c5aed135bb4137ec16ddb23b74c7eed13df97ff013"
)

func itoa(n int) string { return string(appendUint(nil, uint64(n))) }

// Whatever comes is decompressed as by compress/flate, or refused as by it.
func FuzzInflate(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add([]byte(strings.Repeat("hello ", 100)), true)
	f.Add([]byte{3, 0}, false)
	f.Add([]byte{5, 0xe0, 0x81, 8, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x0b, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, compress bool) {
		if compress {
			if got, err := inflated(deflate(t, b, 6)); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%x came out as %x, %v", b, got, err)
			}
			return
		}
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), 1<<20))
		if len(want) == 1<<20 {
			return
		}
		got, err := inflated(b)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%x: %v, and %v by compress/flate", b, err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%x: %x, want %x", b, got, want)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	text := []byte(strings.Repeat("Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nthe quick brown fox\r\n", 2000))
	packed := deflate(b, text, 6)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		z := inflater{in: bufio.NewReader(bytes.NewReader(packed)), out: io.Discard}
		if err := z.run(); err != nil {
			b.Fatal(err)
		}
	}
}

// A falling is a connection that something is wrong with, in our own code.
type falling struct{ net.Conn }

func (falling) Read([]byte) (int, error) { panic("a bug") }
func (falling) Close() error             { return nil }

// What goes wrong while a client's octets are decompressed ends its connection,
// and not the program.
func TestInflatePanics(t *testing.T) {
	var log bytes.Buffer
	d := newDeflated(falling{}, slog.New(slog.NewTextHandler(&log, nil)))
	if n, err := d.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v", n, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "panic in connection") {
		t.Errorf("the log has %q", log.String())
	}
}
