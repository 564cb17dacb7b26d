package imap

import (
	"fmt"
	"strings"
	"testing"

	"waxwing/store/mailbox"
)

// A trial is one command of RFC 4314 §4 with the rights that it takes. B is a
// mailbox that alice has granted rights to, M one that bob may write into.
type trial struct {
	command string
	needs   string // each of these
	any     string // and one of these, if there are any
	// done, where it is not empty, is what alice sees afterwards, if and only
	// if it has been allowed: a FETCH response, or a STATUS of B. The command
	// itself says OK in any case then.
	done  string
	opens bool   // B is selected before it
	line  string // what the command goes on with
}

// trials is the table of RFC 4314 §4, with what other RFCs add to it.
var trials = []trial{
	{command: `STATUS B (MESSAGES)`, needs: "r"},
	{command: `SELECT B`, needs: "r"},
	{command: `EXAMINE B`, needs: "r"},
	{command: `CREATE B/New`, needs: "k"},
	{command: `RENAME B/Old B/New`, needs: "xk"}, // x of what moves, k of where it goes
	{command: `DELETE B/Old`, needs: "x"},
	{command: `DELETE B`, needs: "x"},
	{command: `SETACL B bob lr`, needs: "a"},
	{command: `DELETEACL B anyone`, needs: "a"},
	{command: `GETACL B`, needs: "a"},
	{command: `LISTRIGHTS B bob`, needs: "a"},
	{command: `MYRIGHTS B`, any: "lrikxa"},
	{command: `APPEND B {5+}`, line: "a: b1", needs: "i"},
	{command: `SUBSCRIBE B`},
	{command: `UNSUBSCRIBE B`},
	{command: `GETQUOTAROOT B`, needs: "r"},                               // RFC 9208 §6
	{command: `GETMETADATA B /private/comment`, needs: "l", any: "rswip"}, // RFC 5464 §3.3
	{command: `SETMETADATA B (/private/comment "x")`, needs: "l", any: "rswip"},
	{command: `RESETKEY B`, needs: "r"}, // RFC 4467 §7

	{command: `EXPUNGE`, opens: true, needs: "re"},
	{command: `UID EXPUNGE 1:*`, opens: true, needs: "re"},
	{command: `CLOSE`, opens: true, needs: "re", done: `STATUS B (MESSAGES 1)`},
	{command: `FETCH 2 BODY[]`, opens: true, needs: "rs", done: `\Seen`},
	{command: `STORE 2 +FLAGS (\Seen)`, opens: true, needs: "rs"},
	{command: `STORE 2 +FLAGS (\Deleted)`, opens: true, needs: "rt"},
	{command: `STORE 2 +FLAGS (\Flagged)`, opens: true, needs: "rw"},
	{command: `STORE 2 +FLAGS ($Work)`, opens: true, needs: "rw"},
	{command: `COPY 2 B`, needs: "i"},
	{command: `COPY 2 M`, opens: true, needs: "r"},
	{command: `MOVE 2 M`, opens: true, needs: "rte"},                        // RFC 6851 §4.2
	{command: `REPLACE 2 M {5+}`, line: "a: b1", opens: true, needs: "rte"}, // RFC 8508 §4.1
	{command: `UID REPLACE 1 B {5+}`, line: "a: b1", needs: "i"},
}

// allowed tells what the table says of a set of rights.
func (t *trial) allowed(rights string) bool {
	for _, r := range t.needs {
		if !strings.ContainsRune(rights, r) {
			return false
		}
	}
	return t.any == "" || strings.ContainsAny(rights, t.any)
}

// Each command is tried with each right alone, and with all rights but one: it
// goes where the rights are those that RFC 4314 §4 has it take, and nowhere
// else.
func TestRights(t *testing.T) {
	const letters = "lrswipkxtea"
	h := newHouse(t, mailbox.Options{})
	addr := h.listen()
	alice := h.dial(addr)
	bob := h.dialAs(addr, "bob")
	bob.ok("CREATE Mine")
	sets := []string{letters}
	for i := range letters {
		sets = append(sets, letters[:i]+letters[i+1:])
		if testing.Short() {
			continue
		}
		sets = append(sets, letters[i:i+1])
		if letters[i] != 'r' {
			sets = append(sets, "r"+letters[i:i+1])
		}
	}
	n := 0
	for _, rights := range sets {
		for i := range trials {
			n++
			trials[i].try(t, alice, bob, fmt.Sprintf("B%d", n), rights)
		}
		listed(t, alice, bob, fmt.Sprintf("L%d", n), rights)
	}
}

// try makes a mailbox and tries the command on it.
func (t *trial) try(test *testing.T, alice, bob *client, name, rights string) {
	test.Helper()
	alice.ok("CREATE " + name + "/Old")
	for _, box := range []string{name, name + "/Old"} {
		alice.ok("SETACL " + box + " bob " + rights)
	}
	alice.ok(`APPEND ` + name + " (\\Deleted) {5+}\r\na: b1 {5+}\r\na: b2")
	box := `"Other Users/alice@example.test/` + name
	if t.opens {
		if _, tagged := bob.do("SELECT " + box + `"`); !strings.HasPrefix(tagged, "OK") {
			if t.allowed(rights) {
				test.Errorf("%s with %s: %s", t.command, rights, tagged)
			}
			return
		}
	} else {
		bob.ok("APPEND Mine {5+}\r\na: b1 {5+}\r\na: b2")
		bob.ok("SELECT Mine")
	}
	words := strings.Fields(t.command)
	for i, w := range words {
		switch {
		case i == 0 && w != "UID":
		case w == "B" || strings.HasPrefix(w, "B/"):
			words[i] = box + w[1:] + `"`
		case w == "M":
			words[i] = "Mine"
		case w == "1" && words[i-1] == "REPLACE":
			words[i] = "*"
		}
	}
	command := strings.Join(words, " ")
	if t.line != "" {
		command += "\r\n" + t.line
	}
	_, tagged := bob.do(command)
	went := strings.HasPrefix(tagged, "OK")
	if t.done != "" {
		if !went {
			test.Errorf("%s with %s: %s", t.command, rights, tagged)
		}
		var seen []string
		if strings.HasPrefix(t.done, "STATUS") {
			seen = alice.ok("STATUS " + name + " (MESSAGES)")
		} else {
			alice.ok("EXAMINE " + name)
			seen = alice.ok("FETCH 2 (FLAGS)")
			alice.ok("UNSELECT")
		}
		went = strings.Contains(strings.Join(seen, "\n"), strings.ReplaceAll(t.done, "STATUS B", "STATUS "+name))
	}
	if went != t.allowed(rights) {
		test.Errorf("%s with %q: %s, %v", t.command, rights, tagged, went)
	}
	bob.do("UNSELECT")
}

// listed tries LIST, which does not refuse: what may not be looked up is not
// told.
func listed(t *testing.T, alice, bob *client, name, rights string) {
	t.Helper()
	alice.ok("CREATE " + name)
	alice.ok("SETACL " + name + " bob " + rights)
	told := len(bob.ok(`LIST "" "Other Users/alice@example.test/`+name+`"`)) == 1
	if told != strings.Contains(rights, "l") {
		t.Errorf("LIST with %s: %v", rights, told)
	}
	alice.ok("DELETE " + name)
}
