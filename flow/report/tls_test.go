package report_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/report"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/outqueue"
	"waxwing/store/reports"
	"waxwing/test/engine"
	"waxwing/test/house"
	"waxwing/trust/dkim"
	"waxwing/trust/tlsrpt"
)

// openStore makes a store of reports.
func openStore(t *testing.T) *reports.Store {
	t.Helper()
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return reports.New(db, reports.Options{})
}

// A taker takes reports by HTTPS, or refuses them.
type taker struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	status int
	taken  []tlsrpt.Report
}

func newTaker(t *testing.T) *taker {
	k := &taker{status: http.StatusCreated}
	k.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		var one tlsrpt.Report
		z, err := gzip.NewReader(r.Body)
		if err == nil {
			err = json.NewDecoder(z).Decode(&one)
		}
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != tlsrpt.TypeGzip {
			t.Errorf("%s %v: %v", r.Method, r.Header, err)
		}
		if k.status/100 == 2 {
			k.taken = append(k.taken, one)
		}
		w.WriteHeader(k.status)
	}))
	t.Cleanup(k.Close)
	return k
}

func (k *taker) set(status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status = status
}

func (k *taker) reports() []tlsrpt.Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.taken
}

// A round is one server that counts and sends.
type round struct {
	h        *house.House
	zone     dnstest.Zone
	store    *reports.Store
	sessions *report.Sessions
	sender   *report.Sender
}

func newRound(t *testing.T, sign bool) *round {
	r := &round{h: house.New(t), store: openStore(t)}
	r.zone = dnstest.Zone{}
	if sign {
		r.zone = r.h.Sign()
	}
	if r.zone.TXT == nil {
		r.zone.TXT = map[string][]string{}
	}
	r.zone.Fail = map[string]bool{}
	r.zone.A = map[string][]string{"reports.far.test": {"127.0.0.1"}}
	r.sessions = report.NewSessions(r.store)
	author := report.Author{Address: mail.Address{Local: "postmaster", Domain: "example.test"}, Hostname: house.Hostname}
	source := report.NewTLSReports(r.store, r.h.Deliverer, r.zone, author, report.NewPoster(r.zone, report.PosterOptions{Anywhere: true}))
	post := report.NewPost(r.h.Deliverer, r.h.Queue, r.h.Blobs, nil)
	r.sender = report.NewSender(r.store, post, report.DailyOptions{Holder: "x", Hostname: house.Hostname}, source)
	return r
}

// send counts two sessions and sends the report of the day, some hours after it.
func (r *round) send(t *testing.T) (now time.Time) {
	t.Helper()
	for _, result := range []tlsrpt.ResultType{tlsrpt.Success, tlsrpt.Success, tlsrpt.CertificateExpired} {
		r.sessions.Count(tlsrpt.Session{
			Domain: "far.test", Policy: tlsrpt.Policy{Type: tlsrpt.STS, Domain: "far.test", Text: []string{"version: STSv1", "mode: enforce"}},
			MX: "mx.far.test", Result: result, ReceivingIP: netip.MustParseAddr("192.0.2.5"),
		})
	}
	if err := r.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = time.Now().Add(27 * time.Hour)
	if err := r.sender.Turn(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return now
}

// outcome gives what came of the one report.
func (r *round) outcome(t *testing.T) string {
	t.Helper()
	sent, err := r.store.LastSent(t.Context(), reports.TLS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(sent) != 1 {
		return ""
	}
	return sent[0].Outcome
}

// mails gives the messages in the queue.
func (r *round) mails(t *testing.T) (items []*outqueue.Item, texts [][]byte) {
	t.Helper()
	for item, err := range r.h.Queue.List(t.Context(), outqueue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		body, err := r.h.Queue.OpenBody(t.Context(), item)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body.Reader())
		if err = errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		items, texts = append(items, item), append(texts, text)
	}
	return items, texts
}

// A day's sessions are reported by mail, signed, and by HTTPS; the mail is read
// where it comes to, once.
func TestTLSReports(t *testing.T) {
	r := newRound(t, true)
	taker := newTaker(t)
	r.zone.TXT["_smtp._tls.far.test"] = []string{"v=TLSRPTv1; rua=mailto:tls-reports@far.test," + strings.Replace(taker.URL, "127.0.0.1", "reports.far.test", 1) + "/tls"}
	now := r.send(t)
	if err := r.sender.Turn(t.Context(), now.Add(time.Hour)); err != nil { // sends nothing twice
		t.Fatal(err)
	}
	items, texts := r.mails(t)
	if len(items) != 1 || len(taker.reports()) != 1 {
		t.Fatalf("%d mails, %d by HTTPS: %s", len(items), len(taker.reports()), r.outcome(t))
	}
	if e := items[0].Envelope; !e.From.IsNull() || !e.OptionalTLS || e.To[0].Address.String() != "tls-reports@far.test" {
		t.Errorf("%+v", e)
	}
	if got := r.outcome(t); !strings.Contains(got, "sent to tls-reports@far.test") || !strings.Contains(got, "sent to https://") {
		t.Errorf("outcome %q", got)
	}
	header := message.ParseHeader(texts[0])
	if got := header.Get("DKIM-Signature"); !strings.Contains(got, "tls-report-domain") || !strings.Contains(got, "d=example.test") {
		t.Errorf("signature %q", got)
	}
	var v dkim.Verifier
	_, _ = v.Write(texts[0])
	for _, one := range v.Finish(t.Context(), r.zone, time.Now()) {
		if one.Status != dkim.Pass {
			t.Errorf("%+v", one)
		}
	}

	// The other side.
	there := openStore(t)
	ours := func(_ context.Context, domain string) (bool, error) { return domain == "far.test", nil }
	desk := report.NewDesk(there, report.Readers{JSON: report.NewTLSReader(there, ours).Read}, report.DeskOptions{Holder: "y", Server: "mx.far.test"})
	for range 2 {
		m := reports.Mail{Received: now, To: "tls-reports@far.test", Results: "mx.far.test; dkim=pass header.d=example.test; dmarc=pass header.from=example.test", Size: int64(len(texts[0]))}
		if err := there.Take(t.Context(), m, bytes.NewReader(texts[0])); err != nil {
			t.Fatal(err)
		}
		if err := desk.Turn(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	var o tlsrpt.Overview
	if err := there.Kept(t.Context(), reports.TLS, "far.test", time.Time{}, func(kept reports.Report) error {
		var one tlsrpt.Report
		if err := json.Unmarshal(kept.Data, &one); err != nil {
			return err
		}
		o.Add(one, kept.Proven)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if o.Reports != 1 || o.Successful != 2 || o.Failed != 1 || len(o.Troubles) != 1 || o.Troubles[0].MX != "mx.far.test" || o.Reporters[0].Proven != "example.test" {
		t.Errorf("%+v", o)
	}
}

// Who wants no reports gets none; what cannot be sent yet is tried again.
func TestTLSReportsWithheld(t *testing.T) {
	t.Run("nobody asks", func(t *testing.T) {
		r := newRound(t, true)
		r.send(t)
		if items, _ := r.mails(t); len(items) != 0 || !strings.Contains(r.outcome(t), "wants no reports") {
			t.Errorf("%d mails, %q", len(items), r.outcome(t))
		}
	})
	t.Run("the DNS does not answer", func(t *testing.T) {
		r := newRound(t, true)
		r.zone.Fail["_smtp._tls.far.test"] = true
		now := r.send(t)
		if got := r.outcome(t); got != "" {
			t.Errorf("outcome %q", got)
		}
		delete(r.zone.Fail, "_smtp._tls.far.test")
		r.zone.TXT["_smtp._tls.far.test"] = []string{"v=TLSRPTv1; rua=mailto:tls-reports@far.test"}
		if err := r.sender.Turn(t.Context(), now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if items, _ := r.mails(t); len(items) != 1 {
			t.Errorf("%d mails, %q", len(items), r.outcome(t))
		}
	})
	t.Run("nobody signs", func(t *testing.T) {
		r := newRound(t, false)
		r.zone.TXT["_smtp._tls.far.test"] = []string{"v=TLSRPTv1; rua=mailto:tls-reports@far.test"}
		r.send(t)
		if items, _ := r.mails(t); len(items) != 0 || !strings.Contains(r.outcome(t), "no key signs for example.test") {
			t.Errorf("%d mails, %q", len(items), r.outcome(t))
		}
	})
	t.Run("the host of HTTPS refuses", func(t *testing.T) {
		r := newRound(t, true)
		taker := newTaker(t)
		taker.set(http.StatusServiceUnavailable)
		r.zone.TXT["_smtp._tls.far.test"] = []string{"v=TLSRPTv1; rua=" + taker.URL}
		now := r.send(t)
		if len(taker.reports()) != 0 {
			t.Error(taker.reports())
		}
		taker.set(http.StatusOK)
		if err := r.sender.Turn(t.Context(), now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if len(taker.reports()) != 1 {
			t.Errorf("%v, %q", taker.reports(), r.outcome(t))
		}
	})
}

// A report that is not signed, or is none, is not kept, and is not read again.
func TestTLSReaderRefuses(t *testing.T) {
	store := openStore(t)
	reader := report.NewTLSReader(store, func(context.Context, string) (bool, error) { return false, nil })
	good := `{"organization-name":"x","report-id":"1","date-range":{"start-datetime":"2026-11-21T00:00:00Z","end-datetime":"2026-11-21T23:59:59Z"},
		"policies":[{"policy":{"policy-type":"sts","policy-domain":"elsewhere.test"},"summary":{"total-successful-session-count":1}}]}`
	now := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	signed := report.Document{Mail: reports.Mail{To: "tls-reports@far.test", Results: "mx; dkim=pass"}, Proven: "x.test", Text: []byte(good)}
	unsigned, rubbish, old := signed, signed, signed
	unsigned.Proven = ""
	rubbish.Text = []byte("{}")
	old.Text = []byte(strings.ReplaceAll(good, "2026", "1999"))
	for name, d := range map[string]report.Document{"unsigned": unsigned, "rubbish": rubbish, "old": old} {
		if what, err := reader.Read(t.Context(), now, d); !errors.Is(err, report.ErrUnread) {
			t.Errorf("%s: %q, %v", name, what, err)
		}
	}
	// What it is about is not ours: it counts for the domain that it was sent to.
	if what, err := reader.Read(t.Context(), now, signed); err != nil || !strings.Contains(what, "about far.test") {
		t.Errorf("%q, %v", what, err)
	}
}

// No stranger's address leads into our own network, nor on to somewhere else.
func TestPoster(t *testing.T) {
	reached := false
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = true
		http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	zone := dnstest.Zone{A: map[string][]string{"reports.far.test": {"127.0.0.1", "10.0.0.1", "::1", "fe80::1", "192.0.2.1", "::ffff:127.0.0.1"}}}
	for _, url := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "reports.far.test", 1), "https://[::1]:1/", "https://nowhere.far.test/"} {
		if err := report.NewPoster(zone, report.PosterOptions{}).Post(t.Context(), url, "text/plain", nil); err == nil || reached {
			t.Errorf("%s: %v", url, err)
		}
	}
	err := report.NewPoster(zone, report.PosterOptions{Anywhere: true}).Post(t.Context(), s.URL, "text/plain", nil)
	if err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("a redirect: %v", err)
	}
}
