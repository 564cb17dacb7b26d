package backup

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

func encoder(t testing.TB) *zstd.Encoder {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// A pack of any octets is refused, or its frames can be read or are refused.
func FuzzPack(f *testing.F) {
	z := encoder(f)
	raw := [][]byte{[]byte("one"), bytes.Repeat([]byte("two "), 1000)}
	f.Add(bytes.Join(packParts([][]byte{z.EncodeAll(raw[0], nil), z.EncodeAll(raw[1], nil)}, []int{len(raw[0]), len(raw[1])}), nil))
	f.Add(bytes.Join(packParts(nil, nil), nil))
	d, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := readTable(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, at := range frames {
			if got, err := readFrame(bytes.NewReader(b), at, d); err == nil && len(got) != int(at.raw) {
				t.Fatalf("%d octets instead of %d", len(got), at.raw)
			}
		}
	})
}

// A tree that can be read is written as it was.
func FuzzTree(f *testing.F) {
	a, b := packID{1}, packID{2}
	f.Add((&tree{
		partition: 7, version: "x:1", rows: 3, octets: 99, packs: []packID{a, {}, b},
		leaves: []leafAt{{sum: [16]byte{1}, at: ref{b, 1, 2, 3}, rows: 3, uses: []uint32{0, 2}}},
		bodies: []largeBody{{sum: blob.Sum{4}, size: 11, pieces: []ref{{a, 0, 0, 5}, {b, 3, 9, 6}}}},
	}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		one, err := decodeTree(b)
		if err != nil {
			return
		}
		again, err := decodeTree(one.encode())
		if err != nil || len(again.leaves) != len(one.leaves) || len(again.bodies) != len(one.bodies) || !slices.Equal(again.packs, one.packs) {
			t.Fatalf("%v: %+v, then %+v", err, one, again)
		}
	})
}

// A leaf that can be read has keys and values within the limits.
func FuzzLeaf(f *testing.F) {
	var l leaf
	l.value([]byte("key"), []byte("value"))
	l.reference([]byte("keys"), ref{frame: 1, offset: 2, length: 3}, 0)
	l.value([]byte("l"), nil)
	f.Add(l.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = rowsOf(b, make([]packID, 2), func(key, value []byte, at ref) error {
			if len(key) > kv.DefaultLimits.Key || len(value) > kv.DefaultLimits.Value || int(at.length) > kv.DefaultLimits.Value {
				t.Fatalf("%d, %d, %d", len(key), len(value), at.length)
			}
			return nil
		})
	})
}

// A snapshot of any octets is refused or read, without and with what is inside.
func FuzzSnapshot(f *testing.F) {
	p := packInfo{id: packID{1}, size: 9}
	b, err := (&snapshotFile{
		Snapshot: Snapshot{ID: "x"}, packs: []packInfo{p},
		parts: []part{{1, ref{p.id, 1, 2, 3}, 4, 5}},
		files: []file{{"data/a", 0o600, 7, 3, []ref{{p.id, 0, 0, 3}}}},
	}).encode(Keys{}, encoder(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	d, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum keeps nobody out who means it.
		if s, inner, err := decodeOuter("x", b); err == nil {
			_ = s.decodeInner(inner, false, Keys{}, d)
		}
		s := &snapshotFile{packs: []packInfo{p}}
		_ = s.decodeInner(b, false, Keys{}, d)
	})
}

// A stream of any octets is refused or told, and stays within the limits.
func FuzzStream(f *testing.F) {
	var b bytes.Buffer
	e := NewEncoder(&b)
	for _, err := range []error{
		e.Row([]byte("k"), []byte("v")), e.KnownRow([]byte("l")), e.Missing(blob.Sum{1}), e.LostRow([]byte("m")), e.KnownLarge(blob.Sum{2}),
		e.Large(blob.Sum{3}, 5, bytes.NewReader([]byte("12345"))), e.End(nil),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) { _ = Decode(bytes.NewReader(b), sinkhole{}) })
}

type sinkhole struct{}

func (sinkhole) Row(_, _ []byte) error     { return nil }
func (sinkhole) KnownRow([]byte) error     { return nil }
func (sinkhole) KnownLarge(blob.Sum) error { return nil }
func (sinkhole) LostRow([]byte) error      { return nil }
func (sinkhole) Missing(blob.Sum) error    { return nil }
func (sinkhole) Large(_ blob.Sum, _ mail.ByteCount, r io.Reader) error {
	_, err := io.CopyN(io.Discard, r, 3)
	if err == io.EOF {
		err = nil
	}
	return err
}

func TestKeep(t *testing.T) {
	for text, want := range map[string]Keep{"7d,4w,12m": {Days: 7, Weeks: 4, Months: 12}, "3n, 2h,1y": {Last: 3, Hours: 2, Years: 1}} {
		if k, err := ParseKeep(text); err != nil || k != want {
			t.Errorf("%q: %+v, %v", text, k, err)
		}
	}
	for _, text := range []string{"", "7", "d", "0d", "-1d", "7x", "7d,,"} {
		if k, err := ParseKeep(text); err == nil {
			t.Errorf("%q: %+v", text, k)
		}
	}
}
