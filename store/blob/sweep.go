package blob

import (
	"context"
	"time"

	"waxwing/mail"
)

// Sweep removes the owner's blobs that nobody names: those that were last kept
// before a time and for which named says no. Choose the time so that whoever
// kept a blob has committed the metadata that names it, or never will; a day
// is plenty. It gives the number of blobs and octets removed.
func Sweep(ctx context.Context, s Store, owner mail.AccountID, before time.Time, named func(Sum) (bool, error)) (int, mail.ByteCount, error) {
	var (
		blobs  int
		octets mail.ByteCount
	)
	for stat, err := range s.List(ctx, owner) {
		if err != nil {
			return blobs, octets, err
		}
		if !stat.Modified.Before(before) {
			continue
		}
		keep, err := named(stat.Key.Sum)
		if err != nil {
			return blobs, octets, err
		}
		if keep {
			continue
		}
		gone, err := s.Reap(ctx, stat)
		if err != nil {
			return blobs, octets, err
		}
		if gone {
			blobs++
			octets += stat.Size
		}
	}
	return blobs, octets, nil
}
