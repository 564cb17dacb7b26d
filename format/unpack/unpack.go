// Package unpack takes files out of gzip (RFC 1952) and zip archives that
// strangers have sent, and gives up early on those that are made to do harm:
// everything that they can make grow has a limit.
package unpack

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Limits bound what comes out of one archive. Zero values stand for the
// defaults.
type Limits struct {
	// Total is how many octets come out in all, whatever lies in between
	// included: 32 MiB.
	Total int64
	// Ratio is how many octets may come out of each that goes in, once there
	// is more than a megabyte: 250.
	Ratio int64
	// Files is how many files come out: 20.
	Files int
	// Depth is how many archives may lie in each other: 3.
	Depth int
}

// free is how much comes out before the ratio counts.
const free = 1 << 20

// Errors that callers branch on. Both may come with files that were taken out
// before.
var (
	// ErrLimit says that there is more in it than the limits permit.
	ErrLimit = errors.New("the archive holds more than is permitted")
	// ErrDamaged says that it cannot be read.
	ErrDamaged = errors.New("the archive is damaged")
)

// A File is what came out.
type File struct {
	Name string // as the archive calls it, without folders; may be empty
	Data []byte
}

// Files gives what a file holds: the file itself unless it is an archive. What
// it is, its first octets say; names and media types lie.
func Files(name string, data []byte, l Limits) ([]File, error) {
	orElse(&l.Total, 32<<20)
	orElse(&l.Ratio, 250)
	orElse(&l.Files, 20)
	orElse(&l.Depth, 3)
	u := &unpacker{limits: l, left: max(free, l.Ratio*int64(len(data)))}
	u.left = min(u.left, l.Total)
	err := u.open(name, data, 0)
	return u.files, err
}

func orElse[T comparable](v *T, preset T) {
	if *v == *new(T) {
		*v = preset
	}
}

// An unpacker is at work on one archive.
type unpacker struct {
	limits Limits
	left   int64 // octets that may still come out
	files  []File
}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zipMagic  = []byte("PK\x03\x04")
	// zipEntry begins each entry of a zip's directory.
	zipEntry = []byte("PK\x01\x02")
)

func (u *unpacker) open(name string, data []byte, depth int) error {
	gz, zipped := bytes.HasPrefix(data, gzipMagic), bytes.HasPrefix(data, zipMagic)
	switch {
	case (gz || zipped) && depth == u.limits.Depth:
		return fmt.Errorf("%w: %d archives in each other", ErrLimit, depth+1)
	case gz:
		return u.gunzip(name, data, depth)
	case zipped:
		return u.unzip(data, depth)
	case len(u.files) == u.limits.Files:
		return fmt.Errorf("%w: %d files", ErrLimit, u.limits.Files)
	}
	u.files = append(u.files, File{Name: base(name), Data: data})
	return nil
}

func (u *unpacker) gunzip(name string, data []byte, depth int) error {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return damaged(err)
	}
	inner, err := u.read(r)
	if err != nil {
		return err
	}
	if r.Name != "" {
		name = r.Name
	} else {
		name = strings.TrimSuffix(name, ".gz")
	}
	return u.open(name, inner, depth+1)
}

func (u *unpacker) unzip(data []byte, depth int) error {
	// The directory is read whole before anything else, so it is counted first.
	if n := bytes.Count(data, zipEntry); n > u.limits.Files {
		return fmt.Errorf("%w: %d files", ErrLimit, n)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // paths are not used
		return damaged(err)
	}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return damaged(err)
		}
		inner, err := u.read(r)
		err = errors.Join(err, r.Close())
		if err != nil {
			return err
		}
		if err := u.open(f.Name, inner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// read reads one file, as far as the limits permit.
func (u *unpacker) read(r io.Reader) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, u.left+1))
	if n > u.left {
		return nil, fmt.Errorf("%w: too many octets", ErrLimit)
	}
	u.left -= n
	if err != nil {
		return nil, damaged(err)
	}
	return out.Bytes(), nil
}

func damaged(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }

func base(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == "/" {
		return ""
	}
	return name
}
