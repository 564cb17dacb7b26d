package relay_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/mx"
	"waxwing/store/blob"
	"waxwing/store/directory"
	"waxwing/store/outqueue"
	"waxwing/store/stspolicies"
	"waxwing/store/trace"
	"waxwing/test/engine"
	"waxwing/test/house"
	"waxwing/test/transcript"
	"waxwing/trust/mtasts"
	"waxwing/trust/tlsrpt"
)

// A reach is a relay, and a host that it reaches by TLS or not: mail.example,
// which has the mail of several domains.
type reach struct {
	*house.House
	there  *house.House
	cert   tls.Certificate
	world  dnstest.Zone
	policy mtasts.Policy // of sts.test
	port   int

	mu       sync.Mutex
	sessions []string // guarded by mu
	calls    int      // guarded by mu
	secured  string   // what the trace says of the last attempt; guarded by mu
}

// Record makes it a trace.Recorder.
func (r *reach) Record(_ context.Context, e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Step != trace.Done {
		r.secured = e.TLS
	}
}

// keyOf names a certificate's key.
func keyOf(c *x509.Certificate) dns.TLSA {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: sum[:]}
}

// counted counts connections.
type counted struct {
	net.Listener
	r *reach
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.r.mu.Lock()
		c.r.calls++
		c.r.mu.Unlock()
	}
	return conn, err
}

// newReach makes the host, which offers TLS or does not, and other extensions.
func newReach(t *testing.T, offers bool, honours ...smtp.Extensions) *reach {
	t.Helper()
	r := &reach{House: house.New(t), there: house.New(t), cert: transcript.Certificate(t)}
	r.world = dnstest.Zone{
		A: map[string][]string{"mail.example": {"127.0.0.1"}, "other.example": {"127.0.0.1"}}, MX: map[string][]dns.MX{},
		TXT:  map[string][]string{"_mta-sts.sts.test": {"v=STSv1; id=1;"}, "_mta-sts.two.test": {"v=STSv1; id=1;"}},
		TLSA: map[string][]dns.TLSA{}, Authentic: true, Inauthentic: map[string]bool{"plain.test": true, "sts.test": true, "two.test": true},
	}
	for _, domain := range []string{"plain.test", "dane.test", "sts.test", "two.test"} {
		if _, err := r.there.Directory.AddDomain(t.Context(), time.Now(), directory.Domain{Name: domain}); err != nil {
			t.Fatal(err)
		}
		r.there.Alias("carol@"+domain, "bob@example.test")
		r.world.MX[domain] = []dns.MX{{Host: "mail.example", Preference: 20}}
	}
	r.world.MX["two.test"] = append(r.world.MX["two.test"], dns.MX{Host: "other.example", Preference: 10})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.port = l.Addr().(*net.TCPAddr).Port
	o := smtpserver.Options{Hostname: "mail.example", DrainTimeout: time.Second}
	for _, e := range honours {
		o.Honours |= e
	}
	if offers {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{r.cert}}
	}
	server := smtpserver.New(mx.Door(r.there.Receiver, "mail.example"), o)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, counted{l, r}) }()
	t.Cleanup(func() { stop(); <-served })
	return r
}

// publish publishes TLSA records of the host.
func (r *reach) publish(records ...dns.TLSA) {
	r.world.TLSA[fmt.Sprintf("_%d._tcp.mail.example", r.port)] = records
}

// start starts the relay, which trusts the host's certificate or nobody.
func (r *reach) start(t *testing.T, trusted bool, transport ...relay.Transport) *relay.Relay {
	t.Helper()
	roots := x509.NewCertPool()
	if trusted {
		roots.AddCert(r.cert.Leaf)
	}
	db := engine.New(t)
	t.Cleanup(func() { _ = db.Close() })
	fetch := func(context.Context, string) (mtasts.Policy, error) { return r.policy, nil }
	sender := relay.New(r.Queue, r.Deliverer, r.Blobs, r.world, relay.Options{
		Hostname: house.Hostname, Port: r.port, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Log: r.Log,
		Schedule: relay.Schedule{First: time.Hour}, Transport: transport, Trace: r,
		Attempts: 1, // the next begins when a connection has been kept
		Policies: mtasts.New(r.world, fetch, stspolicies.New(db), r.Log),
		Sessions: func(s tlsrpt.Session) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.sessions = append(r.sessions, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", s.Policy.Type, s.Domain, s.MX, s.Result)))
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = sender.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return sender
}

// become waits until a message is done, or waits in the queue after a try, and
// gives the newest item then.
func (r *reach) become(t *testing.T) *outqueue.Item {
	t.Helper()
	var last *outqueue.Item
	eventually(t, "an end", func() bool {
		last = nil
		for _, item := range r.Queued() {
			if last == nil || item.ID > last.ID {
				last = item
			}
		}
		return last == nil || last.Tries > 0 && !last.Leased
	})
	return last
}

func (r *reach) told() (sessions []string, calls int, secured string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sessions), r.calls, r.secured
}

// TestReach is what becomes of mail by what domains publish, what the
// administrator and the sender say, and what the host does.
func TestReach(t *testing.T) {
	enforce := mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mail.example"}, MaxAge: 24 * time.Hour}
	tests, others := enforce, enforce
	tests.Mode, others.MX = mtasts.Testing, []string{"mx.elsewhere.example"}
	testsOthers := others
	testsOthers.Mode = mtasts.Testing
	right := func(r *reach) { r.publish(keyOf(r.cert.Leaf)) }
	wrong := func(r *reach) { r.publish(keyOf(transcript.Certificate(t).Leaf)) }
	both := func(r *reach) { r.publish(keyOf(transcript.Certificate(t).Leaf), keyOf(r.cert.Leaf)) }
	odd := func(r *reach) { r.publish(dns.TLSA{Usage: 1, Selector: 1, Matching: 1, Data: make([]byte, 32)}) }
	lost := func(r *reach) { r.world.Bogus = map[string]bool{fmt.Sprintf("_%d._tcp.mail.example", r.port): true} }
	level := func(l relay.Level) []relay.Transport { return []relay.Transport{{Domain: "*", Level: l}} }
	for name, tt := range map[string]struct {
		to       string
		bare     bool // the host offers no TLS
		trusted  bool
		publish  func(*reach)
		policy   mtasts.Policy
		say      []relay.Transport
		optional bool
		// what is said of it if it waits; empty for sent
		status, text string
		sessions     string
		trace        string // what the trace says of the connection
	}{
		"opportunistic":           {to: "plain.test", sessions: "no-policy-found plain.test mail.example", trace: "TLS 1.3"},
		"opportunistic, in clear": {to: "plain.test", bare: true, sessions: "no-policy-found plain.test mail.example starttls-not-supported"},

		"TLSA":               {to: "dane.test", publish: right, sessions: "tlsa dane.test mail.example", trace: ", proven by DANE (3 1 1)"},
		"TLSA, unproven MX":  {to: "plain.test", publish: right, sessions: "tlsa plain.test mail.example", trace: "proven by DANE (3 1 1), wanted by DANE, of a host that unproven MX records name"},
		"TLSA, rollover":     {to: "dane.test", publish: both, sessions: "tlsa dane.test mail.example"},
		"TLSA, wrong":        {to: "dane.test", publish: wrong, status: "4.7.5", text: "names the host's certificate", sessions: "tlsa dane.test mail.example tlsa-invalid"},
		"TLSA, stripped":     {to: "dane.test", publish: right, bare: true, status: "4.7.10", text: "offers no TLS", sessions: "tlsa dane.test mail.example starttls-not-supported"},
		"TLSA of no use":     {to: "dane.test", publish: odd, sessions: "tlsa dane.test mail.example", trace: "wanted by TLSA records of which none can be used"},
		"the same, stripped": {to: "dane.test", publish: odd, bare: true, status: "4.7.10", text: "TLSA records of which none can be used", sessions: "tlsa dane.test mail.example starttls-not-supported"},
		"TLSA, bogus":        {to: "dane.test", publish: lost, status: "4.4.3", text: "TLSA records of the mail host", sessions: "tlsa dane.test mail.example dnssec-invalid"},

		"MTA-STS":                    {to: "sts.test", trusted: true, policy: enforce, sessions: "sts sts.test mail.example", trace: "proven by an authority, wanted by MTA-STS"},
		"MTA-STS, unknown authority": {to: "sts.test", policy: enforce, status: "4.7.5", text: "certificate", sessions: "sts sts.test mail.example certificate-not-trusted"},
		"MTA-STS, stripped":          {to: "sts.test", trusted: true, bare: true, policy: enforce, status: "4.7.10", text: "MTA-STS demands it", sessions: "sts sts.test mail.example starttls-not-supported"},
		"MTA-STS, host not named":    {to: "sts.test", trusted: true, policy: others, status: "4.7.0", text: "does not name the host mail.example", sessions: "sts sts.test mail.example validation-failure"},
		"MTA-STS, next host":         {to: "two.test", trusted: true, policy: enforce, sessions: "sts two.test other.example validation-failure, sts two.test mail.example"},
		"testing":                    {to: "sts.test", trusted: true, policy: tests, sessions: "sts sts.test mail.example"},
		"testing, unknown authority": {to: "sts.test", policy: tests, sessions: "sts sts.test mail.example certificate-not-trusted", trace: "not proven: x509: certificate signed by unknown authority, wanted by MTA-STS (testing)"},
		"testing, stripped":          {to: "sts.test", bare: true, policy: tests, sessions: "sts sts.test mail.example starttls-not-supported", trace: "no TLS, not proven: there is no TLS, wanted by MTA-STS (testing)"},
		"testing, host not named":    {to: "sts.test", policy: testsOthers, sessions: "no-policy-found sts.test mail.example, sts sts.test mail.example validation-failure"},

		"required":              {to: "plain.test", say: level(relay.Needed), sessions: "no-policy-found plain.test mail.example"},
		"required, stripped":    {to: "plain.test", say: level(relay.Needed), bare: true, status: "4.7.10", text: "the configuration demands it", sessions: "no-policy-found plain.test mail.example starttls-not-supported"},
		"verified":              {to: "plain.test", trusted: true, say: level(relay.Verify), sessions: "no-policy-found plain.test mail.example", trace: "proven by an authority, wanted by the configuration"},
		"not verified":          {to: "plain.test", say: level(relay.Verify), status: "4.7.5", text: "certificate", sessions: "no-policy-found plain.test mail.example"},
		"another name demanded": {to: "plain.test", trusted: true, say: []relay.Transport{{Domain: "*", Level: relay.Verify, Names: []string{"a.example"}}}, status: "4.7.5", text: "a.example", sessions: "no-policy-found plain.test mail.example"},
		"no TLS wanted":         {to: "dane.test", publish: wrong, say: level(relay.NoTLS)},
		"DANE demanded":         {to: "dane.test", publish: right, say: level(relay.DANE), sessions: "tlsa dane.test mail.example"},
		"DANE demanded, none":   {to: "dane.test", say: level(relay.DANE), status: "4.7.0", text: "no TLSA records", sessions: "no-policy-found dane.test mail.example dane-required"},

		"optional, wrong TLSA": {to: "dane.test", publish: wrong, optional: true, sessions: "tlsa dane.test mail.example tlsa-invalid", trace: "wanted by DANE, but the message says \"TLS-Required: No\""},
		"optional, stripped":   {to: "sts.test", bare: true, policy: enforce, optional: true, sessions: "sts sts.test mail.example starttls-not-supported"},
		"optional, bogus":      {to: "dane.test", publish: lost, optional: true, sessions: "no-policy-found dane.test mail.example, tlsa dane.test mail.example dnssec-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReach(t, !tt.bare)
			r.policy = tt.policy
			if tt.policy.Mode == "" {
				delete(r.world.TXT, "_mta-sts.sts.test")
				delete(r.world.TXT, "_mta-sts.two.test")
			}
			if tt.publish != nil {
				tt.publish(r)
			}
			r.start(t, tt.trusted, tt.say...)
			send(t, r.House, text, mail.Envelope{OptionalTLS: tt.optional, To: []mail.Recipient{rcpt("carol@"+tt.to, 0)}})
			item, n := r.become(t), len(r.there.Inbox(r.there.Bob))
			switch {
			case tt.status == "" && (item != nil || n != 1):
				t.Errorf("it waits: %+v", item)
			case tt.status != "" && (item == nil || n != 0):
				t.Errorf("it was sent")
			case tt.status != "":
				said := item.Status[0].Reply
				if said.Enhanced != tt.status || !strings.Contains(said.Text, tt.text) || !strings.Contains(item.History[0].Text, tt.text) {
					t.Errorf("%+v, %q, want %s and %q", said, item.History[0].Text, tt.status, tt.text)
				}
			}
			var sessions []string
			var secured string
			eventually(t, "the trace", func() bool { // it is told when the queue knows
				sessions, _, secured = r.told()
				return strings.Contains(secured, tt.trace)
			})
			if strings.Join(sessions, ", ") != tt.sessions {
				t.Errorf("told %q\nwant %q", strings.Join(sessions, ", "), tt.sessions)
			}
		})
	}
}

// A step is a message that goes over a connection that has been kept, or must
// not.
type step struct {
	to   string
	sent bool
	anew int // how many calls are made for it, at least
}

// walk sends messages one after the other.
func (r *reach) walk(t *testing.T, steps []step) {
	t.Helper()
	began, before, waited := time.Now(), 0, 0
	for i, s := range steps {
		send(t, r.House, text, mail.Envelope{To: []mail.Recipient{rcpt("carol@"+s.to, 0)}})
		waiting := 0
		eventually(t, "an end", func() bool {
			waiting = 0
			for _, item := range r.Queued() {
				if item.Tries == 0 || item.Leased {
					return false
				}
				waiting++
			}
			return true
		})
		if sent := waiting == waited; sent != s.sent {
			t.Fatalf("step %d, to %s: sent %v", i, s.to, sent)
		}
		_, calls, _ := r.told()
		// On a busy machine a connection may have been idle for too long.
		soon := time.Since(began) < 4*time.Second
		if n := calls - before; n < s.anew || n > s.anew && soon {
			t.Fatalf("step %d, to %s: %d calls, want %d", i, s.to, n, s.anew)
		}
		before, waited = calls, waiting
	}
}

// A connection that is kept is not used for a message that needs more than it
// has proven; one that needs as much, or less, goes over it.
func TestKeptAsDemanded(t *testing.T) {
	r := newReach(t, true)
	right, wrong := sha256.Sum256(r.cert.Leaf.Raw), sha256.Sum256(nil)
	r.start(t, false,
		relay.Transport{Domain: "dane.test", Level: relay.Pinned, Fingerprints: []relay.Fingerprint{{Sum: wrong}}},
		relay.Transport{Domain: "sts.test", Level: relay.Pinned, Fingerprints: []relay.Fingerprint{{Sum: right}}},
		relay.Transport{Domain: "two.test", Level: relay.Verify},
	)
	r.walk(t, []step{
		{"plain.test", true, 1},
		{"sts.test", true, 0},   // the host has shown the certificate
		{"dane.test", false, 1}, // it has not shown the other one, nor does it now
		{"plain.test", true, 0},
		{"two.test", false, 2}, // two hosts, and nobody vouches for them
		{"sts.test", true, 0},
	})
}

// What goes in the clear by configuration does not take others along, for whom
// TLS is used where it is offered.
func TestClearIsNotShared(t *testing.T) {
	r := newReach(t, true)
	r.start(t, false, relay.Transport{Domain: "sts.test", Level: relay.NoTLS})
	r.walk(t, []step{{"sts.test", true, 1}, {"plain.test", true, 1}, {"sts.test", true, 0}, {"plain.test", true, 0}})
	encrypted := 0
	for _, text := range r.there.Inbox(r.there.Bob) {
		if strings.Contains(text, "with ESMTPS") {
			encrypted++
		}
	}
	if encrypted != 2 {
		t.Errorf("%d came encrypted", encrypted)
	}
}

// A notification about a message that required TLS asks for the same, where that
// can be promised, and goes without rather than not at all. RFC 8689 §5
func TestRequireTLSOfNotifications(t *testing.T) {
	for name, tt := range map[string]struct {
		to            string
		offers, trust bool
		honours       smtp.Extensions
		passed        bool
	}{
		"promised":        {"dane.test", true, true, smtp.RequireTLS, true},
		"not promised":    {"dane.test", true, true, 0, false},
		"nobody vouches":  {"dane.test", true, false, smtp.RequireTLS, false},
		"unproven MX":     {"plain.test", true, true, smtp.RequireTLS, false},
		"without TLS":     {"dane.test", false, true, smtp.RequireTLS, false},
		"MTA-STS vouches": {"sts.test", true, true, smtp.RequireTLS, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReach(t, tt.offers, tt.honours)
			r.policy = mtasts.Policy{Mode: mtasts.Enforce, MX: []string{"mail.example"}, MaxAge: 24 * time.Hour}
			// There the message goes on, with what was asked for it.
			r.there.Alias("away@"+tt.to, "dave@far.test")
			r.start(t, tt.trust)
			env := mail.Envelope{RequireTLS: true, To: []mail.Recipient{rcpt("away@"+tt.to, mail.NotifyNever)}}
			body, err := blob.StageBytes(t.Context(), r.Blobs, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = body.Close() }()
			if _, err := r.Queue.Enqueue(t.Context(), time.Now(), outqueue.Submission{Message: "m", Envelope: env, Body: body}); err != nil {
				t.Fatal(err)
			}
			if item := r.become(t); item != nil {
				t.Fatalf("it waits: %+v", item.History)
			}
			onward := r.there.Queued()
			if len(onward) != 1 || onward[0].Envelope.RequireTLS != tt.passed {
				t.Errorf("%+v", onward)
			}
		})
	}
}
