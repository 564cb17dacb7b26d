package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// A LocalFile lies beside the store and goes with it: a key, a certificate,
// the configuration.
type LocalFile struct {
	Name string // in the backup: with slashes, below the data directory
	Path string // here
}

// maxFile bounds one of them.
const maxFile = 1 << 30

// file copies a file into packs.
func (r *run) file(l LocalFile) (file, error) {
	in, err := os.Open(l.Path)
	if err != nil {
		return file{}, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return file{}, errors.New("not a file, or too large")
	}
	f := file{name: l.Name, mode: uint32(info.Mode().Perm()), modified: max(0, info.ModTime().Unix())}
	piece := make([]byte, min(pieceSize, info.Size()+1))
	for {
		n, err := io.ReadFull(in, piece)
		if n > 0 {
			at, err := r.packer.add(dataPack, piece[:n], nil)
			if err != nil {
				return file{}, err
			}
			f.pieces, f.size = append(f.pieces, at), f.size+uint64(n)
			r.prog.Read.Add(int64(n))
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return f, nil
		}
		if err != nil {
			return file{}, err
		}
	}
}

// checkName refuses names that lead elsewhere.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) || path.Clean(name) != name {
		return damagedf("name of a file: %q", name)
	}
	return nil
}

// A RestoredFile is one file out of a backup.
type RestoredFile struct {
	Name     string
	Mode     fs.FileMode
	Modified int64 // Unix seconds
	Size     uint64
	pieces   []ref
	objects  *objects
}

// WriteTo writes what the file holds.
func (f *RestoredFile) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, at := range f.pieces {
		b, err := f.objects.read(at)
		if err != nil {
			return total, err
		}
		n, err := w.Write(b)
		total += int64(n)
		if err != nil {
			return total, fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return total, nil
}

// ReadFile writes to w what one file of a backup holds.
func ReadFile(ctx context.Context, repo *Repository, k Keys, id, name string, w io.Writer) error {
	s, err := repo.readSnapshot(ctx, k, id)
	if err != nil {
		return err
	}
	for _, f := range s.files {
		if f.name != name {
			continue
		}
		objects, err := newObjects(ctx, repo.place, k, repo.Sealed())
		if err != nil {
			return err
		}
		defer objects.close()
		_, err = (&RestoredFile{Name: name, pieces: f.pieces, objects: objects}).WriteTo(w)
		return err
	}
	return fmt.Errorf("%s in the backup %s: %w", name, s.ID, ErrNoFile)
}
