package packed

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"waxwing/mail"
	"waxwing/store/blob"
)

// A memory is a File in memory.
type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m.b).ReadAt(p, off) }

func codec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// text shrinks, noise does not.
func text(n int) []byte {
	b := []byte(strings.Repeat("All work and no play makes a dull mail server. ", n/47+1))[:n]
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := 0; i < n; i += 97 {
		b[i] = byte('a' + r.IntN(26))
	}
	return b
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(2, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func pack(t testing.TB, c *Codec, body []byte, compress bool) []byte {
	t.Helper()
	var m memory
	w := NewWriter(c, &m, compress)
	for rest := body; len(rest) > 0; {
		n := min(len(rest), 100_001)
		if k, err := w.Write(rest[:n]); k != n || err != nil {
			t.Fatalf("write: %d, %v", k, err)
		}
		rest = rest[n:]
		p := make([]byte, 300)
		at := max(0, int64(w.Size())-150)
		if k, err := w.ReadAt(p, at); err != io.EOF || !bytes.Equal(p[:k], body[at:w.Size()]) {
			t.Fatalf("read while writing: %d, %v", k, err)
		}
	}
	stored, err := w.Finish()
	if again, err2 := w.Finish(); err != nil || err2 != nil || again != stored || stored != int64(len(m.b)) {
		t.Fatalf("finish: %d and %d of %d, %v, %v", stored, again, len(m.b), err, err2)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("written after the end")
	}
	got, err := io.ReadAll(io.NewSectionReader(w, 0, int64(w.Size())))
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("the writer gives another body: %v", err)
	}
	return m.b
}

func TestRoundTrip(t *testing.T) {
	c := codec(t)
	for _, size := range []int{0, 1, FrameSize - 1, FrameSize, FrameSize + 1, 3*FrameSize + 5} {
		for _, body := range [][]byte{text(size), noise(size)} {
			for _, compress := range []bool{true, false} {
				stored := pack(t, c, body, compress)
				r, err := Open(c, bytes.NewReader(stored), int64(len(stored)))
				if err != nil || r.Size() != mail.ByteCount(size) {
					t.Fatalf("%d octets: %v", size, err)
				}
				if err := iotest.TestReader(io.NewSectionReader(r, 0, int64(size)), body); size < FrameSize && err != nil {
					t.Error(err)
				}
				for range 20 {
					off := rand.IntN(size + 1)
					p := make([]byte, rand.IntN(size-off+1))
					if n, err := r.ReadAt(p, int64(off)); n != len(p) || err != nil || !bytes.Equal(p, body[off:off+n]) {
						t.Errorf("read %d at %d: %d, %v", len(p), off, n, err)
					}
				}
				if most := size + 4*entrySize + footerSize; len(stored) > most {
					t.Errorf("%d octets packed take %d", size, len(stored))
				}
			}
		}
	}
	if plain, stored := text(1<<20), pack(t, c, text(1<<20), true); len(stored) > len(plain)/2 {
		t.Errorf("%d octets of text take %d", len(plain), len(stored))
	}
}

// Whatever octet is damaged, and wherever it is cut, nobody gets a wrong body.
func TestDamage(t *testing.T) {
	c := codec(t)
	body := append(text(FrameSize), noise(100)...)
	stored := pack(t, c, body, true)
	read := func(b []byte) error {
		r, err := Open(c, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		got, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.Size())))
		if err == nil && !bytes.Equal(got, body) {
			t.Error("a wrong body is given")
		}
		return err
	}
	for i := 0; i < len(stored); i += 1 + len(stored)/500 {
		if err := read(stored[:i]); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
		damaged := bytes.Clone(stored)
		damaged[i] ^= 0x10
		if err := read(damaged); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("damage at %d: %v", i, err)
		}
	}
	newer := bytes.Clone(stored)
	newer[len(newer)-8] = 2
	if err := read(newer); err == nil || errors.Is(err, blob.ErrCorrupt) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("of a later version: %v", err)
	}
}

// The source's own trouble is no damage.
func TestTrouble(t *testing.T) {
	c := codec(t)
	trouble := errors.New("the disk is on fire")
	stored := pack(t, c, text(1000), true)
	r, err := Open(c, &failing{bytes.NewReader(stored), trouble, 2}, int64(len(stored)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, trouble) || errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	w := NewWriter(c, &full{}, true)
	if n, err := w.Write(text(2 * FrameSize)); err == nil || n >= 2*FrameSize {
		t.Errorf("write on a full disk: %d, %v", n, err)
	}
	if _, err := w.Finish(); err == nil {
		t.Error("finished on a full disk")
	}
}

// failing gives an error after so many reads.
type failing struct {
	*bytes.Reader
	err  error
	left int
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return f.Reader.ReadAt(p, off)
}

type full struct{ memory }

func (*full) Write([]byte) (int, error) { return 0, errors.New("no space") }

// Nothing that is stored makes a reader panic, take much memory, or give more
// than it says.
func FuzzOpen(f *testing.F) {
	c := codec(f)
	for _, body := range [][]byte{nil, text(10), text(FrameSize + 10), noise(5000)} {
		f.Add(pack(f, c, body, true))
		f.Add(pack(f, c, body, false))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		r, err := Open(c, bytes.NewReader(stored), int64(len(stored)))
		if err != nil {
			return
		}
		for off := int64(0); off < int64(r.Size()); off += int64(r.frameSize) {
			p := make([]byte, r.frameSize)
			n, err := r.ReadAt(p, off)
			if want := min(int64(len(p)), int64(r.Size())-off); err == nil && int64(n) != want || int64(n) > want {
				t.Fatalf("read at %d of %d: %d, %v", off, r.Size(), n, err)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	c := codec(b)
	for name, body := range map[string][]byte{"text": text(1 << 20), "noise": noise(1 << 20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				pack(b, c, body, true)
			}
		})
	}
}
