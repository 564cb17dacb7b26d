package smtpserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/test/transcript"
)

// A house is what stands behind the machine in these tests: it takes mail for
// everyone at x.test, but for some names that mean something.
type house struct {
	mu       sync.Mutex
	messages []message
	newErr   error
	delay    time.Duration // of the greeting
	tolerant bool          // early talkers may go on
}

type message struct {
	from mail.Address
	to   []mail.Address
	body string
	with string
}

func (h *house) open(_ context.Context, info *smtpserver.Info) (smtpserver.Session, error) {
	if h.newErr != nil {
		return nil, h.newErr
	}
	return &session{house: h, info: info}, nil
}

type session struct {
	house *house
	info  *smtpserver.Info
	now   message
}

func (s *session) GreetingDelay() time.Duration { return s.house.delay }

func (s *session) EarlyTalker(context.Context) error {
	if s.house.tolerant {
		return nil
	}
	return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 5, 1}, Text: "You must wait for the greeting"}
}

func (s *session) Hello(_ context.Context, name string, _ bool) error {
	if name == "banned.test" {
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Not you"}
	}
	return nil
}

func (s *session) Authenticated(_ context.Context, who sasl.Identity) error {
	if who.Login.Local == "locked" {
		return &smtp.Refusal{Code: 535, Enhanced: smtp.Enhanced{5, 7, 13}, Text: "Account is disabled"}
	}
	return nil
}

func (s *session) Mail(_ context.Context, m smtp.Mail) error {
	switch m.From.Local {
	case "trouble":
		return errors.New("the disk is on fire")
	case "panic":
		panic("as asked")
	}
	s.now = message{from: m.From}
	return nil
}

func (s *session) Rcpt(_ context.Context, r smtp.Rcpt) error {
	switch {
	case r.To.Local == "nobody":
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such user"}
	case r.To.Local == "whoami":
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: s.info.Addr().String() + " " + s.info.ReverseName}
	case r.To.Local == "later":
		return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 2, 1}, Text: "Come back"}
	case r.To.Local == "hangup":
		return &smtp.Refusal{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Go away"}
	}
	s.now.to = append(s.now.to, r.To)
	return nil
}

func (s *session) Data(ctx context.Context, r io.Reader) (smtp.Reply, error) {
	switch s.now.from.Local {
	case "early": // refuses before it has read anything
		return smtp.Reply{}, &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Unwanted"}
	case "halfread": // a bug in a door must not lose mail
		_, _ = io.CopyN(io.Discard, r, 1)
		return smtp.Reply{Code: 250, Text: "wrong"}, nil
	case "stuck": // until nobody waits any more
		<-ctx.Done()
		return smtp.Reply{}, ctx.Err()
	}
	var b strings.Builder
	if _, err := io.Copy(&b, r); err != nil {
		return smtp.Reply{}, err
	}
	s.now.body, s.now.with = b.String(), s.info.Protocol()
	s.house.mu.Lock()
	defer s.house.mu.Unlock()
	s.house.messages = append(s.house.messages, s.now)
	text := "taken " + strconv.Itoa(b.Len()) + " with " + s.now.with + " " + strconv.QuoteToASCII(tail(s.now.body))
	s.now = message{}
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Text: text}, nil
}

// DataEach has a reply for each recipient; "full" has no room.
func (s *session) DataEach(ctx context.Context, r io.Reader) ([]smtp.Reply, error) {
	to := s.now.to
	reply, err := s.Data(ctx, r)
	var replies []smtp.Reply
	for _, a := range to {
		if a.Local == "full" {
			replies = append(replies, smtp.Reply{Code: 452, Enhanced: smtp.Enhanced{4, 2, 2}, Text: "No room"})
			continue
		}
		replies = append(replies, reply)
	}
	return replies, err
}

// urls resolves a few URLs.
type urls struct{}

func (urls) Fetch(_ context.Context, who sasl.Identity, url string) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(url, "missing"):
		return nil, errors.New("no such message")
	case strings.HasSuffix(url, "mine"):
		return io.NopCloser(strings.NewReader("Subject: of " + who.Login.Local + "\r\n\r\n")), nil
	}
	return nil, &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "URL resolution requires trust relationship"}
}

func tail(s string) string { return s[max(0, len(s)-40):] }

func (s *session) Verify(_ context.Context, who string) (smtp.Reply, error) {
	return smtp.Reply{Code: 252, Enhanced: smtp.Enhanced{2, 0, 0}, Text: "Try it: " + who}, nil
}

func (s *session) Expand(context.Context, string) (smtp.Reply, error) {
	return smtp.Reply{}, &smtp.Refusal{Code: 502, Enhanced: smtp.Enhanced{5, 5, 1}, Text: "Lists are not shown"}
}

func (s *session) Reset() { s.now = message{} }
func (s *session) Close() {}

// users is a sasl.Backend that knows ann and locked, both with the password
// "secret".
type users struct{}

func (users) Password(_ context.Context, _ sasl.Peer, _, user, password string) (sasl.Identity, error) {
	switch {
	case user == "flood":
		return sasl.Identity{}, sasl.ErrThrottled
	case user == "broken":
		return sasl.Identity{}, sasl.ErrTemporary
	case !slices.Contains([]string{"ann", "locked"}, user) || password != "secret":
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: 1, Login: mail.Address{Local: user, Domain: "x.test"}, Mechanism: "PLAIN"}, nil
}

func (users) SCRAM(context.Context, sasl.Peer, string) (sasl.SCRAMKeys, error) {
	return sasl.NewSCRAMKeys("secret", []byte("salt"), 4096)
}

func (users) SCRAMResult(_ context.Context, _ sasl.Peer, _, user string, succeeded bool) (sasl.Identity, error) {
	if !succeeded {
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: 1, Login: mail.Address{Local: user, Domain: "x.test"}, Mechanism: "SCRAM-SHA-256"}, nil
}

// optionsOf reads the O: lines of a transcript.
func optionsOf(t testing.TB, from transcript.Options) smtpserver.Options {
	o := smtpserver.Options{Hostname: "mx.example"}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for key, value := range from {
		switch key {
		case "tls":
			o.TLS = &tls.Config{Certificates: []tls.Certificate{transcript.Certificate(t)}}
			o.ImplicitTLS = value == "implicit"
			o.RequireTLS = value == "required"
		case "auth":
			o.Auth = users{}
			o.PlaintextAuth = strings.Contains(value, "plaintext")
			o.RequireAuth = strings.Contains(value, "required")
		case "honours":
			for word := range strings.FieldsSeq(value) {
				o.Honours |= smtp.ExtensionNamed(word)
			}
		case "min-by":
			o.MinDeliverBy = time.Duration(number(value)) * time.Second
		case "max-hold":
			o.MaxHold = time.Duration(number(value)) * time.Second
		case "unsolicited":
			o.Unsolicited = value
		case "messages":
			o.MaxMessages = number(value)
		case "domains":
			o.MaxDomains = number(value)
		case "lmtp":
			o.LMTP = true
		case "xclient":
			o.TrustXCLIENT = func(a netip.Addr) bool { return a == netip.MustParseAddr(value) }
		case "burl":
			o.Fetch = urls{}
		case "normalise":
			o.Newlines = smtpserver.NormaliseBareNewlines
		case "size":
			o.MaxSize = mail.ByteCount(number(value))
		case "errors":
			o.MaxErrors = number(value)
		case "idle":
			o.MaxIdleCommands = number(value)
		case "per-address":
			o.MaxPerAddress = number(value)
		case "recipients":
			o.MaxRecipients = number(value)
		case "new", "stop", "greeting-delay", "tolerant":
		default:
			t.Fatalf("unknown option %q", key)
		}
	}
	return o
}

// Every file in testdata is a conversation.
func TestTranscripts(t *testing.T) {
	transcript.Run(t, "testdata/*.smtp", func(t *testing.T, from transcript.Options) transcript.Dial {
		h := &house{}
		switch from["new"] {
		case "refuse":
			h.newErr = &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "No mail from you"}
		case "hangup":
			h.newErr = &smtp.Refusal{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Not now"}
		case "fail":
			h.newErr = errors.New("no memory")
		}
		h.delay, _ = time.ParseDuration(from["greeting-delay"])
		h.tolerant = from["tolerant"] != ""
		l := transcript.Listen(25)
		ctx, stop := context.WithCancel(t.Context())
		if after := from["stop"]; after != "" {
			d, err := time.ParseDuration(after)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop = context.WithTimeout(t.Context(), d)
		}
		served := make(chan error, 1)
		go func() { served <- smtpserver.New(h.open, optionsOf(t, from)).Serve(ctx, l) }()
		t.Cleanup(func() {
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		return l.Dial
	})
}
