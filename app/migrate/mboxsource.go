package migrate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"waxwing/format/mbox"
)

// An mboxSource is an mbox file, or a tree of them: a folder's own messages
// lie in a file, those of the folders below in a directory of the same name,
// with ".sbd" behind it where Thunderbird made it.
type mboxSource struct {
	root   string
	format mbox.Format
	notes  []string
	reader *mbox.Reader // of the folder listed last
	file   *os.File
	path   string
}

func (s *mboxSource) Notes() []string { return s.notes }

func (s *mboxSource) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.reader = nil, nil
	return err
}

func (s *mboxSource) Folders(context.Context) ([]Folder, error) {
	info, err := os.Stat(s.root)
	if err != nil {
		return nil, err
	}
	var list []Folder
	if info.IsDir() {
		if err := s.walk(s.root, nil, &list); err != nil {
			return nil, err
		}
	} else {
		list = append(list, Folder{Name: spoolName(s.root), path: s.root})
	}
	giveRoles(list)
	for i := range list {
		if list[i].Role == "inbox" {
			list[i].Name = "INBOX"
		}
	}
	sortFolders(list)
	return list, nil
}

// spoolName gives the name of the mailbox of a single file. What lies where
// systems deliver mail is somebody's INBOX.
func spoolName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	base := trimMbox(filepath.Base(path))
	switch dir := filepath.Dir(path); {
	case strings.EqualFold(base, "mbox"), dir == "/var/mail", dir == "/var/spool/mail":
		return "INBOX"
	}
	return levelsName([]string{diskLevel(base)})
}

func trimMbox(name string) string {
	if ext := filepath.Ext(name); strings.EqualFold(ext, ".mbox") || strings.EqualFold(ext, ".mbx") {
		return name[:len(name)-len(ext)]
	}
	return name
}

func (s *mboxSource) walk(dir string, above []string, list *[]Folder) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		level := strings.TrimSuffix(name, ".sbd")
		switch {
		case strings.HasPrefix(name, "."):
		case e.IsDir() && len(above) >= maxDepth:
			s.notes = append(s.notes, path+" lies too deep")
		case e.IsDir():
			// Apple Mail exports a folder as Name.mbox/mbox.
			if isMbox(filepath.Join(path, "mbox")) && strings.HasSuffix(name, ".mbox") {
				*list = append(*list, Folder{Name: levelsName(append(slices.Clone(above), diskLevel(trimMbox(name)))), path: filepath.Join(path, "mbox")})
				continue
			}
			if err := s.walk(path, append(slices.Clone(above), diskLevel(level)), list); err != nil {
				return err
			}
		case !e.Type().IsRegular():
			s.notes = append(s.notes, path+" is not a file")
		case isMbox(path), isEmptyFolder(path):
			levels := append(slices.Clone(above), diskLevel(trimMbox(name)))
			if len(above) == 0 && strings.EqualFold(levels[0], "inbox") {
				levels[0] = "INBOX"
			}
			*list = append(*list, Folder{Name: levelsName(levels), path: path})
		case notable(name):
			s.notes = append(s.notes, path+" is not an mbox file")
		}
	}
	return nil
}

// isMbox looks at the first line of a file.
func isMbox(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, 2000)
	n, _ := io.ReadFull(f, buf)
	line, _, _ := bytes.Cut(bytes.TrimLeft(buf[:n], "\r\n"), []byte("\n"))
	_, ok := mbox.ParseFrom(line)
	return ok
}

// isEmptyFolder tells whether an empty file stands for a folder.
func isEmptyFolder(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 0 {
		return false
	}
	_, err = os.Stat(path + ".msf")
	return err == nil || trimMbox(path) != path
}

// notable leaves out what mail programs keep beside.
func notable(name string) bool {
	return !slices.Contains([]string{".msf", ".dat", ".html", ".json", ".db", ".sqlite", ".ini", ".txt", ".index", ".lock"}, strings.ToLower(filepath.Ext(name)))
}

// List reads the file once. A message is known by the hash of what it is, and
// by its number among equals, since there may be several.
func (s *mboxSource) List(ctx context.Context, f *Folder) ([]Message, error) {
	f.ID = sourceID("mbox", f.Name)
	if err := s.open(f.path); err != nil {
		return nil, err
	}
	var list []Message
	equals := map[[16]byte]int{}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := s.reader.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		hash := sha256.New()
		size, err := io.Copy(hash, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		if m.Meta.Skip {
			continue
		}
		key := [16]byte(hash.Sum(nil))
		item, like := hex.EncodeToString(key[:]), ""
		if equals[key]++; equals[key] > 1 {
			item, like = item+"-"+strconv.Itoa(equals[key]), item
		}
		list = append(list, Message{
			Item: item, Flags: m.Meta.Flags, Keywords: m.Meta.Keywords, Date: m.From.Date, Size: size, Labels: m.Meta.Labels, at: m.Offset, like: like,
		})
	}
}

func (s *mboxSource) open(path string) error {
	if err := s.Close(); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	s.file, s.path = file, path
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", path, fs.ErrInvalid)
	}
	if s.reader, err = mbox.NewReader(file, info.Size(), s.format); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (s *mboxSource) Fetch(ctx context.Context, _ *Folder, list []Message, fn func(int, Text, error) error) error {
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.reader.SeekTo(list[i].at)
		m, err := s.reader.Next()
		if err != nil {
			err = fn(i, Text{}, err)
		} else {
			err = fn(i, Text{Reader: m, Size: list[i].Size, Date: list[i].Date}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
