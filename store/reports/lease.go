package reports

import (
	"context"
	"errors"
	"time"

	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A leaseRecord is whose turn it is.
type leaseRecord struct {
	Holder string `cbor:"1,keyasint"`
	Until  int64  `cbor:"2,keyasint"`
}

// Lease takes a turn under a name, or keeps it, until a time, and tells
// whether it is the holder's. Somebody else's ends at its time, or when it is
// given up.
func (s *Store) Lease(ctx context.Context, now time.Time, name, holder string, until time.Time) (ours bool, err error) {
	key := append([]byte{keys.ReportLease}, name...)
	err = s.apply(ctx, func(tx kv.Txn) error {
		ours = false
		b, err := tx.Get(key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		var had leaseRecord
		if err == nil && decode(b, &had) == nil && had.Holder != holder && now.UnixNano() < had.Until {
			return nil
		}
		ours = true
		b, err = encode(leaseRecord{holder, until.UnixNano()})
		tx.Put(key, b)
		return err
	})
	return ours && err == nil, err
}
