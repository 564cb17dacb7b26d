package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// subjects lists a mailbox by IMAP.
func subjects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: subjects WHO MAILBOX [PASSWORD]")
	}
	password := "waxwing"
	if len(args) == 3 {
		password = args[2]
	}
	base, err := strconv.Atoi(ts.Getenv("PORT"))
	ts.Check(err)
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", base+143))
	ts.Check(err)
	defer c.Close()
	in := bufio.NewReader(c)
	for i, command := range []string{
		"LOGIN " + args[0] + " " + password, "EXAMINE \"" + args[1] + "\"",
		"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "LOGOUT",
	} {
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
				fmt.Fprint(ts.Stdout(), line)
			}
		}
	}
}
