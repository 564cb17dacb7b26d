package imap

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"waxwing/store/mailbox"
)

// A mirror is what a client knows from responses alone: the UID and the flags
// at each sequence number.
type mirror struct {
	*client
	name  string
	uids  []int    // 0: not known yet
	flags []string // sorted, without \Recent

	expunging bool // EXPUNGE is allowed in what is being read
}

// hear takes one untagged response and checks it against the rules.
func (m *mirror) hear(line string) {
	m.t.Helper()
	word := strings.Fields(line)
	if len(word) < 3 || word[0] != "*" {
		return
	}
	n, err := strconv.Atoi(word[1])
	if err != nil {
		return
	}
	switch word[2] {
	case "EXISTS":
		if n < len(m.uids) {
			m.t.Errorf("%s: %d EXISTS after %d", m.name, n, len(m.uids))
			return
		}
		for len(m.uids) < n {
			m.uids, m.flags = append(m.uids, 0), append(m.flags, "?")
		}
	case "EXPUNGE":
		if !m.expunging {
			m.t.Errorf("%s: %s while sequence numbers are in use", m.name, line)
		}
		if n < 1 || n > len(m.uids) {
			m.t.Fatalf("%s: %s of %d", m.name, line, len(m.uids))
		}
		m.uids, m.flags = slices.Delete(m.uids, n-1, n), slices.Delete(m.flags, n-1, n)
	case "FETCH":
		if n < 1 || n > len(m.uids) {
			m.t.Fatalf("%s: %s of %d", m.name, line, len(m.uids))
		}
		if _, rest, ok := strings.Cut(line, "UID "); ok {
			uid, _ := strconv.Atoi(strings.TrimRight(strings.Fields(rest)[0], ")"))
			if m.uids[n-1] != 0 && m.uids[n-1] != uid {
				m.t.Errorf("%s: number %d was UID %d and is %d", m.name, n, m.uids[n-1], uid)
			}
			m.uids[n-1] = uid
		}
		if _, rest, ok := strings.Cut(line, "FLAGS ("); ok {
			list, _, _ := strings.Cut(rest, ")")
			words := slices.DeleteFunc(strings.Fields(list), func(f string) bool { return f == `\Recent` })
			slices.Sort(words)
			m.flags[n-1] = strings.Join(words, " ")
		}
	}
}

// run sends a command and takes what it says.
func (m *mirror) run(command string) string {
	m.t.Helper()
	first, _, _ := strings.Cut(command, " ")
	m.expunging = first != "FETCH" && first != "STORE" && first != "SEARCH"
	untagged, tagged := m.do(command)
	for _, line := range untagged {
		m.hear(line)
	}
	if !strings.HasPrefix(tagged, "OK") && !strings.HasPrefix(tagged, "NO") {
		m.t.Errorf("%s: %s: %s", m.name, command, tagged)
	}
	return tagged
}

// learn asks for what is not known.
func (m *mirror) learn() {
	m.t.Helper()
	m.run("UID FETCH 1:* (FLAGS)")
	// Messages that came while this was answered are not known yet.
	known := slices.DeleteFunc(slices.Clone(m.uids), func(uid int) bool { return uid == 0 })
	if !slices.IsSorted(known) || len(slices.Compact(slices.Clone(known))) != len(known) {
		m.t.Errorf("%s: UIDs do not ascend: %v", m.name, m.uids)
	}
}

func (m *mirror) any() int { return 1 + rand.IntN(max(1, len(m.uids))) }

// step does something.
func (m *mirror) step(i int) {
	m.t.Helper()
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "$Work", "$Later"}[rand.IntN(5)]
	uid := 0
	if len(m.uids) > 0 {
		uid = m.uids[m.any()-1]
	}
	switch k := rand.IntN(12); {
	case k < 2 || len(m.uids) == 0:
		text := short(i)
		m.run(fmt.Sprintf("APPEND INBOX (%s) {%d+}\r\n%s", flag, len(text), text))
	case k < 4:
		m.run(fmt.Sprintf("STORE %d %sFLAGS (%s)", m.any(), []string{"", "+", "-"}[rand.IntN(3)], flag))
	case k < 5 && uid > 0:
		m.run(fmt.Sprintf("UID STORE %d +FLAGS (%s)", uid, flag))
	case k < 6:
		m.run("EXPUNGE")
	case k < 7 && uid > 0:
		m.run(fmt.Sprintf("UID MOVE %d Archive", uid))
	case k < 8:
		m.run(fmt.Sprintf("COPY %d INBOX", m.any()))
	case k < 9:
		m.run(fmt.Sprintf("FETCH %d (UID FLAGS)", m.any()))
	case k < 10:
		m.run("SEARCH UNDELETED BODY body")
	case k < 11:
		m.run("NOOP")
	default:
		m.learn()
	}
}

// Several sessions change one mailbox at once. Each believes only what it has
// been told; none is ever told something that the rules forbid, and in the
// end all agree with the store. RFC 9051 §7.5.1
func TestSessionsAtOnce(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	addr := h.listen()
	for i := range 5 {
		h.append(short(i))
	}
	var mirrors []*mirror
	for i := range 4 {
		m := &mirror{client: h.dial(addr), name: "session " + strconv.Itoa(i)}
		m.run("SELECT INBOX")
		m.learn()
		mirrors = append(mirrors, m)
	}
	var work sync.WaitGroup
	for _, m := range mirrors {
		work.Go(func() {
			for i := range 150 {
				m.step(i)
			}
		})
	}
	work.Wait()
	for _, m := range mirrors {
		m.run("NOOP")
		known := slices.Clone(m.flags)
		m.learn()
		for i, f := range known {
			if f != "?" && f != m.flags[i] {
				t.Errorf("%s: flags of UID %d were told to be %q and are %q", m.name, m.uids[i], f, m.flags[i])
			}
		}
		if !slices.Equal(m.uids, mirrors[0].uids) || !slices.Equal(m.flags, mirrors[0].flags) {
			t.Errorf("%s and %s disagree:\n%v %v\n%v %v", m.name, mirrors[0].name, m.uids, m.flags, mirrors[0].uids, mirrors[0].flags)
		}
	}
}
