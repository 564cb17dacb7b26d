package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// makeMbox writes an mbox file of so many messages, the last two of which are
// equal.
func makeMbox(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mbox FILE MESSAGES")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b strings.Builder
	for i := range n {
		i = min(i, n-2)
		fmt.Fprintf(&b, "From eve@example.org Mon Nov  2 10:00:00 2026\nFrom: eve@example.org\nMessage-ID: <%d@example.org>\nSubject: number %d\n\n%s\n",
			i, i, noise(uint64(i)))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// noise gives some 5,000 octets that compression makes little of, the same ones
// for a number.
func noise(number uint64) string {
	rng := rand.New(rand.NewPCG(number, 0))
	var b strings.Builder
	for range 70 {
		for range 6 {
			fmt.Fprintf(&b, "%x ", rng.Uint64())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// cutter stands before a port and cuts the connections to it, one after the
// other, after so many octets from there; those after the last number stay.
func cutter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: cutter VARIABLE PORT OCTETS...")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	var all sync.WaitGroup
	ts.Defer(func() {
		_ = l.Close()
		all.Wait()
	})
	all.Go(func() {
		for cuts := args[2:]; ; {
			client, err := l.Accept()
			if err != nil {
				return
			}
			most := int64(1) << 40
			if len(cuts) > 0 {
				most, _ = strconv.ParseInt(cuts[0], 10, 64)
				cuts = cuts[1:]
			}
			server, err := net.Dial("tcp", "127.0.0.1:"+args[1])
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			all.Go(func() {
				_, _ = io.CopyN(client, server, most)
				_, _ = client.Close(), server.Close()
			})
		}
	})
}
