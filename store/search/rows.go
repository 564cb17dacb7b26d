package search

import (
	"context"
	"encoding/binary"
	"errors"
	"sort"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A rowTable keeps abstracts in memory: those that are stored, by number, and
// those that were made because the index does not reach so far yet.
type rowTable struct {
	loaded  bool // stored ones are there up to through
	tooMany bool // or would be too much
	through mail.EmailID
	ids     []mail.EmailID
	at      []rowPlace
	chunks  [][]byte
	octets  int64
	fresh   map[mail.EmailID]abstract.Row
}

type rowPlace struct{ chunk, from, to uint32 }

const (
	rowChunk = 1 << 20
	maxFresh = 20_000
	freshRow = 400 // octets or so of one that is fresh
)

func (t *rowTable) cost() int64 {
	return t.octets + 20*int64(len(t.ids)) + freshRow*int64(len(t.fresh))
}

// add adds a row behind those that there are.
func (t *rowTable) add(id mail.EmailID, row []byte) {
	n := len(t.chunks)
	if n == 0 || len(t.chunks[n-1])+len(row) > cap(t.chunks[n-1]) {
		t.chunks = append(t.chunks, make([]byte, 0, max(rowChunk, len(row))))
		n++
	}
	c := &t.chunks[n-1]
	from := len(*c)
	*c = append(*c, row...)
	t.ids = append(t.ids, id)
	t.at = append(t.at, rowPlace{uint32(n - 1), uint32(from), uint32(len(*c))})
	t.octets += int64(len(row))
}

// find gives a row; near is where the last one was.
func (t *rowTable) find(id mail.EmailID, near *int) abstract.Row {
	i := *near + 1
	if i >= len(t.ids) || t.ids[i] != id {
		i = sort.Search(len(t.ids), func(i int) bool { return t.ids[i] >= id })
		if i == len(t.ids) || t.ids[i] != id {
			return t.fresh[id]
		}
	}
	*near = i
	p := t.at[i]
	return abstract.Row(t.chunks[p.chunk][p.from:p.to:p.to])
}

// Rows gives the abstracts of emails, nil for those that there are not (or
// that cannot be read). They must not be changed.
func (a *Account) Rows(ctx context.Context, ids []mail.EmailID) ([]abstract.Row, error) {
	if err := a.loadRows(ctx); err != nil {
		return nil, err
	}
	list := make([]abstract.Row, len(ids))
	var missing []int
	a.mu.Lock()
	near := -1
	for i, id := range ids {
		if list[i] = a.rows.find(id, &near); list[i] == nil {
			missing = append(missing, i)
		}
	}
	tooMany := a.rows.tooMany
	a.mu.Unlock()
	if len(missing) > 0 && tooMany {
		var err error
		if missing, err = a.readRows(ctx, ids, list, missing); err != nil {
			return nil, err
		}
	}
	return list, a.makeRows(ctx, ids, list, missing)
}

// rowsAtOnce is how many are read, or made, in one round trip.
const rowsAtOnce = 256

// readRows reads stored rows of an account that has too many to keep. It gives
// those that are still missing.
func (a *Account) readRows(ctx context.Context, ids []mail.EmailID, list []abstract.Row, missing []int) ([]int, error) {
	var still []int
	for len(missing) > 0 {
		part := missing[:min(len(missing), rowsAtOnce)]
		missing = missing[len(part):]
		want := make([][]byte, len(part))
		for k, i := range part {
			want[k] = abstractKey(ids[i])
		}
		err := a.x.db.View(ctx, a.part, func(r kv.Reader) error {
			got, err := r.GetMany(want)
			if err != nil {
				return err
			}
			for k, i := range part {
				if row := abstract.Row(append([]byte(nil), got[k]...)); row.Check() == nil {
					list[i] = row
				} else {
					still = append(still, i)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return still, nil
}

// maxUnreadable is after how many messages that cannot be read it is the store
// that cannot.
const maxUnreadable = 100

// makeRows makes the rows that are not stored yet.
func (a *Account) makeRows(ctx context.Context, ids []mail.EmailID, list []abstract.Row, missing []int) error {
	for unreadable := 0; len(missing) > 0; {
		part := missing[:min(len(missing), rowsAtOnce)]
		want := make([]mail.EmailID, len(part))
		for k, i := range part {
			want[k] = ids[i]
		}
		facts, err := a.mail.Facts(ctx, want)
		if err != nil { // the first of them cannot be read: it has no abstract
			if unreadable++; unreadable > maxUnreadable || ctx.Err() != nil {
				return err
			}
			missing = missing[1:]
			continue
		}
		a.mu.Lock()
		for k, f := range facts {
			if f == nil {
				continue
			}
			row := abstract.Make(f.Message)
			list[part[k]] = row
			if a.rows.fresh == nil {
				a.rows.fresh = make(map[mail.EmailID]abstract.Row)
			}
			if len(a.rows.fresh) < maxFresh {
				a.rows.fresh[ids[part[k]]] = row
			}
		}
		a.mu.Unlock()
		missing = missing[len(facts):]
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// loadRows reads the stored rows into memory, and later those that have been
// added.
func (a *Account) loadRows(ctx context.Context) error {
	a.mu.Lock()
	behind := !a.rows.loaded || a.state.through > a.rows.through && len(a.rows.fresh) > maxFresh/4
	cost := int64(0)
	a.mu.Unlock()
	if !behind || a.x.db == nil {
		return nil
	}
	err := a.x.db.View(ctx, a.part, func(r kv.Reader) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if err := a.read(r); err != nil {
			return err
		}
		t := &a.rows
		if t.loaded && t.through >= a.state.through {
			return nil
		}
		if !t.tooMany {
			// What is behind through may not have been written whole.
			hi := abstractKey(a.state.through + 1)
			for it, err := range r.Scan(abstractKey(t.through+1), hi, kv.ScanOptions{}) {
				if err != nil {
					return err
				}
				if len(it.Key) != 9 || it.Key[0] != keys.IndexAbstract || abstract.Row(it.Value).Check() != nil {
					continue
				}
				t.add(mail.EmailID(binary.BigEndian.Uint64(it.Key[1:])), it.Value)
				if t.octets > a.x.o.Memory/2 {
					*t = rowTable{tooMany: true, fresh: t.fresh}
					break
				}
			}
		}
		t.loaded, t.through = true, a.state.through
		for id := range t.fresh {
			if id <= t.through && !t.tooMany {
				delete(t.fresh, id)
			}
		}
		cost = t.cost() + a.keptCost()
		return nil
	})
	if errors.Is(err, errCorrupt) {
		return a.repair(ctx, err)
	}
	if err == nil && cost > 0 {
		a.x.weigh(a, cost)
	}
	return err
}
