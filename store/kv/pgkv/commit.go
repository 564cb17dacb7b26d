package pgkv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"waxwing/obs"
	"waxwing/store/kv"
)

// How an unknown outcome is found out.
//
// The column writers of part holds one entry for each of the Stores that wrote
// to the partition last, the newest first:
//
//	8 octets  the Store's writer, random
//	8 octets  its serial number of that transaction, big-endian
//
// A Store has one session of a partition open at a time, so the serial in its
// entry is that of its last commit there. To find it out the row is written,
// not read: that waits until the lost transaction has let go of its lock, and
// its own commit says that what it saw is durable, on replicas too where the
// database is set up to wait for them. It cannot begin to commit behind our
// back: the look-up advances the version, which a swift session's statement
// has to find as it was; a careful session sends COMMIT only after the lock
// was confirmed.

const (
	entrySize   = 16
	mostEntries = 8
)

// settleTimeout is for how long an unknown outcome is asked for: longer than
// the database keeps a transaction whose process is silent.
const settleTimeout = silenceTimeout + 60*time.Second

const (
	deleteRange = `delete from kv where partition = $1 and key >= $2 and key < $3`
	deleteRest  = `delete from kv where partition = $1 and key >= $2`
	deleteKeys  = `delete from kv where partition = $1 and key = any($2)`
	putKeys     = `insert into kv (partition, key, value) select $1, k, v from unnest($2::bytea[], $3::bytea[]) as t(k, v)
 on conflict (partition, key) do update set value = excluded.value`
	advancePart = `update part set version = $2, writers = $3 where partition = $1`
	touchPart   = `update part set version = version + 1 where partition = $1 returning version, writers`
)

// finish commits what the session's functions have written. An error means
// that nothing of it is known to be committed.
func (of *session) finish() error {
	err := of.conclude()
	if of.conn != nil {
		of.s.giveBack(of.conn)
	}
	return err
}

func (of *session) conclude() error {
	if of.broken != nil {
		return of.broken
	}
	if of.writers == 0 {
		if of.looked && !of.assumed && of.conn == nil { // who locks may have made the row, and takes it back
			of.remember(of.others)
		}
		return nil
	}
	// Nobody's context ends this: the others wait too.
	ctx := context.Background()
	if of.conn == nil && !of.careful && !of.looked && of.broken == nil {
		if _, err := of.look(ctx, nil); err != nil { // which may make it a careful one
			return err
		}
	}
	serial := of.s.serial.Add(1)
	var err error
	if of.conn == nil && !of.careful && len(of.over.ranges) == 0 && of.octets < roundOctets/8 {
		result := of.push(serial)
		if err = result.err; err != nil && !result.sent {
			return err
		}
	} else {
		if of.conn == nil {
			if err := of.begin(ctx, nil, nil); err != nil {
				return err
			}
		}
		err = of.commit(ctx, serial)
	}
	if err != nil && !refused(err) && err != errOvertaken {
		of.s.log.Warn("connection lost during a commit", "partition", uint64(of.p), obs.Err, err)
		if of.conn != nil {
			discard(of.conn)
			of.conn = nil
		}
		err = of.settle(ctx, serial, err)
	}
	if err != nil {
		return err
	}
	of.remember(withEntry(of.others, of.s.writer, serial))
	of.s.news.committed(of.p, of.version+kv.Version(of.writers))
	return nil
}

// commit sends all writes and COMMIT in one round trip.
func (of *session) commit(ctx context.Context, serial uint64) error {
	p := int64(of.p)
	var b pgx.Batch
	ranges, deleted, keys, values := of.over.changes()
	limit := statementTimeout
	if len(ranges) > 0 {
		limit = deletionTimeout
		b.Queue(fmt.Sprintf("set local statement_timeout = %d", limit.Milliseconds()))
	}
	for _, r := range ranges {
		if r.hi == nil {
			b.Queue(deleteRest, p, r.lo)
		} else {
			b.Queue(deleteRange, p, r.lo, r.hi)
		}
	}
	if len(deleted) > 0 {
		b.Queue(deleteKeys, p, deleted)
	}
	if len(keys) > 0 {
		b.Queue(putKeys, p, keys, values)
	}
	b.Queue(advancePart, p, int64(of.version)+int64(of.writers), withEntry(of.others, of.s.writer, serial))
	statements := b.Len()
	b.Queue("commit")
	committed := false
	err := of.s.run(ctx, limit, of.conn, &b, func(r pgx.BatchResults) error {
		for range statements {
			if _, err := r.Exec(); err != nil {
				return err
			}
		}
		tag, err := r.Exec()
		if err == nil && tag.String() != "COMMIT" {
			return fmt.Errorf("COMMIT is answered with %s", tag)
		}
		committed = err == nil
		return err
	})
	if committed {
		return nil // whatever the connection does after it
	}
	return err
}

// settle finds out whether the transaction with that serial was committed.
// After nil it was.
func (of *session) settle(ctx context.Context, serial uint64, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	for n := 1; ; n++ {
		committed, known, err := of.lookUp(ctx, serial)
		switch {
		case err == nil && committed:
			of.s.log.Info("the commit has been made", "partition", uint64(of.p))
			return nil
		case err == nil && known:
			of.s.log.Info("the commit has not been made", "partition", uint64(of.p))
			return cause
		case err == nil:
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
		}
		if !pause(ctx, n) {
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, errors.Join(cause, err))
		}
	}
}

// lookUp asks the partition's row.
func (of *session) lookUp(ctx context.Context, serial uint64) (committed, known bool, err error) {
	c, err := of.s.acquire(ctx)
	if err != nil {
		return false, false, err
	}
	defer of.s.giveBack(c)
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var version int64
	var entries []byte
	if err := c.QueryRow(ctx, touchPart, int64(of.p)).Scan(&version, &entries); err != nil {
		of.s.noteLoss(err)
		return false, false, err
	}
	committed, known = find(entries, of.s.writer, serial)
	return committed, known, nil
}

// withEntry gives the entries with that of w in front.
func withEntry(entries []byte, w writer, serial uint64) []byte {
	out := binary.BigEndian.AppendUint64(append(make([]byte, 0, entrySize*mostEntries), w[:]...), serial)
	for len(entries) >= entrySize && len(out) < entrySize*mostEntries {
		if !bytes.Equal(entries[:len(w)], w[:]) {
			out = append(out, entries[:entrySize]...)
		}
		entries = entries[entrySize:]
	}
	return out
}

// find tells whether the entries say that w has committed that serial, and
// whether they can know.
func find(entries []byte, w writer, serial uint64) (committed, known bool) {
	for e := entries; len(e) >= entrySize; e = e[entrySize:] {
		if bytes.Equal(e[:len(w)], w[:]) {
			return binary.BigEndian.Uint64(e[len(w):entrySize]) == serial, true
		}
	}
	// So many others may have pushed it out.
	return false, len(entries) < entrySize*mostEntries
}
