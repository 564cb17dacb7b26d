package pebblekv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"waxwing/store/kv"
)

// A batch that Pebble takes long with may be durable before it can be read, or
// after: whoever has waited finds it, also in the next process.
func TestLongBatches(t *testing.T) {
	const writers, rounds, keys = 4, 6, 300
	dir := t.TempDir()
	s, err := Open(dir, Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	write := func(p kv.Partition, round int) error {
		err := kv.Apply(t.Context(), s, p, func(tx kv.Txn) error {
			if round%3 == 2 { // a short one between them
				tx.Put([]byte("short"), []byte{byte(round)})
			}
			for k := 0; k < keys && round%3 != 2; k++ {
				tx.Put(binary.BigEndian.AppendUint32([]byte("k"), uint32(k)), longValue(p, round, k))
			}
			return nil
		})
		if err != nil || round%3 == 2 {
			return err
		}
		return checkLong(t, s, p, round, keys)
	}
	var all sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		all.Go(func() {
			for round := range rounds {
				errs[i] = errors.Join(errs[i], write(kv.Partition(i%3), round*writers+i))
			}
		})
	}
	all.Wait()
	if err := errors.Join(append(errs, s.Close())...); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	last := func(i int) int { // of the long ones of writer i
		for round := rounds - 1; ; round-- {
			if n := round*writers + i; n%3 != 2 {
				return n
			}
		}
	}
	for _, i := range []int{1, 2} { // alone in their partitions
		if err := checkLong(t, s, kv.Partition(i), last(i), keys); err != nil {
			t.Error(err)
		}
	}
}

// longValue is some octets, or so many that they stay in the log.
func longValue(p kv.Partition, round, k int) []byte {
	n := 20
	if k%50 == 0 {
		n = logFrom
	}
	return bytes.Repeat([]byte{byte(p), byte(round), byte(k)}, n)
}

// checkLong tells whether a partition has the values of a round.
func checkLong(t *testing.T, s *Store, p kv.Partition, round, keys int) error {
	return s.View(t.Context(), p, func(r kv.Reader) error {
		k := 0
		for item, err := range r.Scan([]byte("k"), []byte("l"), kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if p != 0 && !bytes.Equal(item.Value, longValue(p, round, k)) { // two write to partition 0
				return fmt.Errorf("key %d of partition %d is not that of round %d", k, p, round)
			}
			k++
		}
		if k != keys {
			return fmt.Errorf("%d keys", k)
		}
		return nil
	})
}
