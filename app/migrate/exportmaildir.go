package migrate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waxwing/format/maildir"
	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/serve/adminapi"
	"waxwing/store/mailbox"
)

// maildirPath gives where a mailbox lies in Maildir++: INBOX at the top, all
// others beside it as ".Lists.Go".
func maildirPath(dir, name string) string {
	if name == mailbox.InboxName {
		return dir
	}
	return filepath.Join(dir, fileName("."+strings.Join(maildirLevels(name), ".")))
}

// maildirLevels gives a name's levels in modified UTF-7, as Dovecot and Courier
// have them. A dot would begin a new level: it is written as Dovecot's
// listescape does.
func maildirLevels(name string) []string {
	levels := diskLevels(name, ".~")
	for i, level := range levels {
		levels[i] = imap.EncodeUTF7(level)
	}
	return levels
}

func writeSubscriptions(dir string, list []adminapi.Mailbox) error {
	var names [][]string
	for _, m := range list {
		if m.Subscribed {
			names = append(names, maildirLevels(m.Name))
		}
	}
	return replaceFile(filepath.Join(dir, "subscriptions"), maildir.AppendSubscriptions(nil, names))
}

// A maildirFolder is one folder that is written to.
type maildirFolder struct {
	dir      string
	table    maildir.Keywords
	extra    map[string][]mail.Keyword // what has no letter, by unique name
	files    map[string]string         // paths by unique name
	keywords bool                      // table or extra have changed
}

func openMaildir(dir string) (*maildirFolder, error) {
	f := &maildirFolder{dir: dir, files: map[string]string{}}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	for _, sub := range []string{"cur", "new"} {
		names, err := readNames(filepath.Join(dir, sub))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			f.files[maildir.ParseName(name).Unique] = filepath.Join(dir, sub, name)
		}
	}
	f.table, f.extra = readKeywords(dir)
	return f, nil
}

func (ex *Export) maildir(ctx context.Context, m adminapi.Mailbox) error {
	f, err := openMaildir(maildirPath(ex.Dir, m.Name))
	if err != nil {
		return err
	}
	if f.dir != ex.Dir { // Maildir++: says that it is not a Maildir of its own
		if err := os.WriteFile(filepath.Join(f.dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	var missing []adminapi.Entry
	for e, err := range ex.Client.Entries(ctx, ex.Account, m.ID) {
		if err != nil {
			return err
		}
		unique := uniqueName(m, e)
		path, there := f.files[unique]
		if !there {
			missing = append(missing, e)
			continue
		}
		ex.summary.There++
		changed, err := f.rename(path, unique, e)
		if err != nil {
			return err
		}
		if changed {
			ex.summary.Flags++
		}
	}
	err = ex.fetch(ctx, m, missing, func(e adminapi.Entry, s *spool) error { return f.add(uniqueName(m, e), e, s) })
	return errors.Join(err, f.writeKeywords())
}

// uniqueName begins with the date, by which others sort.
func uniqueName(m adminapi.Mailbox, e adminapi.Entry) string {
	return fmt.Sprintf("%d.%s.waxwing", max(e.Internal, 0), entryID(m, e))
}

// name gives flags and keywords their place in a name.
func (f *maildirFolder) name(unique string, e adminapi.Entry) (maildir.Name, error) {
	n := maildir.Name{Unique: unique, Size: -1, Wire: -1}
	flags, keywords, err := parseEntry(e)
	if err != nil {
		return n, err
	}
	n.Flags = flags
	var extra []mail.Keyword
	before := f.table
	for _, k := range keywords {
		if letter, ok := f.table.Letter(k); ok {
			n.Letters += letter
		} else {
			extra = append(extra, k)
		}
	}
	if !slices.Equal(f.extra[unique], extra) {
		f.keywords = true
		f.extra[unique] = extra
	}
	f.keywords = f.keywords || before != f.table
	return n, nil
}

// rename changes the flags of a message that is there.
func (f *maildirFolder) rename(path, unique string, e adminapi.Entry) (bool, error) {
	n, err := f.name(unique, e)
	if err != nil {
		return false, err
	}
	had := maildir.ParseName(filepath.Base(path))
	n.Size, n.Wire, n.Passed, n.Others = had.Size, had.Wire, had.Passed, had.Others
	to := filepath.Join(f.dir, "cur", n.String())
	if to == path {
		return false, nil
	}
	return true, os.Rename(path, to)
}

// add writes a message: to tmp first, as maildir(5) wants it. Lines end in LF
// as in every Maildir, unless that would change the message.
func (f *maildirFolder) add(unique string, e adminapi.Entry, s *spool) error {
	n, err := f.name(unique, e)
	if err != nil {
		return err
	}
	n.Wire = s.size
	temp := filepath.Join(f.dir, "tmp", unique)
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	plain, err := onlyCRLF(s.text())
	if err == nil {
		if plain {
			n.Size, err = copyLF(file, s.text())
		} else {
			n.Size, err = io.Copy(file, s.text())
		}
	}
	err = errors.Join(err, file.Close())
	date := time.Unix(e.Internal, 0)
	if err == nil {
		err = os.Chtimes(temp, date, date)
	}
	if err == nil {
		err = os.Rename(temp, filepath.Join(f.dir, "cur", n.String()))
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

func (f *maildirFolder) writeKeywords() error {
	if !f.keywords {
		return nil
	}
	var extra []byte
	for _, unique := range slices.Sorted(maps.Keys(f.extra)) {
		if len(f.extra[unique]) > 0 {
			extra = append(extra, unique...)
			for _, k := range f.extra[unique] {
				extra = append(append(extra, ' '), k...)
			}
			extra = append(extra, '\n')
		}
	}
	path := filepath.Join(f.dir, extraKeywords)
	if _, err := os.Stat(path); len(extra) > 0 || !errors.Is(err, fs.ErrNotExist) {
		if err := replaceFile(path, extra); err != nil {
			return err
		}
	}
	return replaceFile(filepath.Join(f.dir, "dovecot-keywords"), f.table.Append(nil))
}

// onlyCRLF tells whether all line ends are CRLF, and no CR stands elsewhere.
func onlyCRLF(r io.Reader) (bool, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	last := byte(0)
	for {
		part, err := in.ReadSlice('\n')
		for _, c := range part {
			if c == '\n' && last != '\r' || last == '\r' && c != '\n' {
				return false, nil
			}
			last = c
		}
		if errors.Is(err, io.EOF) {
			return last != '\r', nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false, err
		}
	}
}

// copyLF copies text without the CR of line ends, of which there are no
// others.
func copyLF(w io.Writer, r io.Reader) (int64, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	in := bufio.NewReaderSize(r, 64<<10)
	n := int64(0)
	for {
		part, err := in.ReadSlice('\r')
		k, _ := out.Write(bytes.TrimSuffix(part, []byte("\r")))
		n += int64(k)
		if errors.Is(err, io.EOF) {
			return n, out.Flush()
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}
