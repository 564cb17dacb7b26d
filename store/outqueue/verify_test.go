package outqueue_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/outqueue"
)

// What is damaged is told in these words; the timetable and the counts are
// mended, and messages stay what they are.
func TestVerify(t *testing.T) {
	scan := func(tx kv.Txn, prefix byte, fn func(kv.Item)) {
		var all []kv.Item
		for it, err := range tx.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{}) {
			if err == nil {
				all = append(all, kv.Item{Key: slices.Clone(it.Key), Value: slices.Clone(it.Value)})
			}
		}
		for _, it := range all {
			fn(it)
		}
	}
	for name, tt := range map[string]struct {
		damage func(kv.Txn)
		want   string
		left   bool
	}{
		"nothing": {func(kv.Txn) {}, "", false},
		"not due": {func(tx kv.Txn) { tx.DeleteRange([]byte{keys.QueueDue}, []byte{keys.QueueDue + 1}) },
			"item q1 is missing in the timetable", false},
		"due twice": {func(tx kv.Txn) {
			tx.Put(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{keys.QueueDue}, 5), 1), nil)
		}, "the timetable has an item q1, which stands elsewhere or is gone", false},
		"counts": {func(tx kv.Txn) {
			scan(tx, keys.QueueHead, func(it kv.Item) { it.Value[26] = 9; tx.Put(it.Key, it.Value) })
		}, "the queue says 9 items, 0 held", false},
		"next": {func(tx kv.Txn) {
			scan(tx, keys.QueueHead, func(it kv.Item) { it.Value[10] = 1; tx.Put(it.Key, it.Value) })
		}, "could give a number twice", false},
		"record": {func(tx kv.Txn) {
			scan(tx, keys.QueueItem, func(it kv.Item) { tx.Put(it.Key, []byte("\x01x")) })
		}, "item q1: ", true},
		"state": {func(tx kv.Txn) {
			scan(tx, keys.QueueState, func(it kv.Item) { tx.Put(it.Key, []byte("x")) })
		}, "item q1: how it stands cannot be read", true},
		"text": {func(tx kv.Txn) { tx.DeleteRange([]byte{keys.QueueBody}, []byte{keys.QueueBody + 1}) },
			"item q1: its text has 0 octets, not ", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, outqueue.Options{Shards: 1})
			r.enqueue(t, start, r.submission(t, 10, "bob@b.example"), r.submission(t, 10, "ben@b.example"))
			if err := kv.Apply(t.Context(), r.db, keys.Outqueue(0), func(tx kv.Txn) error { tt.damage(tx); return nil }); err != nil {
				t.Fatal(err)
			}
			check := func(repair bool) (list []outqueue.Finding) {
				t.Helper()
				if err := r.Verify(t.Context(), repair, func(f outqueue.Finding) { list = append(list, f) }); err != nil {
					t.Fatal(err)
				}
				return list
			}
			said := check(false)
			if (tt.want == "") != (len(said) == 0) || tt.want != "" && !slices.ContainsFunc(said, func(f outqueue.Finding) bool { return strings.Contains(f.What, tt.want) }) {
				t.Errorf("said %+v", said)
			}
			check(true)
			if left := check(false); (len(left) > 0) != tt.left {
				t.Errorf("left %+v", left)
			}
			if due := r.due(t, start.Add(time.Minute), 10); !tt.left && len(due) != 2 {
				t.Errorf("%d are due", len(due))
			}
		})
	}
}

// A large text that is missing is told.
func TestVerifyBlob(t *testing.T) {
	r := open(t, outqueue.Options{Shards: 1})
	r.enqueue(t, start, r.submission(t, 300<<10, "bob@b.example"))
	var said []outqueue.Finding
	for want := range 2 {
		said = nil
		if err := r.Verify(t.Context(), true, func(f outqueue.Finding) { said = append(said, f) }); err != nil || len(said) != want {
			t.Fatalf("said %+v, %v", said, err)
		}
		for stat, err := range r.blobs.List(t.Context(), mail.AccountID(keys.Outqueue(0))) {
			if err != nil {
				t.Fatal(err)
			}
			if err := r.blobs.Delete(t.Context(), blob.Key{Owner: stat.Key.Owner, Sum: stat.Key.Sum}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.Contains(said[0].What, "its text is missing from the blob store") {
		t.Errorf("said %+v", said)
	}
}
