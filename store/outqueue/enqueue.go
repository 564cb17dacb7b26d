package outqueue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/store/blob"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// mailBytes spares conversions of counts.
type mailBytes = mail.ByteCount

const (
	// tokenWindow is how long a token is remembered.
	tokenWindow = 24 * time.Hour
	// txnSize is how much a transaction of several items takes.
	txnSize = 2 << 20
	// maxPrefix bounds the header fields in front of a body.
	maxPrefix = 256 << 10
)

func encodeClaims(n int) []byte {
	return binary.BigEndian.AppendUint32([]byte{version}, uint32(n))
}

func claims(r kv.Reader, sum blob.Sum) (int, error) {
	b, err := r.Get(blobKey(sum))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(b) != 5 || b[0] != version {
		return 0, errVersion
	}
	return int(binary.BigEndian.Uint32(b[1:])), nil
}

// Enqueue takes submissions over and returns when they are durable. Those of
// one call are taken all or none, unless their inline bodies make more than a
// few megabytes or they have tokens of different shards; then an error may
// leave some of them behind, and only tokens make it safe to come again.
func (q *Queue) Enqueue(ctx context.Context, now time.Time, subs ...Submission) ([]ID, error) {
	shards, err := q.count(ctx)
	if err != nil {
		return nil, err
	}
	for i := range subs {
		if err := q.check(&subs[i]); err != nil {
			return nil, err
		}
	}
	if size, ok := q.travels(subs); ok {
		return q.together(ctx, now, shards, subs, size)
	}
	ids := make([]ID, len(subs))
	var commits []ordered
	defer func() {
		for _, c := range commits { // what an error has left
			q.memory.giveUp(c.arrival, true)
			q.poke()
		}
	}()
	for _, g := range q.group(subs, shards) {
		c, err := q.enqueue(ctx, now, g, shards, subs, ids)
		if err != nil {
			return nil, fmt.Errorf("enqueue: %w", err)
		}
		commits = append(commits, c)
	}
	for len(commits) > 0 {
		if err := commits[0].Wait(ctx); err != nil {
			return nil, fmt.Errorf("enqueue: %w", err)
		}
		q.arrived(now, commits[0])
		commits = commits[1:]
	}
	return ids, nil
}

// ordered is a transaction that has its place.
type ordered struct {
	kv.Commit
	arrival *arrival
	made    []fresh
}

// admit runs a transaction that enqueues something in a shard, by the rules
// that hold mail.
func (q *Queue) admit(ctx context.Context, shard, shards int, fn func(*shardTxn, ruleBook) error) (c kv.Commit, err error) {
	err = q.byRules(ctx, func(rules ruleBook) (err error) {
		c, err = q.db.Update(ctx, partition(shard), func(kvtx kv.Txn) error {
			tx, err := begin(kvtx, shard, shards)
			if err == nil {
				err = tx.obey(rules)
			}
			if err != nil {
				return err
			}
			return fn(tx, rules)
		})
		return err
	})
	return c, err
}

// admitted ends such a transaction and says what it is to bring.
func (q *Queue) admitted(tx *shardTxn, o *ordered) {
	o.made = tx.made
	if q.o.Shared {
		tx.markEarly()
	} else {
		q.memory.expect(o.arrival, tx.made)
	}
	tx.end()
}

// arrived says that it has brought it.
func (q *Queue) arrived(now time.Time, o ordered) {
	if q.o.Shared {
		q.stir()
		return
	}
	q.memory.add(now, o.arrival, o.made)
	q.poke()
}

// check says what is wrong with a submission.
func (q *Queue) check(s *Submission) error {
	switch {
	case len(s.Envelope.To) == 0:
		return errors.New("enqueue: no recipients")
	case s.Body == nil:
		return errors.New("enqueue: no body")
	case len(s.Envelope.To) > q.o.MaxRecipients:
		return fmt.Errorf("enqueue: %d recipients: %w", len(s.Envelope.To), ErrTooLarge)
	case len(s.Prefix) > maxPrefix:
		return fmt.Errorf("enqueue: prefix of %d octets: %w", len(s.Prefix), ErrTooLarge)
	}
	octets := len(s.Message) + len(s.Envelope.ID) + len(s.Envelope.Solicit) + len(s.Envelope.Hold) + len(s.Origin.Hello) + len(s.Origin.Service) + len(s.Origin.Remote)
	for _, to := range s.Envelope.To {
		octets += len(to.Address.Local) + len(to.Address.Domain) + len(to.Original)
	}
	if octets > 1<<20 {
		return fmt.Errorf("enqueue: envelope of %d octets: %w", octets, ErrTooLarge)
	}
	return nil
}

// size is about how many octets a submission makes in the engine.
func (s *Submission) size() int {
	return len(s.Prefix) + 512*len(s.Envelope.To) + len(s.Body.Bytes())
}

// A group is the submissions of one transaction.
type group struct {
	shard   int
	indexes []int
}

// group cuts submissions into transactions. A token decides about the shard;
// all others go where the first of the call goes.
func (q *Queue) group(subs []Submission, shards int) []group {
	var groups []group
	sizes := map[int]int{}
	open := map[int]int{} // shard -> its last group
	fallback := int(q.turn.Add(1)) % shards
	for i, s := range subs {
		shard := fallback
		if s.Token != "" {
			sum := sha256.Sum256([]byte(s.Token))
			shard = int(binary.BigEndian.Uint32(sum[28:]) % uint32(shards))
			if i == 0 {
				fallback = shard
			}
		}
		size := s.size()
		at, ok := open[shard]
		if !ok || sizes[shard]+size > txnSize {
			at = len(groups)
			groups = append(groups, group{shard: shard})
			open[shard], sizes[shard] = at, 0
		}
		sizes[shard] += size
		groups[at].indexes = append(groups[at].indexes, i)
	}
	return groups
}

// enqueue runs one transaction.
func (q *Queue) enqueue(ctx context.Context, now time.Time, g group, shards int, subs []Submission, ids []ID) (ordered, error) {
	own := make([]Submission, 0, len(g.indexes))
	for _, i := range g.indexes {
		own = append(own, subs[i])
	}
	release, err := q.keep(ctx, g.shard, own)
	if err != nil {
		return ordered{}, err
	}
	o := ordered{arrival: new(arrival)}
	o.Commit, err = q.admit(ctx, g.shard, shards, func(tx *shardTxn, rules ruleBook) (err error) {
		if tx.head.counts.Items >= int64(q.o.MaxItems/shards) {
			return ErrFull
		}
		for n, i := range g.indexes {
			if ids[i], err = tx.enqueue(now, rules, &own[n]); err != nil {
				return err
			}
		}
		q.admitted(tx, &o)
		return nil
	})
	release()
	if err != nil {
		q.memory.giveUp(o.arrival, false)
		q.dropBodies(ctx, g.shard, own)
		return ordered{}, err
	}
	return o, nil
}

// dropBodies deletes the large bodies of submissions that were not taken.
func (q *Queue) dropBodies(ctx context.Context, shard int, subs []Submission) {
	for _, s := range subs {
		if !s.Body.IsInline() {
			q.drop(ctx, shard, []blob.Sum{s.Body.Sum()})
		}
	}
}

// keep makes the large bodies durable under the shard, and holds their stripes
// until release: see drop.
func (q *Queue) keep(ctx context.Context, shard int, subs []Submission) (release func(), err error) {
	var stripes []int
	for _, s := range subs {
		if !s.Body.IsInline() {
			stripes = append(stripes, q.stripe(s.Body.Sum()))
		}
	}
	slices.Sort(stripes) // one order for all, or two would wait for each other
	stripes = slices.Compact(stripes)
	for _, i := range stripes {
		q.stripes[i].Lock()
	}
	release = func() {
		for _, i := range stripes {
			q.stripes[i].Unlock()
		}
	}
	kept := map[blob.Sum]bool{}
	for _, s := range subs {
		if s.Body.IsInline() || kept[s.Body.Sum()] {
			continue
		}
		if _, err := s.Body.Keep(ctx, owner(shard)); err != nil {
			release()
			return nil, err
		}
		kept[s.Body.Sum()] = true
	}
	return release, nil
}

func (q *Queue) stripe(sum blob.Sum) int { return int(sum[0]) % len(q.stripes) }

// drop deletes large bodies whose last item has gone durably, unless another
// item has come meanwhile: it looks again while nobody can keep the body. A
// crash before it leaves garbage for the sweep. What goes wrong does so, too.
func (q *Queue) drop(ctx context.Context, shard int, sums []blob.Sum) {
	if q.o.Shared {
		return
	}
	for _, sum := range sums {
		if err := q.dropOne(ctx, shard, sum); err != nil {
			q.o.Log.Warn("body of the queue is left to the sweep", "sum", sum.String(), obs.Err, err)
		}
	}
}

func (q *Queue) dropOne(ctx context.Context, shard int, sum blob.Sum) error {
	mu := &q.stripes[q.stripe(sum)]
	mu.Lock()
	defer mu.Unlock()
	var n int
	err := q.db.View(ctx, partition(shard), func(r kv.Reader) (err error) {
		n, err = claims(r, sum)
		return err
	})
	if err != nil || n > 0 {
		return err
	}
	return q.blobs.Delete(ctx, blob.Key{Owner: owner(shard), Sum: sum})
}

// enqueue writes one item.
func (tx *shardTxn) enqueue(now time.Time, rules ruleBook, s *Submission) (ID, error) {
	token, id, err := tx.token(now, s.Token)
	if err != nil || id != 0 {
		return id, err
	}
	id = newID(tx.shard, tx.head.next)
	tx.head.next++
	it := &Item{
		ID: id, Message: s.Message, Envelope: s.Envelope, Origin: s.Origin, Account: s.Account, Created: time.Unix(0, now.UnixNano()),
		Status: make([]Status, len(s.Envelope.To)),
		Size:   mail.ByteCount(len(s.Prefix)) + s.Body.Size(),
		inline: mail.ByteCount(len(s.Prefix)),
	}
	it.Envelope.To = slices.Clone(s.Envelope.To)
	it.body = s.Prefix
	if s.Body.IsInline() {
		it.inline = it.Size
		it.body = append(append(make([]byte, 0, it.Size), s.Prefix...), s.Body.Bytes()...)
	} else {
		sum := s.Body.Sum()
		it.blob = &sum
		if _, err := tx.claim(sum, 1); err != nil {
			return 0, err
		}
	}
	it.Frozen = frozenBy(rules.all, it)
	st := state{held: it.Frozen != "", due: firstDue(now, s).UnixNano(), octets: uint64(it.Size), way: wayOf(it)}
	st.chunks = tx.putBody(id, it.body)
	st.parts = tx.putRecord(it, 0)
	tx.schedule(id, state{}, st)
	tx.made = append(tx.made, fresh{it, st})
	if token != nil {
		tx.Put(token, tokenRecord(id, now))
		tx.Put(tokenAgeKey(now, token), nil)
	}
	return id, nil
}

// priorityStep is how much longer a message seems to have waited for each
// level of its priority. Where there is nothing to wait for it changes little.
const priorityStep = 10 * time.Minute

// firstDue gives an item's first place in the index. What is urgent stands
// there as if it had come earlier, so that it passes a queue that has built
// up; what is not steps back a little. RFC 6710 §5
func firstDue(now time.Time, s *Submission) time.Time {
	for _, t := range []time.Time{s.Due, s.Envelope.HoldUntil} {
		if t.After(now) {
			return t
		}
	}
	if p := time.Duration(s.Envelope.Priority); p > 0 {
		return now.Add(-p * priorityStep)
	} else if p < 0 {
		return now.Add(-p * time.Second)
	}
	return now
}

// putBody writes what lies in the engine, in chunks.
func (tx *shardTxn) putBody(id ID, body []byte) uint16 {
	n := 0
	for chunk := range slices.Chunk(body, partSize) {
		tx.Put(tx.bodyKey(id, n), chunk)
		n++
	}
	return uint16(n)
}

// token looks up what a token has made. It gives the token's key, nil for no
// token, and forgets some that are too old.
func (tx *shardTxn) token(now time.Time, token string) ([]byte, ID, error) {
	if token == "" {
		return nil, 0, nil
	}
	sum := sha256.Sum256([]byte(token))
	key := append([]byte{keys.QueueToken}, sum[:16]...)
	if err := tx.forget(now.Add(-tokenWindow)); err != nil {
		return nil, 0, err
	}
	b, err := tx.Get(key)
	if errors.Is(err, kv.ErrNotFound) {
		return key, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if len(b) != 17 || b[0] != version {
		return nil, 0, errVersion
	}
	return key, ID(binary.BigEndian.Uint64(b[1:])), nil
}

func tokenRecord(id ID, now time.Time) []byte {
	b := binary.BigEndian.AppendUint64([]byte{version}, uint64(id))
	return binary.BigEndian.AppendUint64(b, uint64(now.UnixNano()))
}

func tokenAgeKey(t time.Time, token []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{keys.QueueTokenAge}, uint64(max(t.UnixNano(), 0)))
	return append(b, token[1:]...)
}

// forget removes a few tokens from before a time, more than come in.
func (tx *shardTxn) forget(before time.Time) error {
	lo := []byte{keys.QueueTokenAge}
	hi := binary.BigEndian.AppendUint64(lo, uint64(max(before.UnixNano(), 0)))
	for item, err := range tx.Scan(lo, hi, kv.ScanOptions{KeysOnly: true, Limit: 8}) {
		if err != nil {
			return err
		}
		if len(item.Key) != 1+8+16 {
			return errors.New("key of the queue's tokens is malformed")
		}
		tx.Delete(append([]byte{keys.QueueToken}, item.Key[9:]...))
		tx.Delete(item.Key)
	}
	return nil
}
