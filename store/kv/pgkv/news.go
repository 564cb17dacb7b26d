package pgkv

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"waxwing/obs"
	"waxwing/store/kv"
)

// How watchers hear of what others commit.
//
// Each Store sends NOTIFY after its commits, not in them: PostgreSQL lets one
// transaction with a NOTIFY commit at a time, and would make all wait for each
// other's sync. A process that dies in between has told nobody; therefore, and
// after the listening connection was lost, and for databases that know no
// NOTIFY, the versions of the watched partitions are asked for now and then.
//
// The payload is the sender's writer in hex, and "partition:version" for each
// partition, with spaces between.

const (
	sendEvery   = 20 * time.Millisecond // at most
	mostPayload = 7900                  // PostgreSQL takes less than 8000 octets
	askEvery    = 15 * time.Second      // for versions, while listening
	askOften    = time.Second           // where nobody can listen
	askAtOnce   = 5000                  // partitions in one query
	reconnect   = time.Second
)

const askVersions = "select partition, version from part where partition = any($1)"

// news is what watchers are told.
type news struct {
	s       *Store
	channel string        // of NOTIFY
	ready   chan struct{} // takes one: there is something to be sent

	mu      sync.Mutex // guards what follows
	watched map[kv.Partition]*watched
	unsent  map[kv.Partition]kv.Version
}

// watched is a partition with watchers.
type watched struct {
	watchers int
	told     kv.Version // the newest version that they know of
}

// start prepares for the store of that id.
func (n *news) start(s *Store, id string) {
	n.s, n.channel = s, "waxwing_"+id
	n.ready = make(chan struct{}, 1)
	n.watched = make(map[kv.Partition]*watched)
	n.unsent = make(map[kv.Partition]kv.Version)
}

// watch adds a watcher. Only what is committed from now on is news.
func (n *news) watch(ctx context.Context, p kv.Partition) (<-chan kv.Version, error) {
	ctx, cancel := context.WithCancel(ctx)
	ch, err := n.s.watchers.Watch(ctx, p, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	n.mu.Lock()
	if n.watched[p] == nil {
		n.watched[p] = new(watched)
	}
	n.watched[p].watchers++
	n.mu.Unlock()
	context.AfterFunc(ctx, func() {
		cancel()
		n.unwatch(p)
	})
	versions, err := n.ask(ctx, []int64{int64(p)})
	for i := 1; lost(err) && i < begins && pause(ctx, i); i++ {
		versions, err = n.ask(ctx, []int64{int64(p)})
	}
	if err != nil {
		err = explain(ctx, "watch", err)
		cancel()
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.watched[p]; w != nil {
		w.told = max(w.told, versions[p])
	}
	return ch, nil
}

func (n *news) unwatch(p kv.Partition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.watched[p]
	if w.watchers--; w.watchers == 0 {
		delete(n.watched, p)
	}
}

// tell wakes the watchers of p, unless they know.
func (n *news) tell(p kv.Partition, v kv.Version) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w := n.watched[p]; w != nil && v > w.told {
		w.told = v
		n.s.watchers.Wake(p, v)
	}
}

// committed spreads the news of a commit of ours.
func (n *news) committed(p kv.Partition, v kv.Version) {
	n.tell(p, v)
	n.mu.Lock()
	n.unsent[p] = max(n.unsent[p], v)
	n.mu.Unlock()
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

// send tells the other processes, until ctx ends and all is sent.
func (n *news) send(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		select {
		case <-n.ready:
		case <-ctx.Done():
		}
		err := n.sendAll()
		if err != nil && !failing {
			n.s.log.Warn("other processes are not told of changes at once", obs.Err, err)
		}
		failing = err != nil
		select {
		case <-time.After(sendEvery):
		case <-ctx.Done():
		}
	}
	if err := n.sendAll(); err != nil && !failing {
		n.s.log.Warn("other processes are not told of the last changes", obs.Err, err)
	}
}

// sendAll sends what there is. What cannot be sent is dropped: the others ask.
func (n *news) sendAll() error {
	n.mu.Lock()
	unsent := n.unsent
	n.unsent = make(map[kv.Partition]kv.Version)
	n.mu.Unlock()
	if len(unsent) == 0 {
		return nil
	}
	var b pgx.Batch
	b.Queue("begin")
	b.Queue("set local synchronous_commit = off") // there is nothing to be kept
	for _, payload := range n.payloads(unsent) {
		b.Queue("select pg_notify($1, $2)", n.channel, payload)
	}
	b.Queue("commit")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := n.s.acquire(ctx)
	if err != nil {
		return err
	}
	defer n.s.giveBack(c)
	err = n.s.run(ctx, statementTimeout, c, &b, func(pgx.BatchResults) error { return nil }) // Close reads them
	if code(err) == "42883" {
		return nil // a database without pg_notify
	}
	return err
}

func (n *news) payloads(of map[kv.Partition]kv.Version) (all []string) {
	start := hex.EncodeToString(n.s.writer[:])
	b := []byte(start)
	for _, p := range slices.Sorted(maps.Keys(of)) {
		if len(b) > mostPayload-42 {
			all, b = append(all, string(b)), []byte(start)
		}
		b = strconv.AppendUint(append(b, ' '), uint64(p), 10)
		b = strconv.AppendUint(append(b, ':'), uint64(of[p]), 10)
	}
	return append(all, string(b))
}

// hear takes a notification. What it does not understand it leaves to ask.
func (n *news) hear(payload string) {
	from, rest, _ := strings.Cut(payload, " ")
	if from == hex.EncodeToString(n.s.writer[:]) {
		return
	}
	for word := range strings.FieldsSeq(rest) {
		partition, version, _ := strings.Cut(word, ":")
		p, err1 := strconv.ParseUint(partition, 10, 64)
		v, err2 := strconv.ParseUint(version, 10, 64)
		if err1 == nil && err2 == nil {
			n.s.recalls.outdated(kv.Partition(p), kv.Version(v))
			n.tell(kv.Partition(p), kv.Version(v))
		}
	}
}

// ask gives the versions of partitions; those without a row have none.
func (n *news) ask(ctx context.Context, partitions []int64) (map[kv.Partition]kv.Version, error) {
	versions := make(map[kv.Partition]kv.Version, len(partitions))
	if len(partitions) == 0 {
		return versions, nil
	}
	c, err := n.s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer n.s.giveBack(c)
	for chunk := range slices.Chunk(partitions, askAtOnce) {
		rows, _ := c.Query(ctx, askVersions, chunk) // its error comes from the rows too
		var p, v int64
		_, err = pgx.ForEachRow(rows, []any{&p, &v}, func() error {
			versions[kv.Partition(p)] = kv.Version(v)
			return nil
		})
		if err != nil {
			n.s.noteLoss(err)
			return nil, err
		}
	}
	return versions, nil
}

// askAll tells the watchers what they have missed.
func (n *news) askAll(ctx context.Context) error {
	n.mu.Lock()
	partitions := make([]int64, 0, len(n.watched))
	for p := range n.watched {
		partitions = append(partitions, int64(p))
	}
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	versions, err := n.ask(ctx, partitions)
	for p, v := range versions {
		n.tell(p, v)
	}
	return err
}

// listen hears of what other processes commit, until ctx ends.
func (n *news) listen(ctx context.Context) {
	silent := false
	for ctx.Err() == nil {
		wait := reconnect
		err := n.listenOnce(ctx, func() {
			if silent {
				n.s.log.Info("changes by other processes are heard of again")
			}
			silent = false
		})
		switch {
		case ctx.Err() != nil:
			return
		case refused(err) && !strings.HasPrefix(code(err), "57"):
			// A database that knows no LISTEN.
			wait = askOften
			if e := n.askAll(ctx); e != nil {
				err = errors.Join(err, e)
			}
		}
		if !silent {
			n.s.log.Warn("changes by other processes are heard of late", obs.Err, err)
		}
		silent = true
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// listenOnce listens on a connection of its own until it fails. listening is
// called once it does not.
func (n *news) listenOnce(ctx context.Context, listening func()) error {
	config := n.s.pool.Config().ConnConfig
	config.OnNotification = func(_ *pgconn.PgConn, note *pgconn.Notification) { n.hear(note.Payload) }
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c.Close(ctx)
	}()
	if _, err := c.Exec(ctx, "listen "+pgx.Identifier{n.channel}.Sanitize()); err != nil {
		return err
	}
	listening()
	for {
		// First what was missed before we listened.
		if err := n.askAll(ctx); err != nil {
			return err
		}
		if err := n.wait(ctx, c); err != nil {
			return err
		}
	}
}

// wait hears notifications until it is time to ask again.
func (n *news) wait(ctx context.Context, c *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, askEvery)
	defer cancel()
	for {
		err := c.PgConn().WaitForNotification(waiting) // calls OnNotification
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() != nil && !c.IsClosed():
			// Nothing has come: is anybody there?
			pinging, cancel := context.WithTimeout(ctx, answerTimeout)
			defer cancel()
			if err := c.Ping(pinging); err != nil {
				return fmt.Errorf("the listening connection: %w", err)
			}
			return nil
		default:
			return err
		}
	}
}
