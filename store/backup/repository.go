package backup

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	repositoryFile = "waxwing-backup"
	packFolder     = "packs/"
	snapshotFolder = "snapshots/"
	repoVersion    = 1
)

// ErrNoRepository says that a place holds no backups yet.
var ErrNoRepository = errors.New("there is no backup")

// ErrNoSnapshot says that there is no backup of that name or time.
var ErrNoSnapshot = errors.New("no such backup")

// A Repository is a place with backups. It is safe for concurrent use.
type Repository struct {
	place Place
	about about
	zstd  *zstd.Decoder
}

// about is what the repository's first file says.
type about struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Sealed  bool      `json:"sealed"` // with age
	Created time.Time `json:"created"`
}

// Open opens a repository, or returns ErrNoRepository.
func Open(ctx context.Context, p Place) (*Repository, error) {
	b, err := readAll(ctx, p, repositoryFile, maxHeader)
	if errors.Is(err, ErrNoFile) {
		return nil, fmt.Errorf("%w in %s", ErrNoRepository, p)
	}
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	r := &Repository{place: p}
	if err := json.Unmarshal(b, &r.about); err != nil {
		return nil, damagedf("%s: %w", repositoryFile, err)
	}
	if r.about.Version > repoVersion {
		return nil, fmt.Errorf("the backup in %s has format %d, and this version of waxwing knows %d at most", p, r.about.Version, repoVersion)
	}
	if _, err := hex.DecodeString(r.about.ID); err != nil || r.about.ID == "" || r.about.Version < 1 {
		return nil, damagedf("%s", repositoryFile)
	}
	if r.zstd, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxSnapshot)); err != nil {
		return nil, err
	}
	return r, nil
}

// Create makes a repository in a place that has none.
func Create(ctx context.Context, p Place, now time.Time, sealed bool) (*Repository, error) {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	b, err := json.Marshal(about{repoVersion, hex.EncodeToString(id[:]), sealed, now.UTC()})
	if err != nil {
		return nil, err
	}
	if err := p.Put(ctx, repositoryFile, append(b, '\n')); err != nil {
		return nil, fmt.Errorf("make a backup in %s: %w", p, err)
	}
	return Open(ctx, p)
}

// Close lets go of what the repository holds in memory.
func (r *Repository) Close() { r.zstd.Close() }

// ID gives the name that the repository was made with.
func (r *Repository) ID() string { return r.about.ID }

// Sealed tells whether the repository is encrypted.
func (r *Repository) Sealed() bool { return r.about.Sealed }

// Snapshots lists the backups, the oldest first. Those that cannot be read are
// left out, and told of in the error.
func (r *Repository) Snapshots(ctx context.Context) ([]Snapshot, error) {
	files, err := r.outer(ctx)
	list := make([]Snapshot, len(files))
	for i, f := range files {
		list[i] = f.Snapshot
	}
	return list, err
}

// outer reads of all snapshots what needs no key.
func (r *Repository) outer(ctx context.Context) ([]*snapshotFile, error) {
	var list []*snapshotFile
	var errs []error
	for stat, err := range r.place.List(ctx, snapshotFolder) {
		if err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		s, _, err := r.readOuter(ctx, strings.TrimPrefix(stat.Name, snapshotFolder))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *snapshotFile) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	return list, errors.Join(errs...)
}

func (r *Repository) readOuter(ctx context.Context, id string) (*snapshotFile, []byte, error) {
	b, err := readAll(ctx, r.place, snapshotName(id), maxSnapshot)
	if err != nil {
		return nil, nil, err
	}
	return decodeOuter(id, b)
}

func (r *Repository) readSnapshot(ctx context.Context, k Keys, id string) (*snapshotFile, error) {
	s, sealed, err := r.readOuter(ctx, id)
	if err != nil {
		return nil, err
	}
	return s, s.decodeInner(sealed, r.about.Sealed, k, r.zstd)
}

// Find gives the backup that is meant: by its name or the beginning of it, or
// the newest that began at or before a time, or for the zero time the newest.
func (r *Repository) Find(ctx context.Context, name string, at time.Time) (Snapshot, error) {
	list, err := r.Snapshots(ctx)
	for _, s := range slices.Backward(list) {
		if name != "" && strings.HasPrefix(s.ID, name) || name == "" && (at.IsZero() || !s.Time.Truncate(time.Second).After(at)) { // lists show seconds
			return s, nil
		}
	}
	what := "of that time or before"
	if len(list) > 0 {
		what += "; the oldest is " + list[0].ID
	}
	if name != "" {
		what = fmt.Sprintf("named %q", name)
	} else if at.IsZero() {
		what = "in " + r.place.String()
	}
	return Snapshot{}, errors.Join(fmt.Errorf("%w %s", ErrNoSnapshot, what), err)
}

// FindAfter gives the oldest backup that was made after a time; false if there is
// none. Its logs of changes may tell what was there at that time.
func (r *Repository) FindAfter(ctx context.Context, at time.Time) (Snapshot, bool) {
	list, _ := r.Snapshots(ctx) // damaged ones are for check to tell
	for _, s := range list {
		if s.Time.After(at) {
			return s, true
		}
	}
	return Snapshot{}, false
}

// packSizes lists the packs that there are.
func (r *Repository) packSizes(ctx context.Context) (map[packID]Stat, error) {
	sizes := make(map[packID]Stat)
	for stat, err := range r.place.List(ctx, packFolder) {
		if err != nil {
			return nil, err
		}
		if id, ok := parsePackID(stat.Name[strings.LastIndexByte(stat.Name, '/')+1:]); ok && stat.Name == id.name() {
			sizes[id] = stat
		}
	}
	return sizes, nil
}
