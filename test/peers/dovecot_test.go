//go:build peers

package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"waxwing/test/system"
)

// Dovecot is the second opinion on what IMAP says of a message: the same
// messages are put into both servers, and the answers compared.
func TestSameAsDovecot(t *testing.T) {
	b := newBench(t)
	dovecot := system.StartDovecot(t, "maildir:~/Maildir")
	ours := login(t, b.Addr(143), "bob", system.Password)
	theirs := login(t, dovecot.IMAP, "bob", system.Password)
	files := messages(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(crlf(string(text)))
		ours.do("APPEND INBOX {%d+}\r\n%s", len(text), text)
		theirs.do("APPEND INBOX {%d+}\r\n%s", len(text), text)
	}
	ours.do("SELECT INBOX")
	theirs.do("SELECT INBOX")
	differs := readDiffers(t)
	items := []string{
		"RFC822.SIZE", "BODY", "BODYSTRUCTURE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]",
		"BODY.PEEK[1]", "BODY.PEEK[1.MIME]", "BODY.PEEK[2]", "BODY.PEEK[2.MIME]", "BODY.PEEK[1.1]", "BODY.PEEK[2.HEADER]",
		"BODY.PEEK[2.TEXT]", "BODY.PEEK[2.1]", "BODY.PEEK[HEADER.FIELDS (To subject X-Missing)]",
		"BODY.PEEK[HEADER.FIELDS.NOT (Received To)]", "BODY.PEEK[]<10.20>", "BODY.PEEK[TEXT]<3.100000>", "ENVELOPE",
	}
	for i, file := range files {
		for _, item := range items {
			if differs[strings.TrimPrefix(file, vectors)+" "+item] {
				continue
			}
			a := ours.fetch(i+1, item)
			d := theirs.fetch(i+1, item)
			if strings.HasSuffix(a, " NIL)") && strings.HasPrefix(item, "BODY.PEEK[") {
				continue // Dovecot takes 1.1 of a part without parts for 1, and says "" of what is not there
			}
			if a != d {
				t.Errorf("%s: %s\nours   %.600q\nDovecot %.600q", strings.TrimPrefix(file, vectors), item, a, d)
			}
		}
	}
}

// vectors is where the parser's messages lie.
const vectors = "../../format/message/testdata/"

// messages gives the published messages that the parser is tested with.
func messages(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(vectors, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && (ext == ".eml" || ext == ".raw") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 100 {
		t.Fatalf("%d messages: %v", len(files), err)
	}
	return files
}

// readDiffers reads which items of which files are known to differ.
func readDiffers(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for line := range strings.Lines(readFile(t, "testdata/differs.txt")) {
		if f := strings.Split(line, "\t"); len(f) == 3 {
			known[f[0]+" "+f[1]] = true
		}
	}
	return known
}

// A session is one raw IMAP connection.
type session struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	n    int
}

func login(t *testing.T, addr, user, password string) *session {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &session{t: t, conn: conn, r: bufio.NewReader(conn)}
	s.line()
	s.do("LOGIN %s %s", user, password)
	return s
}

// line reads one line with its literals in place.
func (s *session) line() []byte {
	s.t.Helper()
	var all []byte
	for {
		line, err := s.r.ReadBytes('\n')
		if err != nil {
			s.t.Fatalf("read after t%d: %v", s.n, err)
		}
		all = append(all, line...)
		m := literalAtEnd.FindSubmatch(line)
		if m == nil {
			return all
		}
		n, _ := strconv.Atoi(string(m[1]))
		text := make([]byte, n)
		if _, err := io.ReadFull(s.r, text); err != nil {
			s.t.Fatalf("read literal: %v", err)
		}
		all = append(all, text...)
	}
}

var literalAtEnd = regexp.MustCompile(`~?\{(\d+)\}\r\n$`)

// do runs a command and gives the untagged responses and the tagged one.
func (s *session) do(format string, args ...any) (untagged [][]byte, tagged string) {
	s.t.Helper()
	s.n++
	tag := fmt.Sprintf("t%d ", s.n)
	if _, err := fmt.Fprintf(s.conn, tag+format+"\r\n", args...); err != nil {
		s.t.Fatal(err)
	}
	for {
		line := s.line()
		if bytes.HasPrefix(line, []byte(tag)) {
			return untagged, string(line[len(tag):])
		}
		untagged = append(untagged, line)
	}
}

// fetch gives one item as values in one spelling, or how it was refused.
func (s *session) fetch(seq int, item string) string {
	s.t.Helper()
	untagged, tagged := s.do("FETCH %d (%s)", seq, item)
	for _, u := range untagged {
		if v, ok := value(u); ok {
			return v
		}
	}
	word, _, _ := strings.Cut(tagged, " ")
	return word
}

// value cuts "* 1 FETCH (ITEM value)" to the value, with strings written as
// quoted Go strings whatever form they came in, and atoms in capitals.
func value(line []byte) (string, bool) {
	_, rest, ok := bytes.Cut(line, []byte("FETCH ("))
	if !ok {
		return "", false
	}
	var b strings.Builder
	for len(rest) > 0 {
		switch c := rest[0]; {
		case c == '"':
			end := 1
			for rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			s := strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(string(rest[1:end]))
			fmt.Fprintf(&b, "%q", s)
			rest = rest[end+1:]
		case c == '{' || c == '~' && len(rest) > 1 && rest[1] == '{':
			m := literalStart.FindSubmatch(rest)
			n, _ := strconv.Atoi(string(m[1]))
			text := rest[len(m[0]) : len(m[0])+n]
			fmt.Fprintf(&b, "%q", text)
			rest = rest[len(m[0])+n:]
		default:
			b.WriteString(strings.ToUpper(string(c)))
			rest = rest[1:]
		}
	}
	return strings.TrimSpace(b.String()), true
}

var literalStart = regexp.MustCompile(`^~?\{(\d+)\}\r\n`)
