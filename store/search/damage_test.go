package search_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"waxwing/format/abstract"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/search"
)

// filled is a house with messages that are indexed, each with a word of its
// own.
func filled(t *testing.T, n int) (*house, []string) {
	t.Helper()
	h := newHouse(t)
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprintf("Subject: message %d\r\n\r\nhere is word%dend and more\r\n", i, i))
	}
	h.add(texts...)
	h.update(start)
	return h, texts
}

// Whatever row of an index is damaged, searching does not fail: an index that
// cannot be read is dropped, and built anew.
func TestDamage(t *testing.T) {
	const n = 200
	h, _ := filled(t, n)
	var rows []kv.Item
	if err := h.db.View(t.Context(), keys.Index(1), func(r kv.Reader) error {
		for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			rows = append(rows, kv.Item{Key: append([]byte(nil), it.Key...), Value: append([]byte(nil), it.Value...)})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	change := func(fn func(kv.Txn)) {
		t.Helper()
		if err := kv.Apply(t.Context(), h.db, keys.Index(1), func(tx kv.Txn) error { fn(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(31, 32))
	for _, row := range rows {
		if row.Key[0] == keys.IndexPostings && r.IntN(30) > 0 || row.Key[0] == keys.IndexAbstract && r.IntN(100) > 0 {
			continue
		}
		for _, value := range [][]byte{nil, {}, {0}, row.Value[:len(row.Value)/2], append(append([]byte(nil), row.Value...), 0xff, 0xff, 0xff)} {
			change(func(tx kv.Txn) {
				tx.DeleteRange(nil, nil)
				for _, row := range rows {
					tx.Put(row.Key, row.Value)
				}
				if tx.Delete(row.Key); value != nil {
					tx.Put(row.Key, value)
				}
			})
			h.index = search.New(h.db, h.mailboxes, search.Options{})
			for i := 0; i < n; i += 37 {
				if _, err := h.index.Account(1).Narrow(t.Context(), []abstract.Query{exactly(fmt.Sprintf("word%dend", i))}); err != nil {
					t.Fatalf("%q: %v", row.Key, err)
				}
			}
			h.update(start.Add(48 * time.Hour)) // it may find the damage
		}
	}
	if err := h.index.Drop(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	h.update(start)
	checkWords(t, h, n)
}

func checkWords(t *testing.T, h *house, n int) {
	t.Helper()
	for i := range n {
		c := h.narrow(fmt.Sprintf("word%dend", i))
		if c == nil {
			t.Fatal("nothing is narrowed down")
		}
		ids, err := h.mail.Emails(t.Context(), 0, n)
		if err != nil {
			t.Fatal(err)
		}
		if !may(c, ids[i]) {
			t.Fatalf("message %d is lost", i)
		}
	}
}

// A builder that dies at any moment leaves an index that is right, and the
// next one leaves no rows behind that nothing names.
func TestBuilderDies(t *testing.T) {
	const n = 300
	h, _ := filled(t, n)
	whole := rowsOf(t, h)
	for cut := 1; cut < 12; cut++ {
		if err := h.index.Drop(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		dying := search.New(&mortal{Store: h.db, left: cut, die: cancel}, h.mailboxes, search.Options{})
		_ = dying.Update(ctx, 1, start)
		cancel()
		h.index = search.New(h.db, h.mailboxes, search.Options{})
		for i := 0; i < n; i += 71 {
			ids, err := h.mail.Emails(t.Context(), 0, n)
			if err != nil {
				t.Fatal(err)
			}
			if c := h.narrow(fmt.Sprintf("word%dend", i)); c != nil && !may(c, ids[i]) {
				t.Fatalf("after %d transactions message %d is lost", cut, i)
			}
		}
		h.update(start.Add(time.Hour)) // when the dead one's lease has run out
		if got := rowsOf(t, h); got != whole {
			t.Errorf("after %d transactions: %d rows, want %d", cut, got, whole)
		}
		checkWords(t, h, n)
	}
}

// rowsOf counts the rows of an index, without the lease.
func rowsOf(t *testing.T, h *house) (n int) {
	t.Helper()
	if err := h.db.View(t.Context(), keys.Index(1), func(r kv.Reader) error {
		n = 0
		for it, err := range r.Scan(nil, nil, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			if it.Key[0] != 'w' {
				n++
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// A mortal store ends its user's context with a transaction of some number.
type mortal struct {
	kv.Store
	left int
	die  context.CancelFunc
}

func (m *mortal) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	if m.left--; m.left <= 0 {
		m.die()
		return nil, context.Canceled
	}
	return m.Store.Update(ctx, p, fn)
}

// Two nodes do not build the same index at the same time, and the second goes
// on where the first has stopped.
func TestTwoBuilders(t *testing.T) {
	h, _ := filled(t, 100)
	other := search.New(h.db, h.mailboxes, search.Options{})
	var texts []string
	for i := 100; i < 300; i++ {
		texts = append(texts, fmt.Sprintf("Subject: message %d\r\n\r\nhere is word%dend and more\r\n", i, i))
	}
	h.add(texts...)
	if err := other.Update(t.Context(), 1, start); err != nil { // the lease was given back
		t.Fatal(err)
	}
	h.update(start)
	checkWords(t, h, 300)
	h.index = other
	checkWords(t, h, 300)
}
