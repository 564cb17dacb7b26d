package imap

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"waxwing/format/casemap"
	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/store/search"
	"waxwing/test/transcript"
)

// A searched is a message of which the test knows all that is searched.
type searched struct {
	uid     uint32
	subject string
	from    string
	list    string // List-Id, if any
	body    string
	text    string
}

var searchedWords = strings.Fields("alpha beta gamma delta Ärger Grüße Київ 日本語 naïve ﬁne aaa aab ab a 10% x=y report.pdf")

func phrase(r *rand.Rand, n int) string {
	var list []string
	for range r.IntN(n) + 1 {
		list = append(list, searchedWords[r.IntN(len(searchedWords))])
	}
	return strings.Join(list, " ")
}

func newSearched(r *rand.Rand, uid uint32) searched {
	m := searched{uid: uid, subject: phrase(r, 4), from: "Ann <ann" + strconv.Itoa(r.IntN(5)) + "@a.test>", body: phrase(r, 60)}
	head := "From: " + m.from + "\r\nSubject: " + m.subject + "\r\n"
	if r.IntN(3) == 0 {
		m.list = phrase(r, 2)
		head += "List-Id: " + m.list + "\r\n"
	}
	m.text = head + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + m.body + "\r\n"
	return m
}

func holds(text, needle string) bool {
	return bytes.Contains(casemap.String(text), casemap.String(needle))
}

// matches tells whether a message matches, by looking.
func (m *searched) matches(k *imap.SearchKey) bool {
	switch k.Op {
	case imap.SearchAnd:
		for i := range k.Keys {
			if !m.matches(&k.Keys[i]) {
				return false
			}
		}
		return true
	case imap.SearchOr:
		return m.matches(&k.Keys[0]) || m.matches(&k.Keys[1])
	case imap.SearchNot:
		return !m.matches(&k.Keys[0])
	case imap.SearchUIDs:
		return k.Set.Ranges[0].From <= m.uid && m.uid <= k.Set.Ranges[0].To
	case imap.SearchLarger:
		return int64(len(m.text)) > k.Size
	case imap.SearchBody:
		return holds(m.body+"\r\n", k.Text)
	case imap.SearchText:
		for _, line := range strings.Split(m.text[:strings.Index(m.text, "\r\n\r\n")], "\r\n") {
			if holds(line, k.Text) {
				return true
			}
		}
		return holds(m.body+"\r\n", k.Text)
	case imap.SearchHeader:
		switch k.Field {
		case "Subject":
			return holds(m.subject, k.Text)
		case "From":
			return holds(m.from, k.Text)
		case "List-Id":
			return m.list != "" && holds(m.list, k.Text)
		}
		return false
	}
	return true
}

func randomProgram(r *rand.Rand, depth int) imap.SearchKey {
	needle := func() string {
		s := []rune(phrase(r, 3))
		from := r.IntN(len(s))
		return string(s[from : from+r.IntN(min(len(s)-from, 12)+1)])
	}
	kinds := 7
	if depth > 0 {
		kinds = 11
	}
	sub := func(n int) (list []imap.SearchKey) {
		for range n {
			list = append(list, randomProgram(r, depth-1))
		}
		return list
	}
	switch r.IntN(kinds) {
	case 0:
		return imap.SearchKey{Op: imap.SearchBody, Text: needle()}
	case 1, 2:
		return imap.SearchKey{Op: imap.SearchText, Text: needle()}
	case 3:
		return imap.SearchKey{Op: imap.SearchHeader, Field: []string{"Subject", "From", "List-Id", "X-None"}[r.IntN(4)], Text: needle()}
	case 4:
		from := uint32(r.IntN(200) + 1)
		return imap.SearchKey{Op: imap.SearchUIDs, Set: imap.Set{Ranges: []imap.Range{{From: from, To: from + uint32(r.IntN(100))}}}}
	case 5:
		return imap.SearchKey{Op: imap.SearchLarger, Size: int64(r.IntN(600))}
	case 6:
		return imap.SearchKey{Op: imap.SearchAll}
	case 7:
		return imap.SearchKey{Op: imap.SearchNot, Keys: sub(1)}
	case 8:
		return imap.SearchKey{Op: imap.SearchOr, Keys: sub(2)}
	}
	return imap.SearchKey{Op: imap.SearchAnd, Keys: sub(2 + r.IntN(2))}
}

// A program finds through the index what looking at each message finds: with
// no index, with one of everything, and with one that lags.
func TestSearchPrograms(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	alice := h.accounts["alice"]
	index := search.New(memkv.New(), h.mailboxes, search.Options{})
	r := rand.New(rand.NewPCG(11, 12))
	var all []searched
	add := func(n int) {
		for range n {
			m := newSearched(r, uint32(len(all)+1))
			all = append(all, m)
			h.append(m.text)
		}
	}
	plain, helped := h.searcher(alice, nil), h.searcher(alice, index)
	check := func(programs int) {
		for range programs {
			k := randomProgram(r, 3)
			var want []string
			for i := range all {
				if all[i].matches(&k) {
					want = append(want, strconv.Itoa(int(all[i].uid)))
				}
			}
			for name, find := range map[string]func(string) string{"plain": plain, "helped": helped} {
				if got := find(k.String()); got != strings.Join(want, " ") {
					t.Fatalf("%s, %d messages: %s\nfinds %s\nnot   %s", name, len(all), k.String(), got, strings.Join(want, " "))
				}
			}
		}
	}
	add(30)
	check(60)
	for range 3 {
		add(90)
		if err := index.Update(t.Context(), alice, time.Now()); err != nil {
			t.Fatal(err)
		}
		check(60)
		add(20)
		check(60)
	}
}

// A fuzzy search finds through the index what it finds by looking everywhere:
// words with and without their accents, whole, in part, and misspelt.
func TestFuzzyPrograms(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	alice := h.accounts["alice"]
	index := search.New(memkv.New(), h.mailboxes, search.Options{})
	r := rand.New(rand.NewPCG(13, 14))
	plain, helped := h.searcher(alice, nil), h.searcher(alice, index)
	needle := func() string {
		s := []rune(phrase(r, 3))
		from := r.IntN(len(s))
		s = s[from : from+r.IntN(min(len(s)-from, 20)+1)]
		for range r.IntN(3) {
			at := r.IntN(len(s) + 1)
			switch {
			case at == len(s) || r.IntN(3) == 0:
				s = append(s[:at:at], append([]rune{'o'}, s[at:]...)...)
			case r.IntN(2) == 0:
				s = append(s[:at:at], s[at+1:]...)
			default:
				s[at] = 'и'
			}
		}
		return string(s)
	}
	found := 0
	n := uint32(0)
	for round := range 3 {
		for range 100 {
			n++
			m := newSearched(r, n)
			h.append(m.text)
		}
		if round > 0 {
			if err := index.Update(t.Context(), alice, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		for range 80 {
			k := imap.SearchKey{Op: imap.SearchFuzzy, Keys: []imap.SearchKey{{Op: imap.SearchText, Text: needle()}}}
			switch r.IntN(4) {
			case 0:
				k.Keys[0].Op = imap.SearchBody
			case 1:
				k.Keys[0].Op, k.Keys[0].Field = imap.SearchHeader, []string{"Subject", "List-Id", "From"}[r.IntN(3)]
			}
			want := plain(k.String())
			if got := helped(k.String()); got != want {
				t.Fatalf("%d messages: %s\nfinds %s\nnot   %s", n, k.String(), got, want)
			}
			if want != "" {
				found++
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d programs found anything", found)
	}
}

// searcher gives a function that searches an INBOX over a connection of its
// own, and gives the UIDs found.
func (h *house) searcher(id mail.AccountID, index *search.Index) func(program string) string {
	h.t.Helper()
	do := h.commands(id, index)
	return func(program string) string {
		do("NOOP")
		for _, line := range do("UID SEARCH " + program) {
			if rest, ok := strings.CutPrefix(line, "* ESEARCH"); ok {
				_, set, _ := strings.Cut(rest, " ALL ")
				return spread(set)
			}
		}
		return "no answer"
	}
}

// commands gives a function that runs commands on an account's INBOX, over a
// connection of its own, and gives the lines of the answer.
func (h *house) commands(id mail.AccountID, index *search.Index) func(command string) []string {
	h.t.Helper()
	server := imapserver.New(New(h.mailboxes, h.blobs, Options{Index: index}).Open, imapserver.Options{
		Auth: anybody{account: id}, PlaintextAuth: true, Log: slog.New(slog.DiscardHandler),
	})
	l := transcript.Listen(143)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	conn := l.Dial()
	h.t.Cleanup(func() {
		_ = conn.Close() // the server may have been faster
		stop()
		h.must(<-ended)
	})
	in := bufio.NewReader(conn)
	if _, err := in.ReadString('\n'); err != nil { // the greeting
		h.t.Fatal(err)
	}
	n := 0
	do := func(command string) (lines []string) {
		n++
		tag := fmt.Sprintf("t%d ", n)
		if _, err := io.WriteString(conn, tag+command+"\r\n"); err != nil {
			h.t.Fatal(err)
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				h.t.Fatal(err)
			}
			if strings.HasPrefix(line, tag) {
				if !strings.HasPrefix(line, tag+"OK") {
					h.t.Fatalf("%s: %s", command, line)
				}
				return lines
			}
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	do("LOGIN a b")
	do("ENABLE IMAP4rev2")
	do("SELECT INBOX")
	return do
}

// spread writes a sequence set number by number.
func spread(set string) string {
	var list []string
	for _, part := range strings.FieldsFunc(set, func(r rune) bool { return r == ',' }) {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		a, _ := strconv.Atoi(from)
		b, _ := strconv.Atoi(to)
		for ; a <= b; a++ {
			list = append(list, strconv.Itoa(a))
		}
	}
	return strings.Join(list, " ")
}
