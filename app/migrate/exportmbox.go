package migrate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waxwing/format/mbox"
	"waxwing/format/message"
	"waxwing/serve/adminapi"
)

// mboxPath gives where a mailbox lies: Lists/Go in Lists/Go.mbox.
func mboxPath(dir, name string) string {
	levels := diskLevels(name, "")
	for i, level := range levels {
		if strings.HasPrefix(level, ".") {
			level = `\2e` + level[1:]
		}
		if j := strings.LastIndexByte(level, '.'); j >= 0 && (trimMbox(level) != level || level[j:] == ".sbd") {
			level = level[:j] + `\2e` + level[j+1:]
		}
		levels[i] = fileName(level)
	}
	levels[len(levels)-1] += ".mbox"
	return filepath.Join(append([]string{dir}, levels...)...)
}

// mbox writes one mailbox. A file that is there is replaced as a whole, and
// only if something has changed; what is in it and not in the mailbox stays.
func (ex *Export) mbox(ctx context.Context, m adminapi.Mailbox) error {
	path := mboxPath(ex.Dir, m.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	old, file, err := readExported(path)
	if err != nil {
		return err
	}
	if file != nil {
		defer file.Close()
	}
	var fetch []adminapi.Entry
	fresh := map[string]bool{} // old ones that are written anew
	for e, err := range ex.Client.Entries(ctx, ex.Account, m.ID) {
		if err != nil {
			return err
		}
		o, there := old.byEntry[entryID(m, e)]
		switch {
		case !there:
			fetch = append(fetch, e)
		case !sameWords(o.flags, e.Flags):
			fresh[entryID(m, e)] = true
			fetch = append(fetch, e)
		default:
			ex.summary.There++
		}
	}
	if len(fetch) == 0 && file != nil {
		return nil
	}
	temp := path + ".waxwing-new"
	err = ex.writeMbox(ctx, m, temp, old, file, fetch, fresh)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	ex.summary.Flags += len(fresh)
	ex.summary.Exported -= len(fresh)
	ex.summary.There += len(fresh)
	return err
}

func (ex *Export) writeMbox(ctx context.Context, m adminapi.Mailbox, path string, old exported, file *os.File, fetch []adminapi.Entry, fresh map[string]bool) error {
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(to, 256<<10)
	for _, o := range old.all {
		if !fresh[o.entry] {
			if _, err := io.Copy(w, io.NewSectionReader(file, o.offset, o.end-o.offset)); err != nil {
				return errors.Join(err, to.Close())
			}
		}
	}
	err = ex.fetch(ctx, m, fetch, func(e adminapi.Entry, s *spool) error {
		flags, keywords, err := parseEntry(e)
		if err != nil {
			return err
		}
		text := s.text()
		from := mbox.From{Sender: returnPath(text), Date: time.Unix(e.Internal, 0).UTC()}
		if _, err := text.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return mbox.Append(w, from, mbox.Meta{Flags: flags, Keywords: keywords, Entry: entryID(m, e)}, text)
	})
	return errors.Join(err, w.Flush(), to.Sync(), to.Close())
}

// returnPath gives the sender for a "From " line.
func returnPath(text io.Reader) string {
	head := make([]byte, 4096)
	n, _ := io.ReadFull(text, head)
	for f := range message.Fields(head[:n]) {
		if f.Is("Return-Path") {
			return strings.Trim(f.Text(), "<> \t\r\n")
		}
	}
	return ""
}

// exported is what a file from an export before holds.
type exported struct {
	all     []exportedMessage
	byEntry map[string]exportedMessage
}

type exportedMessage struct {
	entry       string
	offset, end int64
	flags       []string
}

// readExported reads a file that is there; nil if it is not.
func readExported(path string) (exported, *os.File, error) {
	list := exported{byEntry: map[string]exportedMessage{}}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil, nil
	}
	if err != nil {
		return list, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = list.read(file, info.Size())
	}
	if err != nil {
		return list, nil, errors.Join(err, file.Close())
	}
	return list, file, nil
}

func (x *exported) read(file io.ReaderAt, size int64) error {
	r, err := mbox.NewReader(file, size, mbox.RD)
	if err != nil {
		return err
	}
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			for _, o := range x.all {
				if o.entry != "" {
					x.byEntry[o.entry] = o
				}
			}
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(x.all); n > 0 {
			x.all[n-1].end = m.Offset
		}
		x.all = append(x.all, exportedMessage{m.Meta.Entry, m.Offset, size, adminapi.FlagNames(m.Meta.Flags, m.Meta.Keywords)})
	}
}
