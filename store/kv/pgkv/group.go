package pgkv

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"waxwing/store/kv"
)

// How updates of one partition share a transaction.
//
// Each waits for its turn. Whoever has it holds the session: it runs its
// function in its own goroutine, hands the session to who waits next, and
// waits for the outcome. Who finds nobody waiting, or the session full,
// commits for all. One session of a partition is open at a time.

// What a session takes at most before it is committed.
const (
	mostMembers   = 64
	mostOctets    = 8 << 20
	sessionLength = 500 * time.Millisecond
)

// A queue is where updates of one partition wait. It exists while there is a
// session.
type queue struct{ waiting []*member }

// A member is an update that waits: for its turn, then for the outcome.
type member struct {
	turn    chan *session // takes one
	outcome chan outcome  // takes one
	nth     int           // of the session's writers, from 1; 0 for who wrote nothing
	err     error         // of its function, which holds once what it has read does
	again   bool          // err is not its function's, which has to run again
}

// An outcome is what became of a session.
type outcome struct {
	base  kv.Version // the version before the session
	err   error
	again bool // its functions may run again
}

// A session is one transaction of the database, for several of ours.
type session struct {
	s       *Store
	p       kv.Partition
	opened  time.Time
	over    overlay
	octets  int
	known   memory
	before  memory    // what the session before this one has left
	members []*member // who wait for the outcome
	writers int       // how many of them wrote

	careful bool          // locks the partition first
	conn    *pgxpool.Conn // where it has locked it; nil before that
	looked  bool          // version and others hold,
	assumed bool          // if nobody has written since this process has
	version kv.Version    // the partition's, and
	others  []byte        // its writers
	broken  error         // the transaction has failed
}

// How often an update is tried in all, and for how long it is tried again.
const (
	attempts  = 10
	tryingFor = 15 * time.Second
)

// A commit of this engine is durable when Update returns it.
type commit kv.Version

func (c commit) Wait(context.Context) error { return nil }
func (c commit) Version() kv.Version        { return kv.Version(c) }

// Update implements kv.Store.
func (s *Store) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	if err := s.gate.Enter(); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.fixViews(p)
	began := time.Now()
	for n := 1; ; n++ {
		version, again, err := s.update(ctx, p, fn)
		if err == nil {
			return commit(version), nil
		}
		if !again {
			return nil, err
		}
		if err == errOvertaken && n < attempts {
			continue
		}
		if n == attempts || time.Since(began) > tryingFor || !pause(ctx, n) {
			return nil, explain(ctx, "transaction", err)
		}
	}
}

// update tries once. With again the failure was the database's.
func (s *Store) update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (_ kv.Version, again bool, err error) {
	m := &member{turn: make(chan *session, 1), outcome: make(chan outcome, 1)}
	of, err := s.enter(ctx, p, m)
	if err != nil {
		return 0, false, err
	}
	waits := false
	func() {
		// Also where fn panics: the others go on.
		defer of.pass()
		waits = of.try(ctx, m, fn)
	}()
	if !waits {
		return 0, m.again, m.err
	}
	out := <-m.outcome
	switch {
	case out.err != nil:
		return 0, out.again, out.err
	case m.err != nil || m.nth == 0:
		return 0, false, m.err
	}
	return out.base + kv.Version(m.nth), false, nil
}

// enter waits for the turn of m, and gives the session that it then holds.
func (s *Store) enter(ctx context.Context, p kv.Partition, m *member) (*session, error) {
	s.mu.Lock()
	q := s.queues[p]
	if q == nil {
		s.queues[p] = &queue{}
		s.mu.Unlock()
		return s.newSession(p), nil
	}
	q.waiting = append(q.waiting, m)
	s.mu.Unlock()
	select {
	case of := <-m.turn:
		return of, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(q.waiting, m)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 {
		(<-m.turn).pass() // it came after all
	}
	return nil, ctx.Err()
}

func (s *Store) newSession(p kv.Partition) *session {
	of := &session{s: s, p: p, opened: time.Now(), careful: !s.swift(p)}
	if !of.careful {
		of.recall()
	}
	return of
}

// pass hands the session to who waits next, or ends it.
func (of *session) pass() {
	s := of.s
	if of.broken == nil && of.writers < mostMembers && of.octets < mostOctets && time.Since(of.opened) < sessionLength {
		if next := s.next(of.p, false); next != nil {
			next.turn <- of
			return
		}
	}
	out := outcome{err: of.finish(), base: of.version}
	out.again = of.broken != nil || passes(out.err) // what broke it was none of theirs
	for _, m := range of.members {
		m.outcome <- out
	}
	if next := s.next(of.p, true); next != nil {
		next.turn <- s.newSession(of.p)
	}
}

// next takes who waits longest out of the queue. At the end of a session the
// queue goes if nobody waits.
func (s *Store) next(p kv.Partition, end bool) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[p]
	if len(q.waiting) == 0 {
		if end {
			delete(s.queues, p)
		}
		return nil
	}
	m := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return m
}

// try runs fn, and tells whether m has to wait for the outcome; if not m.err
// says all.
func (of *session) try(ctx context.Context, m *member, fn func(kv.Txn) error) (waits bool) {
	tx := newTxn(ctx, of)
	err := fn(tx)
	if of.broken == nil && of.writers == 0 && (err != nil || !tx.budget.Spent()) {
		// No commit will show whether what it has read is so.
		if e := of.confirm(ctx); e != nil && err != nil {
			err = explain(ctx, "transaction", e)
		}
	}
	switch {
	case of.broken != nil && ctx.Err() == nil && passes(of.broken):
		m.err, m.again = of.broken, true
		return false
	case err != nil:
	case of.broken != nil:
		err = explain(ctx, "transaction", of.broken)
	default:
		err = errors.Join(tx.budget.Err(), ctx.Err())
	}
	m.err = err
	if err == nil && tx.budget.Spent() {
		of.over = tx.over
		of.octets += tx.budget.Octets()
		of.writers++
		m.nth = of.writers
	}
	if of.broken != nil || of.writers == 0 {
		return false // it has read nothing but what is committed
	}
	of.members = append(of.members, m)
	return true
}

const (
	beginUpdate = "begin isolation level read committed"
	lockPart    = "select version, writers from part where partition = $1 for update"
	insertPart  = "insert into part (partition, version, writers) values ($1, 0, '') on conflict (partition) do nothing"
)

// getMany reads keys.
func (of *session) getMany(ctx context.Context, keys [][]byte) ([][]byte, error) {
	if of.broken != nil {
		return nil, of.broken
	}
	if of.careful || of.conn != nil || len(keys) == 0 {
		return getMany(ctx, of, of.p, keys)
	}
	return of.look(ctx, keys)
}

// read implements source. The first read begins the transaction.
func (of *session) read(ctx context.Context, q query, into *rows) (err error) {
	if of.broken != nil {
		return of.broken
	}
	defer func() { of.broken = err }()
	if len(of.members) > 0 {
		// The end of one caller's context must not break the others' connection.
		ctx = context.WithoutCancel(ctx)
	}
	if of.conn == nil {
		return of.begin(ctx, &q, into)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	r, err := of.conn.Query(ctx, q.sql, q.args...)
	if err == nil {
		err = into.take(r)
	}
	of.s.noteLoss(err)
	return err
}

// begin begins the transaction and locks the partition, with a first query if
// there is one. What a swift session has read before must still hold.
func (of *session) begin(ctx context.Context, q *query, into *rows) (err error) {
	if of.conn, err = of.s.acquire(ctx); err != nil {
		of.conn = nil
		return err
	}
	looked, version, others := of.looked, of.version, of.others
	found, err := of.lock(ctx, beginUpdate, q, into)
	if err == nil && !found {
		found, err = of.lock(ctx, insertPart, q, into)
		if err == nil && !found {
			err = errors.New("the partition's row does not stay")
		}
	}
	if err == nil && looked && (of.version != version || !bytes.Equal(of.others, others)) {
		err = of.overtaken()
	}
	of.looked, of.assumed = err == nil, of.assumed && err != nil
	return err
}

// lock runs a first statement, and tells whether there is a row to be locked.
// Each statement sees what was committed before it, so what q reads is what
// holds under the lock.
func (of *session) lock(ctx context.Context, first string, q *query, into *rows) (found bool, err error) {
	var b pgx.Batch
	if first == insertPart {
		b.Queue(first, int64(of.p))
	} else {
		b.Queue(first)
	}
	b.Queue(lockPart, int64(of.p))
	if q != nil {
		b.Queue(q.sql, q.args...)
	}
	err = of.s.run(ctx, statementTimeout, of.conn, &b, func(r pgx.BatchResults) error {
		if _, err := r.Exec(); err != nil {
			return err
		}
		var version int64
		err := r.QueryRow().Scan(&version, &of.others)
		if found = err == nil; err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		of.version = kv.Version(version)
		if q == nil {
			return nil
		}
		return takeNext(r, into)
	})
	return found, err
}
