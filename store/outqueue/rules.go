package outqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// The rules lie in one partition and the items in others, so that no
// transaction sees both. Therefore the rules have editions, which are counted,
// and the head of each shard has the number of one: whoever enqueues with the
// rules of an earlier edition is told to read them anew (oldRules). When a
// shard has got its number, all that was enqueued by the rules before stands in
// it, and is found when the queue is looked through.

// A ruleBook is the rules of one edition.
type ruleBook struct {
	all     []Freeze
	edition uint64
}

// oldRules says that the rules at hand are not those that hold by now, which
// are of this edition.
type oldRules struct{ edition uint64 }

func (oldRules) Error() string { return "the rules that hold mail have changed" }

// ruleShelf is the rules as they were read.
type ruleShelf struct {
	mu   sync.Mutex
	book ruleBook  // guarded by mu
	read time.Time // when; zero for never; guarded by mu
}

// readRules reads the rules.
func (q *Queue) readRules(ctx context.Context) (book ruleBook, err error) {
	err = q.db.View(ctx, keys.Common, func(r kv.Reader) (err error) {
		book = ruleBook{}
		if book.edition, err = readEdition(r); err != nil {
			return err
		}
		for row, err := range r.Scan(freezeKey(""), []byte{keys.QueueFreeze + 1}, kv.ScanOptions{Limit: MaxFreezes}) {
			if err != nil {
				return err
			}
			var f freezeRecord
			if len(row.Value) == 0 || row.Value[0] != version {
				return errVersion
			}
			if err := cbor.Unmarshal(row.Value[1:], &f); err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			book.all = append(book.all, Freeze{
				Name: string(row.Key[1:]), From: f.From, To: f.To, Account: mail.AccountID(f.Account), Reason: f.Reason, Created: fromNano(f.Created),
			})
		}
		return nil
	})
	if err != nil {
		return ruleBook{}, fmt.Errorf("read the rules of the queue: %w", err)
	}
	return book, nil
}

func editionKey() []byte { return []byte{keys.QueueRules} }

// readEdition gives the edition of the rules; 0 if there never were any.
func readEdition(r kv.Reader) (uint64, error) {
	b, err := r.Get(editionKey())
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(b) != 9 || b[0] != version:
		return 0, errVersion
	}
	return binary.BigEndian.Uint64(b[1:]), nil
}

// republish counts another edition, in the transaction that changes the rules.
func republish(tx kv.Txn) (edition uint64, err error) {
	if edition, err = readEdition(tx); err == nil {
		edition++
		tx.Put(editionKey(), binary.BigEndian.AppendUint64([]byte{version}, edition))
	}
	return edition, err
}

// proclaim tells all shards of an edition. When it returns, whatever has been
// enqueued by earlier ones is to be seen.
func (q *Queue) proclaim(ctx context.Context, edition uint64) error {
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	for shard := range shards {
		err := kv.Apply(ctx, q.db, partition(shard), func(kvtx kv.Txn) error {
			tx, err := begin(kvtx, shard, shards)
			if err != nil {
				return err
			}
			tx.head.edition = max(tx.head.edition, edition)
			tx.end()
			return nil
		})
		if err != nil {
			return fmt.Errorf("the rules have changed, but not all of the queue knows: %w", err)
		}
	}
	return nil
}

// byRules runs a transaction that enqueues, and runs it again if the rules have
// changed meanwhile.
func (q *Queue) byRules(ctx context.Context, fn func(ruleBook) error) error {
	err := fn(q.rules(ctx))
	for old := (oldRules{}); errors.As(err, &old); {
		var book ruleBook
		if book, err = q.readRules(ctx); err != nil {
			return err
		}
		q.shelf.put(book, time.Now())
		book.edition = max(book.edition, old.edition) // they were read since
		err = fn(book)
	}
	return err
}

// rules gives the rules as they were a moment ago.
func (q *Queue) rules(ctx context.Context) ruleBook {
	s := &q.shelf
	s.mu.Lock()
	book, known := s.book, !s.read.IsZero() && time.Since(s.read) < rulesFor
	s.mu.Unlock()
	if known {
		return book
	}
	read, err := q.readRules(ctx)
	if err != nil {
		q.o.Log.Error("the rules that hold mail cannot be read", obs.Err, err)
		return book
	}
	s.put(read, time.Now())
	return read
}

// put remembers rules, unless later ones are known.
func (s *ruleShelf) put(book ruleBook, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if book.edition >= s.book.edition {
		s.book, s.read = book, now
	}
}

// obey fails if the rules are older than the shard knows that there are.
func (tx *shardTxn) obey(book ruleBook) error {
	if book.edition < tx.head.edition {
		return oldRules{tx.head.edition}
	}
	return nil
}
