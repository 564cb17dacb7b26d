package sheaves_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/sheaves"
)

// make gives a sheaf at random, of answers up to so long.
func someSheaf(r *rand.Rand, longest int) *sheaves.Sheaf {
	s := new(sheaves.Sheaf)
	for i := range sheaves.Size {
		if r.IntN(4) > 0 {
			s.Emails[i] = mail.EmailID(1 + r.Uint64N(1<<(1+r.UintN(50))))
			for range r.IntN(longest + 1) {
				s.Octets = append(s.Octets, byte(r.Uint32()))
			}
		}
		s.Ends[i] = uint32(len(s.Octets))
	}
	return s
}

func sameSheaf(t *testing.T, got, want *sheaves.Sheaf) {
	t.Helper()
	if got.Emails != want.Emails || got.Ends != want.Ends || !bytes.Equal(got.Octets, want.Octets) {
		t.Fatal("a sheaf is not what was stored")
	}
}

func readAll(t *testing.T, s *sheaves.Store, p sheaves.Place, first, last uint32) map[uint32]*sheaves.Sheaf {
	t.Helper()
	found := make(map[uint32]*sheaves.Sheaf)
	err := s.Read(t.Context(), p, first, last, func(n uint32, sheaf *sheaves.Sheaf) {
		if found[n] != nil {
			t.Errorf("sheaf %d comes twice", n)
		}
		found[n] = sheaf
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What is stored is found: by its place and number alone, in its edition, for its
// UIDVALIDITY, and the newest.
func TestStore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	db := memkv.New()
	s := sheaves.New(db, 1)
	p := sheaves.Place{Account: 7, Mailbox: 3, Validity: 5, Kind: 0x81}
	other := p
	other.Kind = 1
	want := make(map[uint32]*sheaves.Sheaf)
	for round := range 6 {
		var list []sheaves.Kept
		for n := range uint32(12) {
			if r.IntN(3) == 0 {
				// Long ones take several rows, and get shorter again.
				want[n] = someSheaf(r, []int{20, 1900, 300}[round%3])
				list = append(list, sheaves.Kept{Place: p, Number: n, Sheaf: want[n]})
			}
		}
		list = append(list, sheaves.Kept{Place: other, Number: 4, Sheaf: someSheaf(r, 10)})
		if err := s.Write(t.Context(), p.Account, list); err != nil {
			t.Fatal(err)
		}
	}
	for n, sheaf := range want {
		if len(sheaf.Octets) > sheaves.MaxOctets {
			t.Fatalf("sheaf %d is too long for the test", n)
		}
	}
	got := readAll(t, s, p, 0, 1<<24)
	if len(got) != len(want) {
		t.Fatalf("%d sheaves, want %d", len(got), len(want))
	}
	for n, sheaf := range got {
		sameSheaf(t, sheaf, want[n])
	}
	for n := range uint32(12) {
		if one := readAll(t, s, p, n, n); (one[n] == nil) != (want[n] == nil) || len(one) > 1 {
			t.Errorf("sheaf %d: %v", n, one)
		}
	}
	elsewhere := p
	elsewhere.Validity++
	if n := len(readAll(t, s, elsewhere, 0, 1<<24)); n > 0 {
		t.Errorf("%d sheaves of another UIDVALIDITY", n)
	}
	if n := len(readAll(t, sheaves.New(db, 2), p, 0, 1<<24)); n > 0 {
		t.Errorf("%d sheaves of another edition", n)
	}
}

// A sheaf that is too long is not stored, and the others are.
func TestTooLong(t *testing.T) {
	s := sheaves.New(memkv.New(), 1)
	p := sheaves.Place{Account: 7, Mailbox: 3, Validity: 5, Kind: 1}
	long := new(sheaves.Sheaf)
	long.Octets = make([]byte, sheaves.MaxOctets+1)
	long.Emails[255], long.Ends[255] = 1, uint32(len(long.Octets))
	most := new(sheaves.Sheaf)
	most.Octets = make([]byte, sheaves.MaxOctets)
	most.Emails[255], most.Ends[255] = 1, uint32(len(most.Octets))
	err := s.Write(t.Context(), p.Account, []sheaves.Kept{{Place: p, Number: 1, Sheaf: long}, {Place: p, Number: 2, Sheaf: most}})
	if err != nil {
		t.Fatal(err)
	}
	got := readAll(t, s, p, 0, 9)
	if len(got) != 1 || got[2] == nil {
		t.Fatalf("%d sheaves", len(got))
	}
	sameSheaf(t, got[2], most)
}

// Prune removes what does not live, however much it is.
func TestPrune(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := sheaves.New(memkv.New(), 1)
	const number = 1500
	var list []sheaves.Kept
	p := sheaves.Place{Account: 7, Validity: 5, Kind: 1}
	tiny := someSheaf(r, 1)
	for n := range uint32(number) {
		p.Mailbox = mail.MailboxID(1 + n%3)
		list = append(list, sheaves.Kept{Place: p, Number: n, Sheaf: tiny})
	}
	if err := s.Write(t.Context(), 7, list); err != nil {
		t.Fatal(err)
	}
	err := s.Prune(t.Context(), 7, func(box mail.MailboxID, n uint32) bool { return box == 2 && n%2 == 0 })
	if err != nil {
		t.Fatal(err)
	}
	for box := range mail.MailboxID(5) {
		p.Mailbox = box
		want := 0
		if box == 2 {
			want = number / 6
		}
		if n := len(readAll(t, s, p, 0, number)); n != want {
			t.Errorf("%d sheaves of mailbox %d, want %d", n, box, want)
		}
	}
}

// Whatever row is damaged or missing, what is found is what was stored.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	db := memkv.New()
	s := sheaves.New(db, 1)
	p := sheaves.Place{Account: 7, Mailbox: 3, Validity: 5, Kind: 1}
	want := make(map[uint32]*sheaves.Sheaf)
	var list []sheaves.Kept
	for n := range uint32(4) {
		want[n] = someSheaf(r, 1500)
		list = append(list, sheaves.Kept{Place: p, Number: n, Sheaf: want[n]})
	}
	if err := s.Write(t.Context(), 7, list); err != nil {
		t.Fatal(err)
	}
	var rows []kv.Item
	err := db.View(t.Context(), keys.Index(7), func(r kv.Reader) error {
		for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			rows = append(rows, kv.Item{Key: bytes.Clone(it.Key), Value: bytes.Clone(it.Value)})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) <= len(want) {
		t.Fatalf("only %d rows", len(rows))
	}
	for i, row := range rows {
		half := row.Value[:len(row.Value)/2]
		for _, value := range [][]byte{nil, {}, {9}, half, append(bytes.Clone(row.Value), 1, 2, 3)} {
			apply(t, db, func(tx kv.Txn) {
				for k, row := range rows {
					switch {
					case k != i:
						tx.Put(row.Key, row.Value)
					case value == nil:
						tx.Delete(row.Key)
					default:
						tx.Put(row.Key, value)
					}
				}
				tx.Put(append(bytes.Clone(row.Key), 1), []byte("foreign"))
			})
			for n, sheaf := range readAll(t, s, p, 0, 99) {
				sameSheaf(t, sheaf, want[n])
			}
		}
	}
}

func apply(t *testing.T, db kv.Store, fn func(kv.Txn)) {
	t.Helper()
	if err := kv.Apply(t.Context(), db, keys.Index(7), func(tx kv.Txn) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// FuzzRead stores any octets where a sheaf is looked for: what is found holds
// together.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	place := sheaves.Place{Account: 7, Mailbox: 3, Validity: 5, Kind: 1}
	seed := memkv.New()
	if err := sheaves.New(seed, 1).Write(context.Background(), 7, []sheaves.Kept{{Place: place, Number: 2, Sheaf: someSheaf(r, 9)}}); err != nil {
		f.Fatal(err)
	}
	var key []byte
	err := seed.View(context.Background(), keys.Index(7), func(r kv.Reader) error {
		for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			key = bytes.Clone(it.Key)
			f.Add(bytes.Clone(it.Value), []byte("more"))
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if max(len(first), len(second)) > 60<<10 {
			return
		}
		db := memkv.New()
		next := bytes.Clone(key)
		next[len(next)-1]++
		apply(t, db, func(tx kv.Txn) { tx.Put(key, first); tx.Put(next, second) })
		for n, s := range readAll(t, sheaves.New(db, 1), place, 0, 99) {
			if n != 2 {
				t.Fatalf("sheaf %d", n)
			}
			whole := 0
			for i := range sheaves.Size {
				whole += len(s.At(mail.UID(i), s.Emails[i]))
			}
			if whole != len(s.Octets) {
				t.Fatal(fmt.Sprint(whole, " octets of ", len(s.Octets)))
			}
		}
	})
}
