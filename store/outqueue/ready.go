package outqueue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Ready is an item that is due, as far as the index tells: enough to choose
// whose turn it is among a hundred thousand without reading them.
type Ready struct {
	ID          ID
	Due         time.Time
	Destination uint64 // see Destination; zero if it is not known
	Sender      uint64 // whose message it is: items of one sender have the same
	Priority    int8   // mail.Envelope.Priority
	Tried       bool   // in vain
	Size        mail.ByteCount
}

// way is what an item's row in the index says of it.
type way struct {
	destination, sender uint64
	priority            int8
}

const waySize = 17

func (w way) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, w.destination)
	b = binary.BigEndian.AppendUint64(b, w.sender)
	return append(b, byte(w.priority))
}

func decodeWay(b []byte) way {
	return way{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), int8(b[16])}
}

// rowSize is that of a row of the index.
const rowSize = 1 + waySize + 9

// appendRow writes the value of the index: version 1, way 17, flags 1, octets 8.
func (s state) appendRow(b []byte) []byte {
	b = s.way.append(append(b, version))
	flags := byte(0)
	if s.tried {
		flags = flagTried
	}
	return binary.BigEndian.AppendUint64(append(b, flags), s.octets)
}

// ready gives what row says, for an item.
func (s state) ready(id ID) Ready {
	return Ready{
		ID: id, Due: time.Unix(0, s.due), Destination: s.way.destination, Sender: s.way.sender, Priority: s.way.priority,
		Tried: s.tried, Size: mail.ByteCount(s.octets),
	}
}

// readyOf reads a row of the index. Rows of older versions have no value.
func readyOf(key, value []byte) (Ready, error) {
	due, id, err := splitDueKey(key)
	if err != nil {
		return Ready{}, err
	}
	r := Ready{ID: id, Due: time.Unix(0, due)}
	if len(value) == rowSize && value[0] == version {
		w := decodeWay(value[1:])
		r.Destination, r.Sender, r.Priority = w.destination, w.sender, w.priority
		r.Tried = value[1+waySize]&flagTried != 0
		r.Size = mail.ByteCount(binary.BigEndian.Uint64(value[2+waySize:]))
	}
	return r, nil
}

// Destination is the number of a recipients' domain in Ready.
func Destination(domain string) uint64 { return number("domain", strings.ToLower(domain)) }

func number(kind, name string) uint64 {
	var room [128]byte
	text := append(append(append(room[:0], kind...), ' '), name...)
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

// wayOf says where an item goes: to its recipients' domain; an item for several
// has a destination of its own. Mail of ours is told apart by account, that of
// others by domain.
func wayOf(it *Item) way {
	w := way{priority: it.Envelope.Priority}
	switch from := it.Envelope.From; {
	case it.Origin.Account != 0:
		w.sender = number("account", strconv.FormatUint(uint64(it.Origin.Account), 10))
	case from.IsNull():
		w.sender = number("notifications", "")
	default:
		w.sender = number("sender", strings.ToLower(from.Domain))
	}
	if it.Account != 0 {
		w.destination = number("account", strconv.FormatUint(uint64(it.Account), 10))
		return w
	}
	domain := ""
	for i, to := range it.Envelope.To {
		switch d := to.Address.Domain; {
		case it.Status[i].State != Pending:
		case domain == "":
			domain = d
		case domain != d:
			w.destination = number("item", it.ID.String())
			return w
		}
	}
	w.destination = Destination(domain)
	return w
}

// readyPage is how many rows one view reads.
const readyPage = 2000

// A Cursor remembers how far the index has been read. The zero value is its
// beginning.
type Cursor struct {
	after [][]byte // of each shard, the key at which to go on
	next  []int64  // of each shard, when something more becomes due
	early []uint64 // of each shard, as its head had it when the cursor set out
}

// Next is when something becomes due that was not due yet when Ready last
// looked; zero for nothing that it knows of.
func (c *Cursor) Next() time.Time {
	first := int64(never)
	for _, at := range c.next {
		first = min(first, at)
	}
	if first == never {
		return time.Time{}
	}
	return time.Unix(0, first)
}

// Ready calls fn for what has become due behind the cursor, the items that have
// waited longest first in each shard, until fn gives false, and moves the
// cursor. Items that somebody has leased are not due. What another process, or
// an administrator, puts before the cursor is found by a new one, and so is a
// lease that has run out; News tells that there is something (Behind).
func (q *Queue) Ready(ctx context.Context, now time.Time, c *Cursor, fn func(Ready) bool) error {
	shards, err := q.count(ctx)
	if err != nil {
		return err
	}
	if len(c.after) != shards {
		c.after, c.next, c.early = make([][]byte, shards), make([]int64, shards), make([]uint64, shards)
	}
	first := int(q.turn.Add(1))
	for i := range shards {
		shard := (first + i) % shards
		if c.after[shard] == nil && !q.o.Shared {
			if err := q.advance(ctx, shard, shards); err != nil {
				return fmt.Errorf("look for queue items: %w", err)
			}
		}
		for more := true; more; {
			page, next, early, err := q.readyPage(ctx, now, shard, c.after[shard])
			if err != nil {
				return fmt.Errorf("look for queue items: %w", err)
			}
			if c.after[shard] != nil && early != c.early[shard] {
				q.behind()
			}
			c.next[shard], c.early[shard] = next, early
			more = len(page) == readyPage
			end := c.after[shard]
			if len(page) > 0 {
				end = page[len(page)-1].after()
			}
			for _, r := range q.memory.free(now, page) {
				if !fn(r) {
					return nil
				}
				c.after[shard] = r.after()
			}
			c.after[shard] = end
		}
	}
	return nil
}

// after is the key behind an item's row.
func (r Ready) after() []byte { return dueKey(r.Due.UnixNano(), r.ID+1) }

// advance moves the head's mark, if what stood there has gone.
func (q *Queue) advance(ctx context.Context, shard, shards int) error {
	h, err := q.look(ctx, shard)
	if err != nil || h.low == never {
		return err
	}
	var first int64
	err = q.db.View(ctx, partition(shard), func(r kv.Reader) (err error) {
		first, err = firstIn(r, h.low)
		return err
	})
	if err != nil || first == h.low {
		return err
	}
	return kv.Apply(ctx, q.db, partition(shard), func(kvtx kv.Txn) error {
		tx, err := begin(kvtx, shard, shards)
		if err != nil {
			return err
		}
		if err := tx.advance(); err != nil {
			return err
		}
		tx.end()
		return nil
	})
}

// readyPage reads rows from a key on, and when the first thing behind them
// becomes due; and the head's early.
func (q *Queue) readyPage(ctx context.Context, now time.Time, shard int, after []byte) (page []Ready, next int64, early uint64, err error) {
	err = q.db.View(ctx, partition(shard), func(r kv.Reader) error {
		page, next = nil, never
		h, err := readHead(r)
		if err != nil {
			return err
		}
		early = h.early
		if h.low > now.UnixNano() {
			if h.counts.Items > h.counts.Held {
				next = h.low
			}
			return nil
		}
		lo := dueKey(h.low, 0)
		if bytes.Compare(after, lo) > 0 {
			lo = after
		}
		hi := dueKey(now.UnixNano()+1, 0)
		if bytes.Compare(lo, hi) > 0 {
			lo = hi
		}
		for row, err := range r.Scan(lo, hi, kv.ScanOptions{Limit: readyPage}) {
			if err != nil {
				return err
			}
			ready, err := readyOf(row.Key, row.Value)
			if err != nil {
				return err
			}
			page = append(page, ready)
		}
		if len(page) == readyPage {
			return nil // there is more to read first
		}
		for row, err := range r.Scan(hi, []byte{keys.QueueDue + 1}, kv.ScanOptions{KeysOnly: true, Limit: 1}) {
			if err == nil {
				next, _, err = splitDueKey(row.Key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return page, next, early, err
}
