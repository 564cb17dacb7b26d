package pgkv

import (
	"bytes"
	"context"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"waxwing/store/kv"
)

// A source runs statements that read, all on one state of the database.
type source interface {
	// read runs a query whose rows are keys and values. What into held before
	// is gone. After an error nothing more can be read.
	read(ctx context.Context, q query, into *rows) error
}

// A query is a statement with its arguments.
type query struct {
	sql  string
	args []any
}

// rows is what a query has given.
type rows struct {
	items []kv.Item
	arena []byte // what the items point to
}

func (r *rows) reset() { r.items, r.arena = r.items[:0], r.arena[:0] }

// copied gives a copy of b that lives as long as the rows. It is never nil.
func (r *rows) copied(b []byte) []byte {
	if cap(r.arena)-len(r.arena) < len(b) || r.arena == nil {
		r.arena = make([]byte, 0, max(512, min(2*cap(r.arena), 64<<10), len(b)))
	}
	n := len(r.arena)
	r.arena = append(r.arena, b...)
	return r.arena[n:len(r.arena):len(r.arena)]
}

// take keeps all that comes from the database.
func (r *rows) take(from pgx.Rows) error {
	r.reset()
	defer from.Close()
	var key, value pgtype.DriverBytes
	for from.Next() {
		if raw := from.RawValues(); isBinary(from.FieldDescriptions()) && len(raw) == 2 {
			key, value = raw[0], raw[1] // as they are, without a plan for each
		} else if err := from.Scan(&key, &value); err != nil {
			return err
		}
		item := kv.Item{Key: r.copied(key)}
		if value != nil {
			item.Value = r.copied(value)
		}
		r.items = append(r.items, item)
	}
	return from.Err()
}

// isBinary tells whether octets come as they are, not in hex.
func isBinary(fields []pgconn.FieldDescription) bool {
	for _, f := range fields {
		if f.Format != pgtype.BinaryFormatCode || f.DataTypeOID != pgtype.ByteaOID {
			return false
		}
	}
	return true
}

const (
	selectOne  = `select key, value from kv where partition = $1 and key = $2`
	selectMany = `select t.key, (select value from kv where kv.partition = $1 and kv.key = t.key)
 from unnest($2::bytea[]) as t(key)`
)

// filled gives b, and for nil, which would be NULL, what is empty.
func filled(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// getMany reads keys in one round trip. Those that are missing are nil.
func getMany(ctx context.Context, from source, p kv.Partition, keys [][]byte) ([][]byte, error) {
	values := make([][]byte, len(keys))
	if err := ctx.Err(); err != nil || len(keys) == 0 {
		return values, err
	}
	var found rows
	if len(keys) == 1 {
		err := from.read(ctx, query{selectOne, []any{int64(p), filled(keys[0])}}, &found)
		if err == nil && len(found.items) > 0 {
			values[0] = found.items[0].Value
		}
		return values, err
	}
	asked := make([][]byte, len(keys))
	for i, key := range keys {
		asked[i] = filled(key)
	}
	if err := from.read(ctx, query{selectMany, []any{int64(p), asked}}, &found); err != nil {
		return nil, err
	}
	byKey := make(map[string][]byte, len(found.items))
	for _, item := range found.items {
		byKey[string(item.Key)] = item.Value
	}
	for i, key := range keys {
		values[i] = byKey[string(key)]
	}
	return values, nil
}

// Pages of a scan: the first is small, those after it are about so large.
const (
	firstPage = 256
	mostRows  = 8192
	pageSize  = 1 << 20 // octets
)

// A span is a part of a scan that the database has still to give.
type span struct {
	p      kv.Partition
	lo, hi []byte // hi nil for the end
	o      kv.ScanOptions
	above  bool // lo itself has been seen
}

// query asks for the next n rows.
func (s *span) query(n int) query {
	sql := "select key, value"
	if s.o.KeysOnly {
		sql = "select key, null::bytea"
	}
	sql += " from kv where partition = $1 and key "
	if s.above {
		sql += "> $2"
	} else {
		sql += ">= $2"
	}
	args := []any{int64(s.p), filled(s.lo), n}
	if s.hi != nil {
		sql += " and key < $4"
		args = append(args, s.hi)
	}
	if s.o.Reverse {
		return query{sql + " order by key desc limit $3", args}
	}
	return query{sql + " order by key limit $3", args}
}

// scan goes through the rows of the database, page by page; yield returns
// false to stop. Items are valid until the next step.
func (s *span) scan(ctx context.Context, from source, yield func(kv.Item) bool) error {
	if s.hi != nil && bytes.Compare(s.lo, s.hi) >= 0 {
		return nil
	}
	var page rows
	left := s.o.Limit
	for n := firstPage; ; {
		if left > 0 {
			n = min(n, left)
		}
		if err := from.read(ctx, s.query(n), &page); err != nil {
			return err
		}
		octets := 0
		for _, item := range page.items {
			if err := ctx.Err(); err != nil {
				return err
			}
			octets += len(item.Key) + len(item.Value)
			if !yield(item) {
				return nil
			}
		}
		got := len(page.items)
		if left -= got; got < n || left == 0 {
			return nil
		}
		last := bytes.Clone(page.items[got-1].Key)
		if s.o.Reverse {
			s.hi = last
		} else {
			s.lo, s.above = last, true
		}
		n = max(1, min(mostRows, pageSize/max(octets/got, 1)))
	}
}

// A reader reads one state of a partition.
type reader struct {
	ctx  context.Context
	from source
	p    kv.Partition
}

func (r *reader) Get(key []byte) ([]byte, error) {
	values, err := getMany(r.ctx, r.from, r.p, [][]byte{key})
	if err != nil {
		return nil, explain(r.ctx, "read key", err)
	}
	if values[0] == nil {
		return nil, kv.ErrNotFound
	}
	return values[0], nil
}

func (r *reader) GetMany(keys [][]byte) ([][]byte, error) {
	values, err := getMany(r.ctx, r.from, r.p, keys)
	if err != nil {
		return nil, explain(r.ctx, "read keys", err)
	}
	return values, nil
}

func (r *reader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		s := span{p: r.p, lo: lo, hi: hi, o: o}
		err := s.scan(r.ctx, r.from, func(item kv.Item) bool { return yield(item, nil) })
		if err != nil {
			yield(kv.Item{}, explain(r.ctx, "scan", err))
		}
	}
}
