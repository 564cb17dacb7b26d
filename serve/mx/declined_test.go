package mx_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"waxwing/flow/receive"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/mx"
	"waxwing/store/trace"
	"waxwing/test/house"
	"waxwing/test/transcript"
)

// steps remembers what the trace is told.
type steps struct {
	mu  sync.Mutex
	all []string // guarded by mu
}

func (s *steps) Record(_ context.Context, e trace.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, fmt.Sprint(e.Step, " ", e.From, " ", e.To, " ", e.Reason))
}

// What the machine refuses without asking the door is told, too.
func TestDeclinedIsTold(t *testing.T) {
	h, told := house.New(t), &steps{}
	receiver := receive.New(h.Deliverer, h.Blobs, receive.Options{Hostname: house.Hostname, Trace: told})
	server := smtpserver.New(mx.Door(receiver, house.Hostname), smtpserver.Options{Hostname: house.Hostname, MaxSize: 1000})
	l := transcript.Listen(25)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	client := l.Dial()
	said := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(client) // it may be cut off
		said <- string(all)
	}()
	_, err := io.WriteString(client, "EHLO c.example\r\nMAIL FROM:<large@a.example> SIZE=1001\r\nMAIL FROM:<jürgen@a.example>\r\n"+
		"MAIL FROM:<a b@a.example>\r\nMAIL FROM:<ann@a.example>\r\nRCPT TO:<jürgen@example.test>\r\nRCPT TO:<bob@example..test>\r\nQUIT\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answers := <-said
	_ = client.Close()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	for _, want := range []string{
		"refused large@a.example [] 552 5.3.4",
		"refused jürgen@a.example [] 553 5.6.7",
		"refused  [] 501 5.1.7",
		"recipient ann@a.example [jürgen@example.test] 553 5.6.7",
		"refused ann@a.example [] 501 5.1.3",
	} {
		if !slices.ContainsFunc(told.all, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%s is not told: %q; said %s", want, told.all, answers)
		}
	}
}
