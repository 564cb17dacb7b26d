package migrate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"waxwing/format/maildir"
	"waxwing/mail"
)

// A maildirSource is a Maildir: alone, with folders beside as Maildir++ has
// them (.Lists.Go), or nested (Lists/Go).
type maildirSource struct {
	root  string
	notes []string
}

const maxDepth = 32

// isMaildir tells whether a directory is a Maildir, or holds some.
func isMaildir(dir string) bool {
	if isFolder(dir) {
		return true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() && isFolder(filepath.Join(dir, e.Name())) })
}

func isFolder(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "cur"))
	return err == nil && info.IsDir()
}

func (s *maildirSource) Notes() []string { return s.notes }
func (s *maildirSource) Close() error    { return nil }

func (s *maildirSource) Folders(context.Context) ([]Folder, error) {
	var list []Folder
	if isFolder(s.root) {
		list = append(list, Folder{Name: "INBOX", path: s.root})
	}
	if err := s.walk(s.root, nil, &list); err != nil {
		return nil, err
	}
	s.subscriptions(list)
	giveRoles(list)
	sortFolders(list)
	return list, nil
}

// walk finds the folders below one.
func (s *maildirSource) walk(dir string, above []string, list *[]Folder) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		switch {
		case name == "cur", name == "new", name == "tmp":
			continue
		case e.Type()&fs.ModeSymlink != 0 && isFolder(path):
			s.notes = append(s.notes, path+" is a link to another Maildir; import that by itself")
			continue
		case !e.IsDir():
			continue
		case len(above) >= maxDepth:
			s.notes = append(s.notes, path+" lies too deep")
			continue
		}
		levels := append(slices.Clone(above), diskLevel(name))
		if strings.HasPrefix(name, ".") && len(above) == 0 {
			levels = nil
			for level := range strings.SplitSeq(name[1:], ".") {
				levels = append(levels, diskLevel(level))
			}
		}
		if isFolder(path) {
			folder := levels
			if len(folder) > 1 && strings.EqualFold(folder[0], "INBOX") && strings.HasPrefix(name, ".") {
				folder = folder[1:] // Courier's names on the wire, written to the disk
			}
			*list = append(*list, Folder{Name: levelsName(folder), path: path})
		}
		if err := s.walk(path, levels, list); err != nil {
			return err
		}
	}
	return nil
}

// subscriptions reads the files that servers keep.
func (s *maildirSource) subscriptions(list []Folder) {
	separator := "/"
	if slices.ContainsFunc(list, func(f Folder) bool { return strings.HasPrefix(filepath.Base(f.path), ".") }) {
		separator = "."
	}
	for _, name := range []string{"subscriptions", "courierimapsubscribed"} {
		file, err := os.ReadFile(filepath.Join(s.root, name))
		if err != nil {
			continue
		}
		subscribed := map[string]bool{}
		for _, levels := range maildir.ParseSubscriptions(file, separator) {
			if name == "courierimapsubscribed" && len(levels) > 1 && levels[0] == "INBOX" {
				levels = levels[1:]
			}
			for i := range levels {
				levels[i] = diskLevel(levels[i])
			}
			subscribed[levelsName(levels)] = true
		}
		for i := range list {
			is := subscribed[list[i].Name] || list[i].Name == "INBOX"
			list[i].Subscribed = &is
		}
		return
	}
}

// extraKeywords is a file of our own for keywords that have no letter left: a
// unique name and keywords on each line.
const extraKeywords = "waxwing-keywords"

func (s *maildirSource) List(_ context.Context, f *Folder) ([]Message, error) {
	f.ID = sourceID("maildir", f.Name)
	table, extra := readKeywords(f.path)
	var list []Message
	seen := map[string]bool{}
	for _, sub := range []string{"cur", "new"} {
		dir := filepath.Join(f.path, sub)
		entries, err := readNames(dir)
		if err != nil {
			return nil, err
		}
		for _, file := range entries {
			if strings.HasPrefix(file, ".") {
				continue
			}
			n := maildir.ParseName(file)
			m := Message{Flags: n.Flags, Size: n.Wire, path: filepath.Join(dir, file), Keywords: table.Words(n.Letters)}
			m.Keywords = append(m.Keywords, extra[n.Unique]...)
			if n.Passed {
				m.Keywords = append(m.Keywords, "$Forwarded")
			}
			if n.Size < 0 {
				info, err := os.Stat(m.path)
				if err != nil || !info.Mode().IsRegular() {
					if err == nil {
						s.notes = append(s.notes, m.path+" is not a file")
					}
					continue // it has been taken away, or is no message
				}
				n.Size = info.Size()
			}
			if m.Size < 0 {
				m.Size = n.Size
			}
			m.Item = sourceID(n.Unique, strconv.FormatInt(n.Size, 10))
			if seen[m.Item] {
				continue // it was moved from new to cur meanwhile
			}
			seen[m.Item] = true
			m.at = n.Time()
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b Message) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(filepath.Base(a.path), filepath.Base(b.path)))
	})
	return list, nil
}

// readNames reads the names of a directory, in no order; none if it is not
// there.
func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

func readKeywords(dir string) (maildir.Keywords, map[string][]mail.Keyword) {
	file, _ := os.ReadFile(filepath.Join(dir, "dovecot-keywords"))
	table := maildir.ParseKeywords(file)
	extra := map[string][]mail.Keyword{}
	file, _ = os.ReadFile(filepath.Join(dir, extraKeywords))
	for line := range bytes.Lines(file) {
		words := strings.Fields(string(line))
		for i := 1; i < len(words); i++ {
			extra[words[0]] = append(extra[words[0]], mail.Keyword(words[i]))
		}
	}
	return table, extra
}

func (s *maildirSource) Fetch(ctx context.Context, f *Folder, list []Message, fn func(int, Text, error) error) error {
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.fetch(f, &list[i], func(t Text, err error) error { return fn(i, t, err) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *maildirSource) fetch(f *Folder, m *Message, fn func(Text, error) error) error {
	file, err := os.Open(m.path)
	if errors.Is(err, fs.ErrNotExist) { // its flags have changed, and so its name
		file, err = reopen(f.path, m.path)
	}
	if err != nil {
		return fn(Text{}, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fn(Text{}, err)
	}
	t := Text{Date: info.ModTime(), Size: info.Size()}
	n := maildir.ParseName(filepath.Base(m.path))
	if n.Wire == t.Size { // it lies there as it travels
		t.Reader = file
		return fn(t, nil)
	}
	if t.Size <= inMemory {
		text, err := io.ReadAll(file)
		if err != nil {
			return fn(Text{}, err)
		}
		text, _ = toCRLF(text, false)
		t.Reader, t.Size = bytes.NewReader(text), int64(len(text))
		return fn(t, nil)
	}
	if t.Size, err = io.Copy(io.Discard, newCRLFReader(file)); err != nil {
		return fn(Text{}, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fn(Text{}, err)
	}
	t.Reader = newCRLFReader(file)
	return fn(t, nil)
}

// reopen finds a message under another name.
func reopen(dir, path string) (*os.File, error) {
	unique := maildir.ParseName(filepath.Base(path)).Unique
	for _, sub := range []string{"cur", "new"} {
		names, err := readNames(filepath.Join(dir, sub))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if maildir.ParseName(name).Unique == unique {
				return os.Open(filepath.Join(dir, sub, name))
			}
		}
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}
