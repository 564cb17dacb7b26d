package migrate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"waxwing/format/mbox"
)

// OpenOptions say how a source is to be read.
type OpenOptions struct {
	MboxFormat mbox.Format

	// Password gives the password for a live server, asked for when it is
	// needed.
	Password func(user, host string) (string, error)

	Token    string // OAuth 2.0 access token in place of a password
	CA       string // file with certificates that are trusted in place of the system's
	Insecure bool   // without TLS, or whatever the certificate
}

// Open finds out what from is: imap://user@host or imaps://user@host, a
// Maildir, an mbox file, or a directory with mbox files.
func Open(ctx context.Context, from string, o OpenOptions) (Source, error) {
	if IsServer(from) {
		u, err := serverURL(from)
		if err != nil {
			return nil, err
		}
		return dialIMAP(ctx, u, o)
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.IsDir() && info.Mode().IsRegular():
		if info.Size() > 0 && !isMbox(from) {
			return nil, fmt.Errorf("%s: %w", from, mbox.ErrNotMbox)
		}
	case !info.IsDir():
		return nil, fmt.Errorf("%s is neither a file nor a directory", from)
	case isMaildir(from):
		return &maildirSource{root: from}, nil
	case isDbox(from):
		return nil, fmt.Errorf("%s is in a format of Dovecot's own (dbox); import it from the running Dovecot: imap://user@host", from)
	}
	s := &mboxSource{root: from, format: o.MboxFormat}
	folders, err := s.Folders(ctx)
	if err != nil {
		return nil, err
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("%s holds neither a Maildir nor mbox files", from)
	}
	s.notes = nil
	return s, nil
}

// IsServer tells whether a place is a live server, not a file.
func IsServer(place string) bool { return strings.Contains(place, "://") }

func serverURL(place string) (*url.URL, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", place, errors.Unwrap(err))
	}
	if u.Scheme != "imap" && u.Scheme != "imaps" {
		return nil, fmt.Errorf("%s is neither imap:// nor imaps://", u.Scheme)
	}
	return u, nil
}

// isDbox knows sdbox and mdbox by what lies in them.
func isDbox(dir string) bool {
	for _, sub := range []string{"mailboxes", "storage", "sdbox/mailboxes", "mdbox/storage"} {
		for _, name := range []string{"INBOX/dbox-Mails", "dovecot.map.index.log", "dovecot.map.index"} {
			if _, err := os.Stat(filepath.Join(dir, sub, name)); err == nil {
				return true
			}
		}
	}
	return false
}

// hostPort gives the address of a live server.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"imap": "143", "imaps": "993"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
