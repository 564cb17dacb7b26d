package report_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/deliver"
	"waxwing/flow/policy"
	"waxwing/flow/report"
	"waxwing/format/aggregate"
	"waxwing/mail"
	"waxwing/store/outqueue"
	"waxwing/store/reports"
	"waxwing/test/house"
	"waxwing/trust/dkim"
	"waxwing/trust/dmarc"
	"waxwing/trust/spf"
	"waxwing/trust/verify"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A world is a house that reports, and what it needs.
type world struct {
	*house.House
	t         *testing.T
	store     *reports.Store
	zone      dns.Resolver
	deliverer *deliver.Deliverer // which takes reports
	post      *report.Post
	tally     *report.Tally
	failures  *report.Failures
}

func newWorld(t *testing.T, zone dnstest.Zone) *world {
	t.Helper()
	w := &world{House: house.New(t), t: t, store: openStore(t), zone: zone}
	w.deliverer = deliver.New(w.Directory, w.Mailboxes, w.Queue, w.Blobs, deliver.Options{
		Hostname: house.Hostname, Keys: w.Keys.Signing, Reports: w.store, ReportsTo: []string{"dmarc-reports"},
	})
	w.post = report.NewPost(w.deliverer, w.Queue, w.Blobs, nil)
	w.failures = report.NewFailures(w.post, zone, report.FailureOptions{Author: report.Author{Hostname: house.Hostname, Generator: "Waxwing"}, PerDay: 2})
	w.tally = report.NewTally(w.store, w.failures)
	return w
}

// stage makes an arrival.
func (w *world) stage(text string) *deliver.Arrival {
	w.t.Helper()
	a, err := deliver.Stage(w.t.Context(), w.Blobs, noon, strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := a.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return a
}

const plain = "Received: from x for <alice@example.test>\nFrom: Ann <ann@sender.example>\nTo: Alice <alice@example.test>\nSubject: secret\n\nHello.\n"

// found is what was found out of a message.
func found(result dmarc.Result, record string) verify.Findings {
	r, ok := dmarc.ParseRecord(record)
	if !ok {
		panic(record)
	}
	f := verify.Findings{
		Origin: verify.Origin{IP: netip.MustParseAddr("192.0.2.9"), Helo: "x.example", Sender: "bounce@Forwarder.example"},
		SPF:    spf.Verdict{Result: spf.Pass, Domain: "forwarder.example"},
		DKIM: []dkim.Result{
			{Status: dkim.Fail, Reason: "the body was changed", Domain: "sender.example", Identity: "@sender.example", Selector: "s1"},
			{Status: dkim.Pass, Domain: "forwarder.example", Selector: "f"},
		},
		DMARC:   dmarc.Verdict{Result: result, Author: "sender.example", Domain: "sender.example", Record: r, Wanted: r.Policy},
		Authors: []string{"sender.example"},
	}
	if result == dmarc.Pass {
		f.DKIM = f.DKIM[:1]
		f.DKIM[0].Status, f.DKIM[0].Reason = dkim.Pass, ""
		f.DMARC.DKIM = true
	}
	return f
}

func recipients(w *world, addresses ...string) (to []deliver.Recipient) {
	w.t.Helper()
	for _, a := range addresses {
		r, err := w.deliverer.Resolve(w.t.Context(), mail.Recipient{Address: house.Address(a)})
		if err != nil {
			w.t.Fatal(err)
		}
		to = append(to, r)
	}
	return to
}

// text gives a queued message whole.
func (w *world) text(it *outqueue.Item) string {
	w.t.Helper()
	body, err := w.Queue.OpenBody(w.t.Context(), it)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	b, err := io.ReadAll(body.Reader())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) sender(sources ...report.Source) *report.Sender {
	return report.NewSender(w.store, w.post, report.DailyOptions{Holder: "a", Hostname: house.Hostname}, sources...)
}

func (w *world) aggregates() *report.Aggregates {
	return report.NewAggregates(w.store, w.deliverer, w.zone, report.Author{Hostname: house.Hostname, Generator: "Waxwing"})
}

// A day in which mail comes, the report about it, and what its reader learns.
func TestDMARCDay(t *testing.T) {
	const record = "v=DMARC1; p=reject; sp=none; adkim=s; fo=1; rua=mailto:a@sender.example!1m,mailto:b@elsewhere.example,mailto:c@third.example,https://x.example/"
	zone := dnstest.Zone{TXT: map[string][]string{
		"_dmarc.sender.example":                          {record},
		"sender.example._report._dmarc.third.example":    {"v=DMARC1"},
		"sender.example._report._dmarc.example.test":     {"v=DMARC1"},
		"elsewhere.example._report._dmarc.third.example": {"v=DMARC1"},
	}}
	w := newWorld(t, zone)
	w.Sign()
	alice := recipients(w, "alice@example.test")
	env := mail.Envelope{From: house.Address("bounce@forwarder.example")}
	a := w.stage(plain)
	for range 3 {
		w.tally.Proven(noon, a, env, alice, found(dmarc.Pass, record), policy.Verdict{})
	}
	w.tally.Proven(noon, a, env, alice, found(dmarc.Fail, record), policy.Verdict{Junk: true, Override: policy.MailingList})
	w.tally.Proven(noon, a, env, recipients(w, "dmarc-reports@example.test"), found(dmarc.Fail, record), policy.Verdict{}) // a report
	w.tally.Proven(noon, a, env, alice, found(dmarc.Fail, "v=DMARC1; p=none"), policy.Verdict{})                           // nobody asks
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sender := w.sender(w.aggregates())
	for _, at := range []time.Time{noon.Add(11 * time.Hour), reports.DayOf(noon).End().Add(time.Minute)} { // too early
		if err := sender.Turn(t.Context(), at); err != nil || len(w.Queued()) != 0 {
			t.Fatal(err, len(w.Queued()))
		}
	}
	for range 3 { // once
		if err := sender.Turn(t.Context(), noon.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	queued := w.Queued()
	if len(queued) != 2 {
		t.Fatalf("%d letters", len(queued))
	}
	for _, it := range queued {
		to := it.Envelope.To[0].Address.String()
		if !it.Envelope.From.IsNull() || to != "a@sender.example" && to != "c@third.example" {
			t.Errorf("%+v", it.Envelope)
		}
		checkLetter(t, w.text(it))
	}
	sent, err := w.store.LastSent(t.Context(), reports.DMARC, 0)
	if err != nil || len(sent) != 1 || sent[0].Outcome != "not sent to b@elsewhere.example: its domain has no record "+
		"sender.example._report._dmarc.elsewhere.example; sent to a@sender.example; sent to c@third.example" {
		t.Errorf("%+v, %v", sent, err)
	}

	// It comes to somebody who reads it. Twice, since mail may.
	inbox := report.NewInbox(w.store, zone, w.Directory.IsLocal)
	desk := report.NewDesk(w.store, report.Readers{XML: inbox.Aggregate, Failure: inbox.Failure}, report.DeskOptions{Holder: "a", Server: house.Hostname})
	for range 2 {
		w.deliver(strings.ReplaceAll(w.text(queued[0]), "\r\n", "\n"), "dmarc-reports@example.test")
	}
	if err := desk.Turn(t.Context(), noon.Add(30*time.Hour)); err != nil {
		t.Fatal(err)
	}
	all, err := report.Summarise(t.Context(), w.store, "", noon.Add(-24*time.Hour), func(netip.Addr) bool { return false })
	if err != nil || len(all) != 1 || len(all[0].Sources) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if s := all[0]; s.Domain != "sender.example" || s.Reports != 1 || s.Total != (report.Counts{Messages: 4, Passed: 3, DKIM: 3, Quarantined: 1}) || !s.Sources[0].Lists ||
		s.Policy.P != "reject" || s.Reporters[0].Org != "example.test" {
		t.Errorf("%+v", s)
	}
}

func (w *world) deliver(text, to string) {
	w.t.Helper()
	if err := w.deliverer.Deliver(w.t.Context(), time.Now(), w.stage(text), mail.Envelope{}, nil, recipients(w, to)); err != nil {
		w.t.Fatal(err)
	}
}

func checkLetter(t *testing.T, text string) {
	t.Helper()
	for _, wanted := range []string{
		"DKIM-Signature: ", "From: \"example.test\" <postmaster@example.test>", "Auto-Submitted: auto-generated", "application/gzip",
		"Report Domain: sender.example Submitter: example.test",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), wanted) {
			t.Errorf("%q is not in\n%s", wanted, text)
		}
	}
	files, err := report.Documents([]byte(text))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if !strings.HasPrefix(files[0].Name, "example.test!sender.example!1763683200!1763769599!") && !strings.HasPrefix(files[0].Name, "example.test!sender.example!1795219200!1795305599!") {
		t.Errorf("the file is called %s", files[0].Name)
	}
	r, err := aggregate.Parse(files[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Policy; p != (aggregate.Policy{Domain: "sender.example", Discovery: "treewalk", P: "reject", SP: "none", FO: "1", ADKIM: "s", ASPF: "r", Testing: "n"}) {
		t.Errorf("%+v", p)
	}
	if len(r.Records) != 2 || r.Records[0].Count != 3 || r.Records[0].Disposition != aggregate.Pass || !r.Records[0].DKIM || r.Records[0].SPF {
		t.Fatalf("%+v", r.Records)
	}
	failed := r.Records[1]
	if failed.Count != 1 || failed.Disposition != aggregate.Quarantine || failed.Pass() || failed.Source.String() != "192.0.2.9" ||
		failed.HeaderFrom != "sender.example" || failed.EnvelopeFrom != "forwarder.example" || len(failed.Reasons) != 1 || failed.Reasons[0].Type != aggregate.MailingList {
		t.Errorf("%+v", failed)
	}
	if len(failed.AuthDKIM) != 2 || failed.AuthDKIM[0].Result != "pass" || failed.AuthDKIM[1].Text != "the body was changed" ||
		len(failed.AuthSPF) != 1 || failed.AuthSPF[0] != (aggregate.SPF{Domain: "forwarder.example", Scope: "mfrom", Result: "pass"}) {
		t.Errorf("%+v", failed)
	}
}

// What was done with messages, in the words of RFC 9990.
func TestDispositions(t *testing.T) {
	refused := policy.Rules{Trust: policy.Trust{DMARC: policy.HeedAll}}.Message(policy.Host{}, policy.Proven{Findings: found(dmarc.Fail, "v=DMARC1; p=reject")})
	for what, tt := range map[string]struct {
		result  dmarc.Result
		record  string
		verdict policy.Verdict
		sealer  string
		want    string
	}{
		"passed":      {dmarc.Pass, "p=reject", policy.Verdict{}, "", "pass"},
		"passed none": {dmarc.Pass, "p=none", policy.Verdict{}, "", "none"},
		"none":        {dmarc.Fail, "p=none", policy.Verdict{}, "", "none"},
		"refused":     {dmarc.Fail, "p=reject", refused, "", "reject"},
		"junk":        {dmarc.Fail, "p=quarantine", policy.Verdict{Junk: true}, "", "quarantine"},
		"not heeded":  {dmarc.Fail, "p=reject", policy.Verdict{Override: policy.LocalPolicy}, "", "none local_policy"},
		"a list":      {dmarc.Fail, "p=reject", policy.Verdict{Junk: true, Override: policy.MailingList}, "", "quarantine mailing_list"},
		"sealed":      {dmarc.Fail, "p=reject", policy.Verdict{Override: policy.TrustedForwarder}, "lists.example", "none trusted_forwarder(arc=pass as.lists.example)"},
		"testing":     {dmarc.Fail, "p=quarantine; t=y", policy.Verdict{}, "", "none policy_test_mode"},
		"no answer":   {dmarc.TempError, "p=reject", policy.Verdict{}, "", "none other(the DNS did not answer)"},
	} {
		w := newWorld(t, dnstest.Zone{})
		f := found(tt.result, "v=DMARC1; "+tt.record+"; rua=mailto:a@sender.example")
		f.Sealer = tt.sealer
		w.tally.Proven(noon, nil, mail.Envelope{}, recipients(w, "alice@example.test"), f, tt.verdict)
		if err := w.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		daily, err := w.aggregates().Report(t.Context(), noon, reports.Subject{Kind: reports.DMARC, Day: reports.DayOf(noon), Domain: "sender.example"})
		if err != nil {
			t.Fatal(err)
		}
		files, err := report.Documents(daily.Letters[0].Text)
		if err != nil {
			t.Fatal(err)
		}
		r, err := aggregate.Parse(files[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		got := string(r.Records[0].Disposition)
		for _, reason := range r.Records[0].Reasons {
			got += " " + reason.Type
			if reason.Comment != "" {
				got += "(" + reason.Comment + ")"
			}
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", what, got, tt.want)
		}
	}
}

// A report that is larger than the domain wants it is not sent.
func TestTooLarge(t *testing.T) {
	const record = "v=DMARC1; p=reject; rua=mailto:a@sender.example!1k"
	w := newWorld(t, dnstest.Zone{})
	w.tally.Proven(noon, nil, mail.Envelope{}, recipients(w, "alice@example.test"), found(dmarc.Pass, record), policy.Verdict{})
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.sender(w.aggregates()).Turn(t.Context(), noon.Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	sent, err := w.store.LastSent(t.Context(), reports.DMARC, 0)
	if err != nil || len(sent) != 1 || !strings.Contains(sent[0].Outcome, "larger than the domain wants it") || len(w.Queued()) != 0 {
		t.Errorf("%+v, %v", sent, err)
	}
}

// While the DNS does not answer a report waits, and goes later.
func TestDNSTrouble(t *testing.T) {
	const record = "v=DMARC1; p=reject; rua=mailto:a@elsewhere.example"
	const name = "sender.example._report._dmarc.elsewhere.example"
	zone := dnstest.Zone{TXT: map[string][]string{name: {"v=DMARC1"}}, Fail: map[string]bool{name: true}}
	w := newWorld(t, zone)
	w.tally.Proven(noon, nil, mail.Envelope{}, recipients(w, "alice@example.test"), found(dmarc.Pass, record), policy.Verdict{})
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	sender, next := w.sender(w.aggregates()), noon.Add(24*time.Hour)
	turn := func(after time.Duration, want int) {
		t.Helper()
		if err := sender.Turn(t.Context(), next.Add(after)); err != nil || len(w.Queued()) != want {
			t.Errorf("after %s: %d letters, %v", after, len(w.Queued()), err)
		}
	}
	turn(0, 0)
	delete(zone.Fail, name)
	turn(time.Minute, 0) // it is not asked all the time
	turn(time.Hour, 1)
	turn(2*time.Hour, 1)
}

// gzipped packs a text.
func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A failing message is reported once, to whom agrees, without what betrays
// people.
func TestFailureReports(t *testing.T) {
	const record = "v=DMARC1; p=reject; fo=1; ruf=mailto:ruf@sender.example,mailto:x@elsewhere.example"
	zone := dnstest.Zone{TXT: map[string][]string{"_dmarc.sender.example": {record}, "sender.example": {"v=spf1 -all"}}}
	w := newWorld(t, zone)
	w.Sign()
	alice := recipients(w, "alice@example.test")
	a := w.stage(plain)
	env := mail.Envelope{From: house.Address("bounce@forwarder.example")}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.failures.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	tell := func(ip string, env mail.Envelope, a *deliver.Arrival, record string) {
		f := found(dmarc.Fail, record)
		f.Origin.IP = netip.MustParseAddr(ip)
		w.tally.Proven(noon, a, env, alice, f, policy.Verdict{Junk: true})
	}
	tell("192.0.2.1", mail.Envelope{}, a, record)                                             // a bounce
	tell("192.0.2.1", env, w.stage("Auto-Submitted: auto-replied\n"+plain), record+"; psd=y") // above organizations
	tell("192.0.2.2", env, w.stage("Auto-Submitted: auto-generated\n"+plain), record)         // a machine's
	tell("192.0.2.9", env, a, record)                                                         // this is reported
	tell("192.0.2.9", env, a, record)                                                         // the same again
	tell("192.0.2.10", env, a, record)                                                        // too many for a day
	tell("192.0.2.11", env, a, strings.Replace(record, "fo=1", "fo=s", 1))                    // SPF was good
	queued := w.Queued()
	for deadline := time.Now().Add(time.Minute); len(queued) == 0 && time.Now().Before(deadline); queued = w.Queued() {
		time.Sleep(time.Millisecond)
	}
	if len(queued) != 1 || queued[0].Envelope.To[0].Address.String() != "ruf@sender.example" || !queued[0].Envelope.From.IsNull() {
		t.Fatalf("%d letters", len(queued))
	}
	text := w.text(queued[0])
	for _, wanted := range []string{
		"Feedback-Type: auth-failure", "Auth-Failure: dmarc", "Identity-Alignment: dkim, spf", "Source-IP: 192.0.2.9", "Reported-Domain: sender.example",
		"DKIM-Domain: sender.example", "DKIM-Selector: s1", "Delivery-Result: spam", "ann@sender.example", "DKIM-Signature: ",
		"Authentication-Results: mx.example.test; dmarc=fail header.from=sender.example",
	} {
		if !strings.Contains(text, wanted) {
			t.Errorf("%q is not in it", wanted)
		}
	}
	for _, unwanted := range []string{"alice", "Alice", "secret", "Hello.", "bounce@"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q is in\n%s", unwanted, text)
		}
	}
	// Such a report that comes to us is kept.
	inbox := report.NewInbox(w.store, zone, func(_ context.Context, domain string) (bool, error) { return domain == "sender.example", nil })
	desk := report.NewDesk(w.store, report.Readers{Failure: inbox.Failure}, report.DeskOptions{Holder: "a"})
	w.deliver(strings.ReplaceAll(text, "\r\n", "\n"), "dmarc-reports@example.test")
	if err := desk.Turn(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := w.store.Kept(t.Context(), reports.Failure, "", time.Time{}, func(kept reports.Report) error {
		n++
		f, header, err := report.ReadFailure(kept)
		if err != nil || kept.Domain != "sender.example" || f.Source.String() != "192.0.2.9" || !bytes.Contains(header, []byte("ann@sender.example")) {
			t.Errorf("%+v %+v %s %v", kept, f, header, err)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

// Counting costs a message next to nothing.
func BenchmarkTally(b *testing.B) {
	s := reports.New(nil, reports.Options{})
	tally := report.NewTally(s, nil)
	f := found(dmarc.Fail, "v=DMARC1; p=reject; rua=mailto:a@sender.example")
	to := []deliver.Recipient{{}}
	b.ReportAllocs()
	for b.Loop() {
		tally.Proven(noon, nil, mail.Envelope{}, to, f, policy.Verdict{})
	}
}
