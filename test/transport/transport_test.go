//go:build peers

package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns/recursor"
	"waxwing/flow/relay"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/outqueue"
	"waxwing/store/stspolicies"
	"waxwing/store/trace"
	"waxwing/test/engine"
	"waxwing/test/house"
	"waxwing/test/system"
	"waxwing/trust/mtasts"
	"waxwing/trust/tlsrpt"
)

// A recorder keeps what becomes of each message, by its recipient's domain.
type recorder struct {
	mu       sync.Mutex
	events   map[string]trace.Event      // guarded by mu
	sessions map[string][]tlsrpt.Session // guarded by mu
}

// Record implements trace.Recorder.
func (r *recorder) Record(_ context.Context, e trace.Event) {
	if len(e.To) != 1 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, domain, _ := strings.Cut(e.To[0], "@")
	r.events[domain] = e
}

func (r *recorder) session(s tlsrpt.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[s.Domain] = append(r.sessions[s.Domain], s)
}

// A journey is a message to one domain.
type journey struct {
	// zone is the domain's parent: secure.test is signed, plain.test is not, and
	// of broken.test the signatures over TLSA records are missing.
	zone string
	host kind
	// tlsa are the records of its host.
	tlsa []string
	// sts is the mode of its policy; empty for none. others has it name other
	// hosts, and second is a host behind the first, which the policy names.
	sts    string
	others bool
	second bool
	at     int // the number of the host, and of the second
	behind int
	// The message says TLS-Required: No.
	optional bool

	sent  bool
	trace string // what the trace says of it
	how   string // and of the connection
	told  string // results in reports, one for each session
}

// TestTransport sends a message to each domain, all at once.
func TestTransport(t *testing.T) {
	a := newAuthority(t)
	other := a.host(time.Now().AddDate(0, 1, 0), "other.example")
	journeys := map[string]journey{
		// Nothing is published.
		"tls":          {zone: "plain.test", host: good, sent: true, how: "TLS 1.3", told: "no-policy-found"},
		"clear":        {zone: "plain.test", host: bare, sent: true, told: "no-policy-found starttls-not-supported"},
		"refused":      {zone: "plain.test", host: refuses, sent: true, told: "no-policy-found starttls-not-supported"},
		"breaks":       {zone: "plain.test", host: breaks, sent: true, told: "no-policy-found validation-failure"},
		"wrong-name":   {zone: "plain.test", host: wrong, sent: true, how: "TLS 1.3", told: "no-policy-found"},
		"expired":      {zone: "plain.test", host: expired, sent: true, how: "TLS 1.3", told: "no-policy-found"},
		"secure-clear": {zone: "secure.test", host: bare, sent: true, told: "no-policy-found starttls-not-supported"},

		// DANE.
		"dane":            {zone: "secure.test", host: good, tlsa: []string{"good"}, sent: true, how: "proven by DANE (3 1 1)", told: "tlsa"},
		"dane-ta":         {zone: "secure.test", host: good, tlsa: []string{"authority"}, sent: true, how: "proven by DANE (2 0 1)", told: "tlsa"},
		"dane-rollover":   {zone: "secure.test", host: good, tlsa: []string{"other", "good"}, sent: true, how: "proven by DANE (3 1 1)", told: "tlsa"},
		"dane-wrong":      {zone: "secure.test", host: good, tlsa: []string{"other"}, trace: "4.7.5", told: "tlsa tlsa-invalid"},
		"dane-stripped":   {zone: "secure.test", host: bare, tlsa: []string{"good"}, trace: "offers no TLS, and DANE demands it", told: "tlsa starttls-not-supported"},
		"dane-refused":    {zone: "secure.test", host: refuses, tlsa: []string{"good"}, trace: "4.7.10", told: "tlsa starttls-not-supported"},
		"dane-breaks":     {zone: "secure.test", host: breaks, tlsa: []string{"good"}, trace: "4.7.5", told: "tlsa validation-failure"},
		"dane-expired":    {zone: "secure.test", host: expired, tlsa: []string{"expired"}, sent: true, how: "proven by DANE (3 1 1)", told: "tlsa"},
		"dane-ta-expired": {zone: "secure.test", host: expired, tlsa: []string{"authority"}, trace: "expired", told: "tlsa certificate-expired"},
		"dane-ee-name":    {zone: "secure.test", host: wrong, tlsa: []string{"wrong"}, sent: true, how: "proven by DANE (3 1 1)", told: "tlsa"},
		"dane-ta-name":    {zone: "secure.test", host: wrong, tlsa: []string{"authority"}, trace: "the certificate is for", told: "tlsa certificate-host-mismatch"},
		"dane-useless":    {zone: "secure.test", host: expired, tlsa: []string{"useless"}, sent: true, how: "none can be used", told: "tlsa"},
		"dane-bogus":      {zone: "broken.test", host: good, tlsa: []string{"good"}, trace: "4.4.3", told: "tlsa dnssec-invalid"},
		"dane-unsigned":   {zone: "plain.test", host: good, tlsa: []string{"other"}, sent: true, how: "TLS 1.3", told: "no-policy-found"},
		"dane-over-sts":   {zone: "secure.test", host: wrong, tlsa: []string{"wrong"}, sts: "enforce", sent: true, how: "proven by DANE (3 1 1)", told: "tlsa"},
		"dane-optional":   {zone: "secure.test", host: bare, tlsa: []string{"good"}, optional: true, sent: true, how: "TLS-Required: No", told: "tlsa starttls-not-supported"},

		// MTA-STS.
		"sts":               {zone: "plain.test", host: good, sts: "enforce", sent: true, how: "proven by an authority, wanted by MTA-STS", told: "sts"},
		"sts-stripped":      {zone: "plain.test", host: bare, sts: "enforce", trace: "offers no TLS, and MTA-STS demands it", told: "sts starttls-not-supported"},
		"sts-refused":       {zone: "plain.test", host: refuses, sts: "enforce", trace: "4.7.10", told: "sts starttls-not-supported"},
		"sts-breaks":        {zone: "plain.test", host: breaks, sts: "enforce", trace: "4.7.5", told: "sts validation-failure"},
		"sts-wrong-name":    {zone: "plain.test", host: wrong, sts: "enforce", trace: "certificate is valid for elsewhere.example, not", told: "sts certificate-host-mismatch"},
		"sts-expired":       {zone: "plain.test", host: expired, sts: "enforce", trace: "expired", told: "sts certificate-expired"},
		"sts-others":        {zone: "plain.test", host: good, sts: "enforce", others: true, trace: "the MTA-STS policy of sts-others.plain.test does not name the host", told: "sts validation-failure"},
		"sts-second":        {zone: "plain.test", host: bare, sts: "enforce", second: true, sent: true, how: "wanted by MTA-STS", told: "sts starttls-not-supported, sts"},
		"sts-testing":       {zone: "plain.test", host: bare, sts: "testing", sent: true, how: "wanted by MTA-STS (testing)", told: "sts starttls-not-supported"},
		"sts-testing-name":  {zone: "plain.test", host: wrong, sts: "testing", sent: true, how: "not proven", told: "sts certificate-host-mismatch"},
		"sts-testing-other": {zone: "plain.test", host: good, sts: "testing", others: true, sent: true, how: "TLS 1.3", told: "no-policy-found, sts validation-failure"},
		"sts-optional":      {zone: "plain.test", host: expired, sts: "enforce", optional: true, sent: true, how: "TLS-Required: No", told: "sts certificate-expired"},
		"sts-gone":          {zone: "plain.test", host: good, sts: "gone", sent: true, how: "TLS 1.3", told: "no-policy-found, sts sts-webpki-invalid"},
	}
	var domains []string
	var hosts []kind
	for name, j := range journeys {
		domains = append(domains, name+"."+j.zone)
		j.at = len(hosts)
		if hosts = append(hosts, j.host); j.second {
			j.behind = len(hosts)
			hosts = append(hosts, good)
		}
		journeys[name] = j
	}
	p, port, certs := startHosts(t, a, domains, hosts)
	certs["other"] = other
	in := system.StartInternet(t, zonesOf(journeys, port, a, certs))
	resolver, err := recursor.New(recursor.Options{Hints: in.Hints, Port: in.Port, Anchors: in.Anchor})
	if err != nil {
		t.Fatal(err)
	}

	h, db := house.New(t), engine.New(t)
	defer func() { _ = db.Close() }()
	seen := &recorder{events: map[string]trace.Event{}, sessions: map[string][]tlsrpt.Session{}}
	fetcher := mtasts.NewFetcher(resolver, mtasts.FetchOptions{Roots: a.roots(), Dial: servePolicies(t, a, policiesOf(journeys))})
	sender := relay.New(h.Queue, h.Deliverer, h.Blobs, resolver, relay.Options{
		Hostname: house.Hostname, Port: port, Schedule: relay.Schedule{First: time.Hour}, Log: h.Log, Trace: seen, Sessions: seen.session,
		TLS: &tls.Config{RootCAs: a.roots(), MinVersion: tls.VersionTLS12}, Policies: mtasts.New(resolver, fetcher.Fetch, stspolicies.New(db), h.Log),
	})
	for name, j := range journeys {
		enqueue(t, h, "carol@"+name+"."+j.zone, j.optional)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = sender.Run(ctx) }()
	defer func() { stop(); <-done }()
	await(t, h, seen, len(journeys))
	delivered := strings.Join(p.Mail("all", ""), "\n") // OneMailbox
	for name, j := range journeys {
		t.Run(name, func(t *testing.T) { seen.check(t, name+"."+j.zone, j, delivered) })
	}
}

// zonesOf are the zones in which the domains and their hosts are.
func zonesOf(journeys map[string]journey, port int, a *authority, certs map[kind]tls.Certificate) []system.SignedZone {
	records := map[string]string{
		"good": tlsaEE(certs[good]), "wrong": tlsaEE(certs[wrong]), "expired": tlsaEE(certs[expired]),
		"other": tlsaEE(certs["other"]), "authority": tlsaTA(a.cert), "useless": "TLSA 1 1 1 " + strings.Repeat("00", 32),
	}
	zones := map[string]string{}
	for name, j := range journeys {
		text := fmt.Sprintf("%[1]s MX 10 mx-%[1]s\nmx-%[1]s A %[2]s\nmta-sts.%[1]s A 127.0.0.1\n", name, address(j.at))
		for _, r := range j.tlsa {
			text += fmt.Sprintf("_%d._tcp.mx-%s %s\n", port, name, records[r])
		}
		if j.second {
			text += fmt.Sprintf("%[1]s MX 20 second-%[1]s\nsecond-%[1]s A %[2]s\n", name, address(j.behind))
		}
		if j.sts != "" {
			text += fmt.Sprintf("_mta-sts.%s TXT \"v=STSv1; id=1;\"\n", name)
		}
		zones[j.zone] += text
	}
	const policy = "algorithm: ecdsap256sha256"
	missing := func(lines []string) []string {
		var kept []string
		for _, l := range lines {
			if f := strings.Fields(l); len(f) < 4 || f[2] != "RRSIG" || f[3] != "TLSA" {
				kept = append(kept, l)
			}
		}
		return kept
	}
	return []system.SignedZone{
		{Name: ".", Policy: policy},
		{Name: "test.", Policy: policy},
		{Name: "secure.test.", Policy: policy, Records: zones["secure.test"]},
		{Name: "broken.test.", Policy: policy, Records: zones["broken.test"], Mangle: missing},
		{Name: "plain.test.", Records: zones["plain.test"]},
	}
}

// policiesOf are the texts of the policies, by domain.
func policiesOf(journeys map[string]journey) map[string]string {
	all := map[string]string{}
	for name, j := range journeys {
		if j.sts == "" || j.sts == "gone" {
			continue
		}
		mx := fmt.Sprintf("mx: mx-%[1]s.%[2]s\nmx: second-%[1]s.%[2]s\n", name, j.zone)
		if j.others {
			mx = "mx: *.elsewhere.example\n"
		}
		all[name+"."+j.zone] = "version: STSv1\nmode: " + j.sts + "\n" + mx + "max_age: 86400\n"
	}
	return all
}

func enqueue(t *testing.T, h *house.House, to string, optional bool) {
	t.Helper()
	text := "From: alice@example.test\r\nTo: " + to + "\r\nSubject: a journey\r\n\r\nhello\r\n"
	body, err := blob.StageBytes(t.Context(), h.Blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	env := mail.Envelope{From: h.Alice.Address, To: []mail.Recipient{{Address: house.Address(to)}}, OptionalTLS: optional}
	if _, err := h.Queue.Enqueue(t.Context(), time.Now(), outqueue.Submission{Message: to, Envelope: env, Body: body}); err != nil {
		t.Fatal(err)
	}
}

// await waits until each message is sent, or put off.
func await(t *testing.T, h *house.House, seen *recorder, n int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		seen.mu.Lock()
		came := len(seen.events)
		seen.mu.Unlock()
		if came == n {
			return
		}
		if time.Now().After(deadline) {
			for _, item := range h.Queued() {
				t.Logf("%v: %+v", item.Envelope.To, item.History)
			}
			t.Fatalf("after a minute the trace tells of %d messages of %d", came, n)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// check looks at what the trace tells of a journey, at what is told for reports,
// and at what the host has.
func (r *recorder) check(t *testing.T, domain string, j journey, delivered string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.events[domain]
	if sent := e.Step == trace.Sent; sent != j.sent {
		t.Errorf("%s: %s (%s)", e.Step, e.Reason, e.TLS)
	}
	if !strings.Contains(e.Reason, j.trace) {
		t.Errorf("the trace says %q, want %q", e.Reason, j.trace)
	}
	if !strings.Contains(e.TLS, j.how) || j.how == "" && e.TLS != "" {
		t.Errorf("the trace says %q of the connection, want %q", e.TLS, j.how)
	}
	var told []string
	for _, s := range r.sessions[domain] {
		told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s", s.Policy.Type, s.Result)))
	}
	if got := strings.Join(told, ", "); got != j.told {
		t.Errorf("reports are told %q, want %q", got, j.told)
	}
	if !j.sent && strings.Contains(delivered, "carol@"+domain) {
		t.Error("the host has it nevertheless")
	}
}
