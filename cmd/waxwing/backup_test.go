package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// subjects lists a mailbox by IMAP.
func subjects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: subjects WHO MAILBOX [PASSWORD]")
	}
	for _, line := range browseByIMAP(ts, args, "FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])") {
		fmt.Fprint(ts.Stdout(), line)
	}
}

// expunge deletes all messages of a mailbox by IMAP.
func expunge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expunge WHO MAILBOX")
	}
	converseByIMAP(ts, "LOGIN "+args[0]+" waxwing", "SELECT \""+args[1]+"\"", "STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE", "LOGOUT")
}

var uidValidity = regexp.MustCompile(`UIDVALIDITY [0-9]+`)

// validity demands that the UIDVALIDITY of a mailbox is (or, with !, is not)
// what it was when the file was written; it writes the file if there is none.
func validity(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] validity WHO MAILBOX FILE")
	}
	lines := browseByIMAP(ts, args[:2], "STATUS \""+args[1]+"\" (UIDVALIDITY)")
	now := uidValidity.FindString(strings.Join(lines, ""))
	if now == "" {
		ts.Fatalf("no UIDVALIDITY in %q", lines)
	}
	was, err := os.ReadFile(ts.MkAbs(args[2]))
	if errors.Is(err, fs.ErrNotExist) {
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(now), 0o600))
		return
	}
	ts.Check(err)
	if same := string(was) == now; same == neg {
		ts.Fatalf("%s, and was %s", now, was)
	}
}

// browseByIMAP logs in, selects a mailbox and gives what one more command is
// answered, but for its last line.
func browseByIMAP(ts *testscript.TestScript, args []string, command string) (found []string) {
	password := "waxwing"
	if len(args) == 3 {
		password = args[2]
	}
	return converseByIMAP(ts, "LOGIN "+args[0]+" "+password, "EXAMINE \""+args[1]+"\"", command, "LOGOUT")
}

// converseByIMAP gives what the third command is answered.
func converseByIMAP(ts *testscript.TestScript, commands ...string) (found []string) {
	base, err := strconv.Atoi(ts.Getenv("PORT"))
	ts.Check(err)
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", base+143))
	ts.Check(err)
	defer c.Close()
	in := bufio.NewReader(c)
	for i, command := range commands {
		tag := fmt.Sprint("t", i)
		_, err := fmt.Fprintf(c, "%s %s\r\n", tag, command)
		ts.Check(err)
		for {
			line, err := in.ReadString('\n')
			ts.Check(err)
			if done, ok := strings.CutPrefix(line, tag+" "); ok {
				if !strings.HasPrefix(done, "OK") && i != 2 { // an empty mailbox has no 1:*
					ts.Fatalf("%s: %s", command, done)
				}
				break
			}
			if i == 2 {
				found = append(found, line)
			}
		}
	}
	return found
}
