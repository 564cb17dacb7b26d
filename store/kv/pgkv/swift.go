package pgkv

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/obs"
	"waxwing/store/kv"
)

// How an update does without a lock.
//
// A swift session reads without a transaction: each statement gives the
// version of the partition with what was asked for, and all have to give the
// same one. It writes by one statement, which writes only if the version is
// still that one, and so needs neither BEGIN nor COMMIT. Both statements serve
// many sessions, of different partitions, at once (rounds.go); each of them is
// written whole or not at all, whatever becomes of the others.
//
// Who was overtaken by another process, or finds the partition locked, runs
// again in the careful way: under the lock. So do, for a while, those who come
// after it.

// errOvertaken says that another process has written to the partition.
var errOvertaken = errors.New("the partition has been changed meanwhile")

// carefulFor is how long the updates of a partition lock it first, after one
// was overtaken.
const carefulFor = time.Second

// What a round of one reads, and where it writes and deletes no keys. Who finds
// the row locked does not wait: he would keep a round from the others.
const (
	lookOne = `select t.n, (select value from kv where kv.partition = $1 and kv.key = t.key), null::bigint
 from unnest($2::bytea[]) with ordinality as t(key, n)
union all
select 1, writers, version from part where partition = $1`

	pushOne = `with fence as (
 update part set version = $3, writers = $4
 from (select partition from part where partition = $1 for update skip locked) as free
 where part.partition = free.partition and part.version = $2 and part.writers = $7
 returning part.partition
), written as (
 insert into kv (partition, key, value)
 select fence.partition, t.key, t.value from fence, unnest($5::bytea[], $6::bytea[]) as t(key, value)
 on conflict (partition, key) do update set value = excluded.value
)
select partition from fence`
)

// The same for several.
const lookAll = `select t.n, (select value from kv where kv.partition = t.partition and kv.key = t.key), null::bigint
 from unnest($1::bigint[], $2::bytea[]) with ordinality as t(partition, key, n)
union all
select t.n, part.writers, part.version
 from unnest($3::bigint[]) with ordinality as t(partition, n) join part on part.partition = t.partition`

// Those whose version has changed, or whose row is locked, are left out of
// fence, and nothing of theirs is written.
const pushAll = `with free as materialized (
 select partition from part where partition = any($1::bigint[]) for update skip locked
), fence as (
 update part set version = t.new, writers = t.writers
 from free, unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $10::bytea[]) as t(partition, old, new, writers, others)
 where part.partition = free.partition and t.partition = free.partition and part.version = t.old and part.writers = t.others
 returning part.partition
), gone as (
 delete from kv using fence, unnest($5::bigint[], $6::bytea[]) as t(partition, key)
 where t.partition = fence.partition and kv.partition = t.partition and kv.key = t.key
), written as (
 insert into kv (partition, key, value)
 select t.partition, t.key, t.value from fence
 join unnest($7::bigint[], $8::bytea[], $9::bytea[]) as t(partition, key, value) on t.partition = fence.partition
 on conflict (partition, key) do update set value = excluded.value
)
select partition from fence`

// A look is a read of a swift session.
type look struct {
	p    kv.Partition
	keys [][]byte
	done chan struct{} // closed when what follows holds

	found   bool // the partition has a row
	version kv.Version
	writers []byte
	values  [][]byte // of the keys
	err     error
}

// A push is what a swift session writes.
type push struct {
	of           *session
	serial       uint64
	deleted      [][]byte
	keys, values [][]byte
	done         chan pushed // takes one
}

// pushed is what became of a push.
type pushed struct {
	err  error
	sent bool // whatever err says, the database may have written it
}

func (l *look) octets() int {
	n := 0
	for _, key := range l.keys {
		n += len(key)
	}
	return n
}

func (p *push) octets() int { return p.of.octets }

// swift tells whether the updates of p may do without a lock.
func (s *Store) swift(p kv.Partition) bool {
	if s.unswift.Load() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.careful[p]
	if ok && time.Now().After(until) {
		delete(s.careful, p)
		ok = false
	}
	return !ok
}

// beCareful has the updates of p lock it first, for a while.
func (s *Store) beCareful(p kv.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.careful) >= 1000 {
		for p, until := range s.careful {
			if now.After(until) {
				delete(s.careful, p)
			}
		}
	}
	s.careful[p] = now.Add(carefulFor)
}

// look reads keys in a swift session, which becomes a careful one if the
// partition has no row.
func (of *session) look(ctx context.Context, keys [][]byte) ([][]byte, error) {
	l := &look{p: of.p, keys: keys, done: make(chan struct{})}
	of.s.looks.add(ctx, l)
	select {
	case <-l.done:
	case <-ctx.Done():
		of.broken = ctx.Err()
		return nil, of.broken
	}
	switch {
	case l.err != nil:
		of.broken = l.err
		return nil, of.broken
	case of.looked && (!l.found || l.version != of.version || !bytes.Equal(l.writers, of.others)):
		of.broken = of.overtaken()
		return nil, of.broken
	case !l.found:
		of.careful = true
		return getMany(ctx, of, of.p, keys)
	}
	of.looked, of.assumed, of.version, of.others = true, false, l.version, l.writers
	return l.values, nil
}

// overtaken says that the session has to be run again: with a lock, or if it had
// only assumed the state of the partition, by reading it first.
func (of *session) overtaken() error {
	if of.assumed {
		of.s.recalls.keep(&recalled{p: of.p, alone: recallAlone})
	} else {
		of.s.beCareful(of.p)
	}
	return errOvertaken
}

// lookRound reads for many.
func (s *Store) lookRound(ctx context.Context, round []*look) {
	err := s.lookRows(ctx, round)
	for _, l := range round {
		l.err = err
		close(l.done)
	}
}

func (s *Store) lookRows(ctx context.Context, round []*look) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.giveBack(c)
	if len(round) == 1 {
		err = round[0].alone(ctx, c)
	} else {
		err = together(ctx, c, round)
	}
	s.noteLoss(err)
	return err
}

// alone reads for one.
func (l *look) alone(ctx context.Context, c *pgxpool.Conn) error {
	l.values = make([][]byte, len(l.keys))
	rows, err := c.Query(ctx, lookOne, int64(l.p), keysOf(nil, l.keys))
	if err != nil {
		return err
	}
	return takeLooked(rows, func(int64) *look { return l }, func(n int64) *[]byte { return &l.values[n-1] })
}

// together reads for several.
func together(ctx context.Context, c *pgxpool.Conn, round []*look) error {
	var partitions, parts pgtype.FlatArray[int64]
	var keys pgtype.FlatArray[[]byte]
	var into []*[]byte // by place among keys
	for _, l := range round {
		l.values = make([][]byte, len(l.keys))
		for i := range l.keys {
			into = append(into, &l.values[i])
			partitions = append(partitions, int64(l.p))
		}
		keys, parts = keysOf(keys, l.keys), append(parts, int64(l.p))
	}
	rows, err := c.Query(ctx, lookAll, partitions, keys, parts)
	if err != nil {
		return err
	}
	return takeLooked(rows, func(n int64) *look { return round[n-1] }, func(n int64) *[]byte { return into[n-1] })
}

func keysOf(to pgtype.FlatArray[[]byte], keys [][]byte) pgtype.FlatArray[[]byte] {
	for _, key := range keys {
		to = append(to, filled(key))
	}
	return to
}

// takeLooked keeps the values, and versions with the writers, where they
// belong, by their numbers.
func takeLooked(from pgx.Rows, look func(n int64) *look, value func(n int64) *[]byte) error {
	defer from.Close()
	var n int64
	var b pgtype.DriverBytes
	var version *int64
	for from.Next() {
		if err := from.Scan(&n, &b, &version); err != nil {
			return err
		}
		switch {
		case version != nil:
			l := look(n)
			l.found, l.version, l.writers = true, kv.Version(*version), bytes.Clone(b)
		case b != nil:
			*value(n) = append([]byte{}, b...)
		}
	}
	return from.Err()
}

// push commits what a swift session has written, if nobody has overtaken it.
func (of *session) push(serial uint64) pushed {
	_, deleted, keys, values := of.over.changes()
	p := &push{of: of, serial: serial, deleted: deleted, keys: keys, values: values, done: make(chan pushed, 1)}
	of.s.pushes.add(context.Background(), p)
	return <-p.done
}

// pushRound writes for many.
func (s *Store) pushRound(_ context.Context, round []*push) {
	written, sent, err := s.pushRows(round)
	switch {
	case err == nil || !sent || !refused(err):
	case unknownSQL(err):
		// A database that knows this statement not, but perhaps those of the
		// careful way.
		s.log.Warn("the database does not know how to commit in one step", obs.Err, err)
		s.unswift.Store(true)
		written, err = nil, nil
	case len(round) > 1:
		// What it minds may be about one of them.
		written, err = nil, nil
	}
	for _, p := range round {
		switch {
		case err != nil:
			p.done <- pushed{err, sent}
		case !written[p.of.p]:
			p.done <- pushed{err: p.of.overtaken()}
		default:
			p.done <- pushed{}
		}
	}
}

// pushRows gives the partitions that have been written. Unless it is sent the
// database has seen nothing of it.
func (s *Store) pushRows(round []*push) (written map[kv.Partition]bool, sent bool, err error) {
	q := pushQuery(round)
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	c, err := s.acquire(ctx)
	if err != nil {
		return nil, false, err
	}
	rows, _ := c.Query(ctx, q.sql, q.args...) // its error comes from the rows too
	written = make(map[kv.Partition]bool, len(round))
	var p int64
	_, err = pgx.ForEachRow(rows, []any{&p}, func() error {
		written[kv.Partition(p)] = true
		return nil
	})
	s.noteLoss(err)
	if err != nil && !refused(err) {
		discard(c)
	} else {
		s.giveBack(c)
	}
	return written, true, err
}

func pushQuery(round []*push) query {
	if p := round[0]; len(round) == 1 && len(p.deleted) == 0 {
		return query{pushOne, []any{int64(p.of.p), int64(p.of.version), p.version(), p.writers(),
			pgtype.FlatArray[[]byte](p.keys), pgtype.FlatArray[[]byte](p.values), filled(p.of.others)}}
	}
	var parts, old, new, gone, put pgtype.FlatArray[int64]
	var writers, others, deleted, keys, values pgtype.FlatArray[[]byte]
	for _, p := range round {
		part := int64(p.of.p)
		parts, old, new = append(parts, part), append(old, int64(p.of.version)), append(new, p.version())
		writers, others = append(writers, p.writers()), append(others, filled(p.of.others))
		for range p.deleted {
			gone = append(gone, part)
		}
		for range p.keys {
			put = append(put, part)
		}
		deleted, keys, values = append(deleted, p.deleted...), append(keys, p.keys...), append(values, p.values...)
	}
	return query{pushAll, []any{parts, old, new, writers, gone, deleted, put, keys, values, others}}
}

// version gives the partition's version after the push.
func (p *push) version() int64 { return int64(p.of.version) + int64(p.of.writers) }

// writers gives the partition's writers after it.
func (p *push) writers() []byte { return withEntry(p.of.others, p.of.s.writer, p.serial) }
