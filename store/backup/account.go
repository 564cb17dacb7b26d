package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"
	"sort"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
)

// An OpenedAccount is one account as a backup holds it. Its rows are in
// memory; bodies are read out of the backup when they are asked for.
type OpenedAccount struct {
	directory.Account
	Credentials directory.Credentials
	Aliases     []directory.Alias // that lead to it
	Mail        *mailbox.Account

	close []func() error
}

// OpenAccount opens an account in a backup by its address, also one that has
// been deleted since. ErrNoSnapshot, directory.ErrNotFound and ErrSealed are
// what people can do something about.
func OpenAccount(ctx context.Context, repo *Repository, k Keys, id string, address mail.Address) (_ *OpenedAccount, err error) {
	s, err := repo.readSnapshot(ctx, k, id)
	if err != nil {
		return nil, err
	}
	objects, err := newObjects(ctx, repo.place, k, repo.Sealed())
	if err != nil {
		return nil, err
	}
	a := &OpenedAccount{close: []func() error{func() error { objects.close(); return nil }}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	names := &lazyStore{Store: memkv.New(), objects: objects}
	defer names.Close()
	if err := names.load(ctx, s, keys.Directory); err != nil {
		return nil, err
	}
	if err := a.describe(ctx, directory.New(names), address); err != nil {
		return nil, fmt.Errorf("%s in the backup %s: %w", address, s.ID, err)
	}
	rows := &lazyStore{Store: memkv.New(), objects: objects}
	a.close = append(a.close, rows.Close)
	if err := rows.load(ctx, s, keys.Account(a.ID)); err != nil {
		return nil, err
	}
	mailboxes := mailbox.New(rows, rows.blobs(), mailbox.Options{})
	a.close = append(a.close, mailboxes.Close)
	a.Mail = mailboxes.Account(a.ID)
	return a, nil
}

// describe reads what the directory says of the account.
func (a *OpenedAccount) describe(ctx context.Context, dir *directory.Directory, address mail.Address) (err error) {
	if a.Account, err = dir.AccountByAddress(ctx, address); err != nil {
		return err
	}
	if a.Credentials, err = dir.Login(ctx, a.Address.String()); err != nil {
		return err
	}
	for alias, err := range dir.Aliases(ctx, mail.Address{}) {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(alias.Targets, func(to mail.Address) bool { return directory.Fold(to) == directory.Fold(a.Address) }) {
			a.Aliases = append(a.Aliases, alias)
		}
	}
	return nil
}

// Close closes the account.
func (a *OpenedAccount) Close() error {
	var errs []error
	for i := len(a.close) - 1; i >= 0; i-- {
		errs = append(errs, a.close[i]())
	}
	return errors.Join(errs...)
}

// A lazyStore holds partitions of a backup. Bodies stay where they are until
// they are read.
type lazyStore struct {
	kv.Store
	objects *objects
	refs    map[string]ref
	large   []largeBody // in order
	owner   mail.AccountID
}

// load loads one partition.
func (l *lazyStore) load(ctx context.Context, s *snapshotFile, p kv.Partition) error {
	i := sort.Search(len(s.parts), func(i int) bool { return s.parts[i].partition >= p })
	if i == len(s.parts) || s.parts[i].partition != p {
		return fmt.Errorf("the backup %s has nothing of partition %x", s.ID, uint64(p))
	}
	t, err := readTree(l.objects, s.parts[i])
	if err != nil {
		return err
	}
	l.refs, l.large, l.owner = make(map[string]ref), t.bodies, owner(p)
	var batch []kv.Item
	size := 0
	write := func() error {
		err := kv.Apply(ctx, l.Store, p, func(tx kv.Txn) error {
			for _, it := range batch {
				tx.Put(it.Key, it.Value)
			}
			return nil
		})
		batch, size = batch[:0], 0
		return err
	}
	err = t.eachRow(l.objects, func(key, value []byte, at ref) error {
		if value == nil {
			l.refs[string(key)] = at
		}
		batch = append(batch, kv.Item{Key: bytes.Clone(key), Value: append([]byte{}, value...)})
		if size += len(key) + len(value); size >= batchOctets || len(batch) >= batchRows {
			return write()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return write()
}

// View implements kv.Store.
func (l *lazyStore) View(ctx context.Context, p kv.Partition, fn func(kv.Reader) error) error {
	return l.Store.View(ctx, p, func(r kv.Reader) error { return fn(lazyReader{r, l}) })
}

// Update implements kv.Store: a backup does not change.
func (l *lazyStore) Update(context.Context, kv.Partition, func(kv.Txn) error) (kv.Commit, error) {
	return nil, kv.ErrReadOnly
}

type lazyReader struct {
	kv.Reader
	l *lazyStore
}

func (r lazyReader) fetch(key, value []byte) ([]byte, error) {
	at, ok := r.l.refs[string(key)]
	if value == nil || !ok {
		return value, nil
	}
	return r.l.objects.read(at)
}

func (r lazyReader) Get(key []byte) ([]byte, error) {
	value, err := r.Reader.Get(key)
	if err != nil {
		return nil, err
	}
	return r.fetch(key, value)
}

func (r lazyReader) GetMany(keys [][]byte) ([][]byte, error) {
	values, err := r.Reader.GetMany(keys)
	for i := 0; i < len(values) && err == nil; i++ {
		values[i], err = r.fetch(keys[i], values[i])
	}
	return values, err
}

func (r lazyReader) Scan(lo, hi []byte, o kv.ScanOptions) iter.Seq2[kv.Item, error] {
	return func(yield func(kv.Item, error) bool) {
		for it, err := range r.Reader.Scan(lo, hi, o) {
			if err == nil {
				it.Value, err = r.fetch(it.Key, it.Value)
			}
			if !yield(it, err) || err != nil {
				return
			}
		}
	}
}

func (l *lazyStore) blobs() blob.Store { return lazyBlobs{l} }

// lazyBlobs gives the large bodies of a partition.
type lazyBlobs struct{ l *lazyStore }

// Open implements blob.Store.
func (b lazyBlobs) Open(_ context.Context, key blob.Key) (blob.Blob, error) {
	list := b.l.large
	i := sort.Search(len(list), func(i int) bool { return bytes.Compare(list[i].sum[:], key.Sum[:]) >= 0 })
	if i == len(list) || list[i].sum != key.Sum || key.Owner != b.l.owner {
		return nil, fmt.Errorf("body %v is not in the backup: %w", key.Sum, blob.ErrNotFound)
	}
	return &lazyBlob{objects: b.l.objects, body: list[i], hash: sha256.New()}, nil
}

// Create implements blob.Store.
func (lazyBlobs) Create(context.Context) (blob.Spool, error) { return nil, kv.ErrReadOnly }

// Delete implements blob.Store.
func (lazyBlobs) Delete(context.Context, blob.Key) error { return kv.ErrReadOnly }

// Reap implements blob.Store.
func (lazyBlobs) Reap(context.Context, blob.Stat) (bool, error) { return false, kv.ErrReadOnly }

// List implements blob.Store.
func (b lazyBlobs) List(context.Context, mail.AccountID) iter.Seq2[blob.Stat, error] {
	return func(yield func(blob.Stat, error) bool) {
		for _, l := range b.l.large {
			if !yield(blob.Stat{Key: blob.Key{Owner: b.l.owner, Sum: l.sum}, Size: l.size}, nil) {
				return
			}
		}
	}
}

// Close implements blob.Store.
func (lazyBlobs) Close() error { return nil }

// A lazyBlob reads the pieces of a large body.
type lazyBlob struct {
	objects *objects
	body    largeBody
	at      int64
	hash    hash.Hash
}

func (b *lazyBlob) Size() mail.ByteCount { return b.body.size }
func (b *lazyBlob) Close() error         { return nil }

// ReadAt implements io.ReaderAt. All pieces but the last are of one size.
func (b *lazyBlob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	start := int64(0)
	for _, at := range b.body.pieces {
		end := start + int64(at.length)
		if off+int64(n) < end && n < len(p) {
			piece, err := b.objects.read(at)
			if err != nil {
				return n, err
			}
			n += copy(p[n:], piece[off+int64(n)-start:])
		}
		start = end
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Read checks the sum at the end.
func (b *lazyBlob) Read(p []byte) (int, error) {
	n, err := b.ReadAt(p, b.at)
	b.hash.Write(p[:n])
	b.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	if err == io.EOF && blob.Sum(b.hash.Sum(nil)) != b.body.sum {
		err = fmt.Errorf("body %v: %w", b.body.sum, blob.ErrCorrupt)
	}
	return n, err
}
