package sheaves

import (
	"context"
	"encoding/binary"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// writeAtOnce is how many octets one transaction writes.
const writeAtOnce = 1 << 20

// Write stores sheaves of an account, each in the place of the one that was
// there, of which the last parts may stay. Those that are too long are left out. It is done when they are durable;
// of what a failure leaves each is the old or the new one.
func (s *Store) Write(ctx context.Context, id mail.AccountID, list []Kept) error {
	var row []byte
	for len(list) > 0 {
		var rows []kv.Item
		octets := 0
		for len(list) > 0 && octets < writeAtOnce {
			k := &list[0]
			list = list[1:]
			if len(k.Sheaf.Octets) > MaxOctets {
				continue
			}
			row = k.Sheaf.append(row[:0], s.edition, k.Place.Validity)
			octets += len(row)
			rows = addParts(rows, k, row)
		}
		err := kv.Apply(ctx, s.db, keys.Index(id), func(tx kv.Txn) error {
			for _, it := range rows {
				tx.Put(it.Key, it.Value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addParts cuts a sheaf into rows.
func addParts(rows []kv.Item, k *Kept, row []byte) []kv.Item {
	for part := byte(0); part == 0 || len(row) > 0; part++ {
		n := min(len(row), partSize)
		key := append(appendKey(make([]byte, 0, keyLength), &k.Place, k.Number), part)
		rows = append(rows, kv.Item{Key: key, Value: append([]byte(nil), row[:n]...)})
		row = row[n:]
	}
	return rows
}

// pruneAtOnce is how many sheaves one transaction removes.
const pruneAtOnce = 1000

// Prune removes the sheaves of an account that are not lives's.
func (s *Store) Prune(ctx context.Context, id mail.AccountID, lives func(box mail.MailboxID, number uint32) bool) error {
	lo := []byte{keys.IndexSheaf}
	for lo != nil {
		var gone [][]byte
		from := lo
		err := s.db.View(ctx, keys.Index(id), func(r kv.Reader) error {
			gone, lo = gone[:0], nil
			for it, err := range r.Scan(from, []byte{keys.IndexSheaf + 1}, kv.ScanOptions{KeysOnly: true}) {
				if err != nil {
					return err
				}
				if len(gone) == pruneAtOnce {
					lo = append([]byte(nil), it.Key...)
					return nil
				}
				if len(it.Key) != keyLength || !lives(mail.MailboxID(binary.BigEndian.Uint32(it.Key[1:])), numberOf(it.Key)) {
					gone = append(gone, append([]byte(nil), it.Key...))
				}
			}
			return nil
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		if err := kv.Apply(ctx, s.db, keys.Index(id), func(tx kv.Txn) error {
			for _, key := range gone {
				tx.Delete(key)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Drop removes all sheaves of an account.
func (s *Store) Drop(ctx context.Context, id mail.AccountID) error {
	return kv.Apply(ctx, s.db, keys.Index(id), func(tx kv.Txn) error {
		tx.DeleteRange([]byte{keys.IndexSheaf}, []byte{keys.IndexSheaf + 1})
		return nil
	})
}
