package opened

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func some() []Mailbox {
	return []Mailbox{
		{Account: 7, Mailbox: 1, Stretches: []Stretch{{Kind: 1, First: 0, Last: 78}, {Kind: 0x82, First: 3, Last: 3}}},
		{Account: 1<<56 - 1, Mailbox: 1<<32 - 1, Stretches: []Stretch{{Kind: 5, First: 1<<32 - 1, Last: 1<<32 - 1}}},
		{Account: 7, Mailbox: 2},
	}
}

// A list that has been written is found once.
func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "opened")
	f := New(name)
	if list := f.Take(); list != nil {
		t.Errorf("%v before anything was written", list)
	}
	for range 2 {
		if err := f.Write(some()); err != nil {
			t.Fatal(err)
		}
	}
	again := New(name)
	if list := again.Take(); !reflect.DeepEqual(list, some()) {
		t.Errorf("%v", list)
	}
	if list := New(name).Take(); list != nil {
		t.Errorf("%v a second time", list)
	}
	if err := again.Write(some()); err != nil { // the same as before, but it has been taken
		t.Fatal(err)
	}
	if list := New(name).Take(); len(list) != len(some()) {
		t.Errorf("%v", list)
	}
}

// What is not whole names nothing, and goes.
func TestDamage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "opened")
	whole := encode(some())
	for n := range len(whole) + 1 {
		for _, b := range [][]byte{whole[:n], append(bytes.Clone(whole[:n]), make([]byte, len(whole)-n)...), flip(whole, n)} {
			if bytes.Equal(b, whole) {
				continue
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if list := New(name).Take(); list != nil {
				t.Fatalf("%x gives %v", b, list)
			}
			if _, err := os.Stat(name); err == nil {
				t.Fatal("it is still there")
			}
		}
	}
	if err := os.Mkdir(name, 0o700); err != nil { // not even a file
		t.Fatal(err)
	}
	if list := New(name).Take(); list != nil {
		t.Errorf("%v", list)
	}
}

func flip(b []byte, n int) []byte {
	b = bytes.Clone(b)
	if n < len(b) {
		b[n] ^= 0x40
	}
	return b
}

// A list is never longer than what is read.
func TestLimits(t *testing.T) {
	long := Mailbox{Account: lastAccount, Mailbox: 1<<32 - 1}
	for range MaxStretches + 3 {
		long.Stretches = append(long.Stretches, Stretch{Kind: 1, First: 0, Last: 1<<32 - 1})
	}
	var list []Mailbox
	for range MaxMailboxes + 3 {
		list = append(list, long)
	}
	f := New(filepath.Join(t.TempDir(), "opened"))
	if err := f.Write(list); err != nil {
		t.Fatal(err)
	}
	got := f.Take()
	if len(got) != MaxMailboxes || len(got[0].Stretches) != MaxStretches || got[0].Account != lastAccount {
		t.Errorf("%d mailboxes", len(got))
	}
}

// FuzzDecode: what can be read is what would be written.
func FuzzDecode(f *testing.F) {
	f.Add(encode(nil))
	f.Add(encode(some()))
	f.Fuzz(func(t *testing.T, b []byte) {
		// With the right checksum, else nothing gets any further.
		if len(b) >= 8 {
			b = sealed(b[:len(b)-8])
		}
		list, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(list))
		if err != nil || !reflect.DeepEqual(list, again) {
			t.Fatalf("%v, again %v, %v", list, again, err)
		}
	})
}
