package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// A Directory is the directory of one store. All methods are safe for
// concurrent use.
type Directory struct {
	db kv.Store

	// current is what may be believed without asking the engine; nil while
	// nobody watches for changes.
	current atomic.Pointer[cache]

	mu      sync.Mutex // guards what follows, and stores to current
	flushed kv.Version // current holds nothing that is older
}

// New gives the directory that is kept in db. Until Run runs, every answer is
// read from the engine.
func New(db kv.Store) *Directory { return &Directory{db: db} }

// Run watches for changes, made here or on other nodes, so that answers can
// be kept in memory meanwhile. It returns nil when ctx ends, and an error
// when the store can not be watched. It runs once at a time.
func (d *Directory) Run(ctx context.Context) error {
	changes, err := d.db.Watch(ctx, keys.Directory)
	if err != nil {
		return err
	}
	// From here on every commit is heard of, so what is read may be kept.
	d.mu.Lock()
	d.flushed = 0
	d.current.Store(new(cache))
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.current.Store(nil)
	}()
	for version := range changes {
		d.flush(version)
	}
	if ctx.Err() != nil {
		return nil
	}
	return kv.ErrClosed
}

// flush forgets what may be older than version, which is durable.
func (d *Directory) flush(version kv.Version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if version > d.flushed && d.current.Load() != nil {
		d.flushed = version
		d.current.Store(new(cache))
	}
}

// update changes the directory. When it returns nil the change is durable
// and every answer of this Directory shows it.
func (d *Directory) update(ctx context.Context, fn func(kv.Txn) error) error {
	c, err := d.db.Update(ctx, keys.Directory, fn)
	if err != nil {
		return err
	}
	if err := c.Wait(ctx); err != nil {
		return err
	}
	d.flush(c.Version())
	return nil
}

// errCold: the answer is not in memory.
var errCold = errors.New("not in memory")

// ask runs fn on what is in memory and, where that is not enough, again on a
// snapshot of the engine; what is read then stays in memory.
func (d *Directory) ask(ctx context.Context, fn func(lookup) error) error {
	c := d.current.Load()
	if c != nil {
		if err := fn(lookup{cache: c}); err != errCold {
			return err
		}
	} else {
		c = new(cache) // for this question only
	}
	return d.db.View(ctx, keys.Directory, func(r kv.Reader) error {
		return fn(lookup{cache: c, reader: r})
	})
}

// A lookup finds records in a cache and, if there is a reader, behind it.
type lookup struct {
	cache  *cache
	reader kv.Reader
}

// inTxn looks up in a transaction and remembers nothing beyond it.
func inTxn(tx kv.Txn) lookup { return lookup{cache: new(cache), reader: tx} }

// domain gives the domain of a folded name, nil if it is not ours.
func (l lookup) domain(name string) (*Domain, error) {
	return find(l, &l.cache.domains, name, domainKey)
}

// name gives what a folded address stands for, nil for nothing.
func (l lookup) name(a mail.Address) (*nameRecord, error) {
	return find(l, &l.cache.names, a, nameKey)
}

// warm reads many in one round trip, so that name then finds
// them in memory.
func (l lookup) warm(addresses []mail.Address) error {
	if l.reader == nil || len(addresses) < 2 {
		return nil
	}
	var cold []mail.Address
	var coldKeys [][]byte
	for _, a := range addresses {
		if _, known := l.cache.names.get(a); !known {
			cold, coldKeys = append(cold, a), append(coldKeys, nameKey(a))
		}
	}
	values, err := l.reader.GetMany(coldKeys)
	if err != nil {
		return err
	}
	for i, value := range values {
		if value == nil {
			l.cache.names.put(cold[i], nil)
			continue
		}
		n := new(nameRecord)
		if err := decode(value, n); err != nil {
			return err
		}
		l.cache.names.put(cold[i], n)
	}
	return nil
}

// find looks for a record in m and then under its key; nil if there is none.
func find[K comparable, V any](l lookup, m *memo[K, V], k K, key func(K) []byte) (*V, error) {
	if v, known := m.get(k); known {
		return v, nil
	}
	if l.reader == nil {
		return nil, errCold
	}
	value, err := l.reader.Get(key(k))
	if errors.Is(err, kv.ErrNotFound) {
		m.put(k, nil)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := new(V)
	if err := decode(value, v); err != nil {
		return nil, err
	}
	m.put(k, v)
	return v, nil
}

// Secret gives 32 octets that only this installation knows, always the same
// ones, made when they are first asked for.
func (d *Directory) Secret(ctx context.Context) ([]byte, error) {
	var secret []byte
	get := func(r kv.Reader) error {
		value, err := r.Get(metaKey("secret"))
		if err != nil {
			return err
		}
		return decode(value, &secret)
	}
	err := d.db.View(ctx, keys.Directory, get)
	if !errors.Is(err, kv.ErrNotFound) {
		return secret, err
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err = d.update(ctx, func(tx kv.Txn) error {
		if err := get(tx); !errors.Is(err, kv.ErrNotFound) {
			return err // nil: another was first
		}
		secret = fresh
		value, err := encode(secret)
		if err == nil {
			tx.Put(metaKey("secret"), value)
		}
		return err
	})
	return secret, err
}
