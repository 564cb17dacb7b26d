package relay_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/flow/relay"
	"waxwing/test/house"
)

// What hosts do, and what becomes of the message for carol.
func TestHosts(t *testing.T) {
	prefix := func(replies map[string]string) func(string) string {
		return func(line string) string {
			for start, reply := range replies {
				if line == start || start != "" && strings.HasPrefix(line, start) {
					return reply
				}
			}
			return ""
		}
	}
	const sent, waits = "sent", "waits"
	for _, tt := range []struct {
		what    string
		replies map[string]string
		becomes string // sent, waits, or what the bounce says
	}{
		{"knows HELO only", map[string]string{"EHLO": "502 what"}, sent},
		{"offers nothing", map[string]string{"EHLO": "250 host.test"}, sent},
		{"has thought better of STARTTLS", map[string]string{"EHLO": "250-host.test\r\n250 STARTTLS", "STARTTLS": "454 not now"}, sent},
		{"refuses STARTTLS", map[string]string{"EHLO": "250-host.test\r\n250 STARTTLS", "STARTTLS": "502 what"}, sent},
		{"breaks TLS", map[string]string{"EHLO": "250-host.test\r\n250 STARTTLS", "STARTTLS": "220 go on"}, sent},
		{"hangs up at STARTTLS", map[string]string{"EHLO": "250-host.test\r\n250 STARTTLS", "STARTTLS": "close"}, sent},
		{"injects behind STARTTLS", map[string]string{"EHLO": "250-host.test\r\n250 STARTTLS", "STARTTLS": "220 go on\r\n250 injected"}, sent},
		{"takes large messages", map[string]string{"EHLO": "250-host.test\r\n250 SIZE 0"}, sent},

		{"is busy", map[string]string{"": "421 4.3.2 busy"}, waits},
		{"hangs up", map[string]string{"": "close"}, waits},
		{"speaks another language", map[string]string{"": "SSH-2.0-OpenSSH_9.2"}, waits},
		{"puts EHLO off", map[string]string{"EHLO": "451 later"}, waits},
		{"hangs up at EHLO", map[string]string{"EHLO": "close"}, waits},
		{"puts MAIL off", map[string]string{"MAIL": "450 4.7.1 later"}, waits},
		{"puts RCPT off", map[string]string{"RCPT": "450 4.2.1 greylisted"}, waits},
		{"hangs up at RCPT", map[string]string{"RCPT": "421 4.3.0 that is enough"}, waits},
		{"puts DATA off", map[string]string{"DATA": "451 later"}, waits},
		{"puts the message off", map[string]string{".": "452 4.3.1 full"}, waits},
		{"hangs up at the message", map[string]string{".": "close"}, waits},

		{"takes no mail", map[string]string{"": "554 5.3.2 no mail here"}, "554 5.3.2 no mail here"},
		{"refuses MAIL", map[string]string{"MAIL": "550 5.7.1 not you"}, "550 5.7.1 not you"},
		{"refuses RCPT", map[string]string{"RCPT": "550 5.1.1 nobody"}, "550 5.1.1 nobody"},
		{"refuses DATA", map[string]string{"DATA": "554 5.7.1 no"}, "554 5.7.1 no"},
		{"refuses the message", map[string]string{".": "550-5.7.1 spam\r\n550 5.7.1 go away"}, "550 5.7.1 spam go away"},
		{"greets with our name", map[string]string{"": "220 " + strings.ToUpper(house.Hostname) + " ESMTP"}, "5.4.6 mail loops back to us"},
		{"takes small messages", map[string]string{"EHLO": "250-host.test\r\n250 SIZE 10"}, "552 5.3.4 Peer takes at most 10 octets"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h, far := house.New(t), newHost(t, prefix(tt.replies))
			run(t, h, far, relay.Schedule{First: time.Hour})
			enqueue(t, h, text, "carol@near.test")
			eventually(t, tt.becomes, func() bool {
				q, inbox := h.Queued(), h.Inbox(h.Alice)
				switch tt.becomes {
				case sent:
					return len(far.got()) == 1 && len(q) == 0
				case waits:
					return len(q) == 1 && q[0].Tries == 1 && !q[0].Leased
				}
				return len(inbox) == 1 && len(q) == 0
			})
			if bounces := h.Inbox(h.Alice); tt.becomes != sent && tt.becomes != waits {
				if !strings.Contains(strings.Join(strings.Fields(bounces[0]), " "), tt.becomes) {
					t.Errorf("the bounce says %s", bounces[0])
				}
			} else if len(bounces) != 0 {
				t.Errorf("a bounce: %s", bounces[0])
			}
		})
	}
}

// Recipients of one message fare differently: each is tried again, refused or
// done for itself, and nobody gets it twice.
func TestPartly(t *testing.T) {
	h := house.New(t)
	var mu sync.Mutex
	tries := map[string]int{}
	far := newHost(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		to, ok := strings.CutPrefix(line, "RCPT TO:<")
		if !ok {
			return ""
		}
		name, _, _ := strings.Cut(to, "@")
		tries[name]++
		switch {
		case name == "later" && tries[name] == 1:
			return "450 4.2.1 later"
		case name == "never":
			return "550 5.1.1 never"
		}
		return ""
	})
	run(t, h, far, relay.Schedule{First: 20 * time.Millisecond})
	enqueue(t, h, text, "now@near.test", "later@near.test", "never@near.test")
	eventually(t, "an empty queue", func() bool { return len(h.Queued()) == 0 })
	mu.Lock()
	defer mu.Unlock()
	if tries["now"] != 1 || tries["later"] != 2 || tries["never"] != 1 {
		t.Errorf("tries: %v", tries)
	}
	if n := len(far.got()); n != 2 {
		t.Errorf("%d transactions", n)
	}
	bounces := h.Inbox(h.Alice)
	if len(bounces) != 1 || strings.Count(bounces[0], "Final-Recipient:") != 1 {
		t.Errorf("bounces: %q", bounces)
	}
}
