package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/mailbox"
)

// An Export writes an account's mail to a directory, as a Maildir or as mbox
// files, or to a live server. What is there from an export before is kept and
// completed.
type Export struct {
	Client  *adminapi.Client
	Account string  // address
	Server  *Server // a live server, else
	Dir     string
	Mbox    bool     // mbox files, else a Maildir
	Only    []string // patterns of mailbox names; empty: all
	Exclude []string

	Progress func(Progress) // may be nil

	summary ExportSummary
}

// An ExportSummary tells what an export has done.
type ExportSummary struct {
	Mailboxes int   `json:"mailboxes"`
	Exported  int   `json:"exported"`
	There     int   `json:"already_there"`
	Flags     int   `json:"flags_changed"`
	Octets    int64 `json:"octets"` // of what is exported

	Failed   int       `json:"failed"` // messages that could not be read, or that the server did not take
	Failures []Failure `json:"failures,omitempty"`
}

// Run exports. What it has written is on the disk when it returns nil.
func (ex *Export) Run(ctx context.Context) (*ExportSummary, error) {
	all, err := ex.Client.Mailboxes(ctx, ex.Account)
	if err != nil {
		return &ex.summary, err
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(m adminapi.Mailbox) bool {
		return m.NoSelect || len(ex.Only) > 0 && !slices.ContainsFunc(ex.Only, func(p string) bool { return matches(p, m.Name) }) ||
			slices.ContainsFunc(ex.Exclude, func(p string) bool { return matches(p, m.Name) })
	})
	if len(chosen) == 0 {
		return &ex.summary, errors.New("there is no such mailbox")
	}
	if ex.Server != nil {
		return &ex.summary, ex.toServer(ctx, chosen)
	}
	if err := os.MkdirAll(ex.Dir, 0o700); err != nil {
		return &ex.summary, err
	}
	write := ex.maildir
	if ex.Mbox {
		write = ex.mbox
	}
	for _, m := range chosen {
		if err := write(ctx, m); err != nil {
			return &ex.summary, fmt.Errorf("%s: %w", m.Name, err)
		}
		ex.summary.Mailboxes++
	}
	if !ex.Mbox {
		if err := writeSubscriptions(ex.Dir, chosen); err != nil {
			return &ex.summary, err
		}
	}
	return &ex.summary, syncAll(ex.Dir)
}

// syncAll makes durable all that was written to the file system of a
// directory: one sync instead of one for each of a hundred thousand files.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func (ex *Export) tell(m adminapi.Mailbox, done, total int) {
	if ex.Progress != nil {
		ex.Progress(Progress{m.Name, done, total})
	}
}

// fetch reads the messages of a mailbox that entries name, and calls fn for
// each with its octets.
func (ex *Export) fetch(ctx context.Context, m adminapi.Mailbox, entries []adminapi.Entry, fn func(adminapi.Entry, *spool) error) error {
	done := 0
	for part := range slices.Chunk(entries, 1000) {
		uids := make([]uint32, len(part))
		for i, e := range part {
			uids[i] = e.UID
		}
		err := ex.Client.Messages(ctx, ex.Account, m.ID, uids, func(e adminapi.Entry, r io.Reader) error {
			if done++; done%100 == 0 {
				ex.tell(m, done, len(entries))
			}
			if e.Failed != "" {
				ex.fail(m, e, e.Failed)
				return nil
			}
			var s spool
			defer s.close()
			if _, err := io.Copy(&s, r); err != nil {
				return err
			}
			if err := fn(e, &s); err != nil {
				return err
			}
			ex.summary.Exported++
			ex.summary.Octets += e.Size
			return nil
		})
		if err != nil {
			return err
		}
	}
	ex.tell(m, done, len(entries))
	return nil
}

// fail notes a message that is not exported.
func (ex *Export) fail(m adminapi.Mailbox, e adminapi.Entry, reason string) {
	ex.summary.Failed++
	if len(ex.summary.Failures) < maxFailures {
		ex.summary.Failures = append(ex.summary.Failures, Failure{m.Name, fmt.Sprintf("message %d", e.UID), reason})
	}
}

// entryID names a message of a mailbox for good, in one word.
func entryID(m adminapi.Mailbox, e adminapi.Entry) string {
	return fmt.Sprintf("%d-%d-%d-%s", m.UIDValidity, m.ID, e.UID, e.Email)
}

// levels gives the levels of a mailbox's name, as they are safe and exact on a
// disk; special are further characters that the layout needs for itself.
func diskLevels(name, special string) []string {
	levels := strings.Split(name, mailbox.Separator)
	for i, level := range levels {
		levels[i] = escapeLevel(level, special)
	}
	return levels
}

func parseEntry(e adminapi.Entry) (mail.Flags, []mail.Keyword, error) {
	flags, keywords, err := adminapi.ParseFlags(e.Flags)
	if err != nil {
		return 0, nil, fmt.Errorf("message %d: %w", e.UID, err)
	}
	return flags, keywords, nil
}

// replaceFile writes a small file as a whole.
func replaceFile(path string, text []byte) error {
	temp := filepath.Join(filepath.Dir(path), ".waxwing-new-"+filepath.Base(path))
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
