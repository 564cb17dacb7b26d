//go:build peers

package peers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"waxwing/test/system"
)

// The same commands are given to Waxwing and to Dovecot, and what they answer
// is compared: not the words that are for people and not the order in which
// responses come where the order is free, but everything else. Each script of
// testdata/commands is a conversation:
//
//	# a remark
//	C LIST "" *             the first session says this; "2 " is the second
//	C APPEND box {msg}      a literal: the text that "= msg" has given
//	= msg Subject: x\r\n    names a text, with \r\n in it
//	! reason                the servers may differ in the next answer
//
// A script begins with what every account has, and nothing in it.
func TestCommandsLikeDovecot(t *testing.T) {
	b := newBench(t)
	dovecot := system.StartDovecot(t, "maildir:~/Maildir")
	files, err := filepath.Glob("testdata/commands/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			user := "bob"
			ours := newPlayer(t, b.Addr(143), user)
			theirs := newPlayer(t, dovecot.IMAP, user)
			play(t, file, ours, theirs)
		})
	}
}

// play runs a script on both servers.
func play(t *testing.T, file string, ours, theirs *player) {
	texts := map[string]string{}
	reason := ""
	for n, line := range strings.Split(strings.TrimRight(readFile(t, file), "\n"), "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#":
		case "!":
			reason = rest
		case "=":
			name, text, _ := strings.Cut(rest, " ")
			texts[name] = strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\0`, "\x00").Replace(text)
		case "C", "2":
			command := literalName.ReplaceAllStringFunc(rest, func(name string) string {
				text, ok := texts[name[1:len(name)-1]]
				if !ok {
					return name
				}
				return fmt.Sprintf("{%d+}\r\n%s", len(text), text)
			})
			a, d := ours.say(kind, command), theirs.say(kind, command)
			switch {
			case a == d && reason != "":
				t.Errorf("%s:%d: %s\nno longer differs (%s)", file, n+1, rest, reason)
			case a != d && reason == "":
				t.Errorf("%s:%d: %s\nours:\n%s\nDovecot:\n%s", file, n+1, rest, indent(a), indent(d))
			case a != d && testing.Verbose():
				t.Logf("%s:%d: %s (%s)\nours:\n%s\nDovecot:\n%s", file, n+1, rest, reason, indent(a), indent(d))
			}
			reason = ""
		default:
			t.Fatalf("%s:%d: %q", file, n+1, line)
		}
	}
}

var literalName = regexp.MustCompile(`\{[a-z][a-z0-9]*\}`)

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// A player is two sessions on one server.
type player struct {
	t       *testing.T
	addr    string
	user    string
	one     *session
	two     *session
	idling  map[*session]string // the tag of an IDLE that runs
	numbers map[string]string   // UIDVALIDITYs by the order of their appearance

	selecting bool // the command is SELECT or EXAMINE
}

func newPlayer(t *testing.T, addr, user string) *player {
	p := &player{t: t, addr: addr, user: user, idling: map[*session]string{}, numbers: map[string]string{}}
	p.one = login(t, addr, user, system.Password)
	p.two = login(t, addr, user, system.Password)
	p.clean()
	return p
}

// clean gives the account what every new one has.
func (p *player) clean() {
	p.one.do("UNSELECT")
	names, _ := p.one.do(`LIST "" *`)
	keep := []string{"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}
	for _, line := range slices.Backward(names) {
		if f := strings.SplitN(strings.TrimSpace(string(line)), ` "/" `, 2); len(f) == 2 && !slices.Contains(keep, f[1]) {
			p.one.do("DELETE %s", f[1])
		}
	}
	subscribed, _ := p.one.do(`LSUB "" *`)
	for _, line := range subscribed {
		if f := strings.SplitN(strings.TrimSpace(string(line)), ` "/" `, 2); len(f) == 2 {
			p.one.do("UNSUBSCRIBE %s", f[1])
		}
	}
	for _, name := range keep {
		if name != "INBOX" {
			p.one.do("DELETE %s", name)
			p.one.do("CREATE %s", name)
		}
		p.one.do("SUBSCRIBE %s", name)
	}
	p.one.do("SELECT INBOX")
	p.one.do(`UID STORE 1:* +FLAGS.SILENT (\Deleted)`)
	p.one.do("EXPUNGE")
	p.one.do("UNSELECT")
	// UIDs begin anew.
	p.one.do("RENAME INBOX elsewhere")
	p.one.do("DELETE elsewhere")
}

// say gives a command and what the answer comes to.
func (p *player) say(who, command string) string {
	s := p.one
	if who == "2" {
		s = p.two
	}
	if command == "IDLE" {
		s.n++
		tag := fmt.Sprintf("t%d ", s.n)
		fmt.Fprintf(s.conn, "%sIDLE\r\n", tag)
		p.idling[s] = tag
		if line := s.line(); !bytes.HasPrefix(line, []byte("+ ")) {
			return string(line)
		}
		return "+"
	}
	if tag := p.idling[s]; tag != "" {
		delete(p.idling, s)
		fmt.Fprintf(s.conn, "%s\r\n", command)
		var untagged [][]byte
		for {
			line := s.line()
			if bytes.HasPrefix(line, []byte(tag)) {
				// Dovecot looks around only so often while it idles.
				more, _ := s.do("NOOP")
				return p.normal(append(untagged, more...), string(line[len(tag):]))
			}
			untagged = append(untagged, line)
		}
	}
	untagged, tagged := s.do("%s", command)
	p.selecting = strings.HasPrefix(command, "SELECT") || strings.HasPrefix(command, "EXAMINE")
	return p.normal(untagged, tagged)
}

// normal brings an answer into the form in which it is compared.
func (p *player) normal(untagged [][]byte, tagged string) string {
	var lines []string
	expunged := 0
	for _, u := range untagged {
		line := strings.TrimSuffix(string(u), "\r\n")
		if m := expungeLine.FindStringSubmatch(line); m != nil {
			expunged++
			continue
		}
		if line = p.line(line); line != "" {
			lines = append(lines, line)
		}
	}
	if expunged > 0 {
		// Numbers before the expunges are the same however they are told.
		lines = append(lines, "* EXPUNGED "+strings.Join(originals(untagged), ","))
	}
	slices.Sort(lines)
	word, rest, _ := strings.Cut(strings.TrimSpace(tagged), " ")
	return strings.Join(append(slices.Compact(lines), word+p.code(rest)), "\n")
}

var expungeLine = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)

// originals gives the numbers that expunged messages had before the first
// EXPUNGE.
func originals(untagged [][]byte) []string {
	var gone []int // sorted, original numbers
	for _, u := range untagged {
		m := expungeLine.FindStringSubmatch(strings.TrimSpace(string(u)))
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[1])
		for _, g := range gone {
			if g <= n {
				n++
			}
		}
		gone = append(gone, n)
		slices.Sort(gone)
	}
	var list []string
	for _, n := range gone {
		list = append(list, strconv.Itoa(n))
	}
	return list
}

// code gives a response code without what is for people.
func (p *player) code(rest string) string {
	if !strings.HasPrefix(rest, "[") {
		return ""
	}
	code, _, _ := strings.Cut(rest[1:], "]")
	word, args, _ := strings.Cut(code, " ")
	switch word {
	case "CAPABILITY", "HIGHESTMODSEQ", "NOMODSEQ", "READ-ONLY", "READ-WRITE", "CLOSED":
		if strings.HasPrefix(word, "READ") {
			return " [" + word + "]"
		}
		return ""
	case "UIDVALIDITY":
		return " [UIDVALIDITY " + p.validity(args) + "]"
	case "APPENDUID", "COPYUID":
		first, more, _ := strings.Cut(args, " ")
		return " [" + word + " " + p.validity(first) + " " + more + "]"
	case "PERMANENTFLAGS": // Dovecot repeats it after each FLAGS
		if !p.selecting {
			return ""
		}
		return " [" + word + " " + systemFlags(args) + "]"
	case "UIDNEXT", "UNSEEN", "TRYCREATE", "BADCHARSET":
		if word == "BADCHARSET" {
			return " [" + word + "]"
		}
		return " [" + code + "]"
	}
	return "" // which code explains a NO best is a matter of taste
}

// validity names a UIDVALIDITY by when it was first seen.
func (p *player) validity(v string) string {
	if p.numbers[v] == "" {
		p.numbers[v] = "V" + strconv.Itoa(len(p.numbers)+1)
	}
	return p.numbers[v]
}

var (
	statusItem = regexp.MustCompile(`UIDVALIDITY (\d+)`)
	ignored    = regexp.MustCompile(`(?i)^\\(UnMarked|Marked|NoInferiors|HasNoChildren|Recent)$`)
)

// line brings one untagged response into order.
func (p *player) line(line string) string {
	f := strings.SplitN(line, " ", 4)
	if len(f) < 2 {
		return line
	}
	switch {
	case f[1] == "OK" || f[1] == "NO" || f[1] == "BAD" || f[1] == "BYE":
		_, rest, _ := strings.Cut(line[2:], " ")
		if code := p.code(rest); code != "" {
			return "* " + f[1] + code
		}
		return ""
	case f[1] == "LIST" || f[1] == "LSUB":
		attributes, rest, _ := strings.Cut(line[len("* LIST ("):], ")")
		return "* " + f[1] + " " + sortedList("("+attributes+")") + unquoted(rest)
	case f[1] == "STATUS":
		i := strings.LastIndex(line, "(")
		items := strings.Fields(strings.Trim(line[i:], "()"))
		var pairs []string
		for k := 0; k+1 < len(items); k += 2 {
			pairs = append(pairs, items[k]+" "+items[k+1])
		}
		slices.Sort(pairs)
		text := statusItem.ReplaceAllStringFunc(strings.Join(pairs, " "), func(s string) string {
			return "UIDVALIDITY " + p.validity(s[len("UIDVALIDITY "):])
		})
		return unquoted(line[:i]) + "(" + text + ")"
	case f[1] == "FLAGS":
		if !p.selecting {
			return ""
		}
		return "* FLAGS " + systemFlags(line[len("* FLAGS "):])
	case f[1] == "ESEARCH":
		return tagInESearch.ReplaceAllString(line, `(TAG)`)
	case f[1] == "ID" || f[1] == "CAPABILITY":
		return "* " + f[1]
	case f[1] == "ENABLED":
		names := strings.Fields(line)[2:]
		slices.Sort(names)
		return "* ENABLED " + strings.Join(names, " ")
	case len(f) > 2 && f[2] == "RECENT":
		return ""
	case len(f) > 2 && f[2] == "FETCH":
		return "* " + f[1] + " FETCH " + items(line)
	}
	return line
}

var tagInESearch = regexp.MustCompile(`\(TAG "[^"]*"\)`)

// unquoted takes the quotes from names that need none.
func unquoted(s string) string { return plainQuoted.ReplaceAllString(s, "$1") }

var plainQuoted = regexp.MustCompile(`"([A-Za-z0-9/&,+.;:!#$^_'=@~|<>?\[\]-]+)"`)

// sortedList sorts a flat list in parentheses, without what the servers may
// tell or not.
func sortedList(s string) string {
	words := strings.Fields(strings.Trim(s, "()"))
	words = slices.DeleteFunc(words, ignored.MatchString)
	for i := range words {
		if strings.HasPrefix(words[i], `\`) {
			words[i] = strings.ToLower(words[i])
		}
	}
	slices.Sort(words)
	return "(" + strings.Join(words, " ") + ")"
}

// systemFlags gives a list without the keywords: ours are those of the whole
// account, Dovecot's those of the mailbox.
func systemFlags(s string) string {
	var list []string
	for w := range strings.FieldsSeq(strings.Trim(s, "()")) {
		if strings.HasPrefix(w, `\`) {
			list = append(list, w)
		}
	}
	return sortedList(strings.Join(list, " "))
}

// items sorts the items of a FETCH response.
func items(line string) string {
	v, _ := value([]byte(line))
	v = strings.ReplaceAll(strings.TrimSuffix(v, ")"), `INTERNALDATE " `, `INTERNALDATE "0`)
	var list []string
	depth, start, quoted := 0, 0, false
	spaces := 0
	for i := 0; i <= len(v); i++ {
		switch {
		case i == len(v):
		case quoted && v[i] == '\\':
			i++
			continue
		case v[i] == '"':
			quoted = !quoted
			continue
		case quoted:
			continue
		case v[i] == '(' || v[i] == '[':
			depth++
			continue
		case v[i] == ')' || v[i] == ']':
			depth--
			continue
		case v[i] != ' ' || depth > 0:
			continue
		}
		if spaces++; spaces%2 == 0 || i == len(v) {
			item := v[start:i]
			if strings.HasPrefix(item, "FLAGS ") {
				item = "FLAGS " + sortedList(item[len("FLAGS "):])
			}
			list = append(list, item)
			start = i + 1
		}
	}
	slices.Sort(list)
	return strings.Join(list, " | ")
}

// TestCommandScripts keeps the scripts readable: every line is one that play
// knows.
func TestCommandScripts(t *testing.T) {
	files, _ := filepath.Glob("testdata/commands/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			if kind, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"", "#", "!", "=", "C", "2"}, kind) {
				t.Errorf("%s:%d: %q", file, n+1, line)
			}
		}
	}
}
