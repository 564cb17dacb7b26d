package report_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"waxwing/dns/dnstest"
	"waxwing/flow/report"
	"waxwing/store/reports"
	"waxwing/test/house"
)

func zoneOf(name string, texts ...string) dnstest.Zone {
	return dnstest.Zone{TXT: map[string][]string{name: texts}}
}

// A script is a Source that does as it is told.
type script struct {
	err   error
	asked int
}

func (s *script) Kind() reports.Kind { return reports.DMARC }

func (s *script) Report(_ context.Context, _ time.Time, subject reports.Subject) (report.Daily, error) {
	s.asked++
	return report.Daily{Outcome: "done", Letters: []report.Letter{{
		From: house.Address("postmaster@example.test"), To: house.Address("a@" + subject.Domain), Text: []byte("Subject: x\r\n\r\nx\r\n"),
	}}}, s.err
}

func outcomes(t *testing.T, s *reports.Store) string {
	t.Helper()
	sent, err := s.LastSent(t.Context(), reports.DMARC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, one := range sent {
		all = append(all, fmt.Sprintf("%s %s: %s", one.Day, one.Domain, one.Outcome))
	}
	return strings.Join(all, "; ")
}

func count(t *testing.T, s *reports.Store, at time.Time, domain string) {
	t.Helper()
	s.Count(at, reports.DMARC, domain, nil, []byte("row"), 1)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var midnight = reports.DayOf(noon).End()

// Reports are spread over some hours, each domain at its time.
func TestSpread(t *testing.T) {
	w := newWorld(t, dnstest.Zone{})
	for i := range 20 {
		count(t, w.store, noon, fmt.Sprintf("d%d.example", i))
	}
	source := &script{}
	sender := report.NewSender(w.store, w.post, report.DailyOptions{Holder: "a", Hostname: house.Hostname, Spread: 4 * time.Hour}, source)
	var sent []int
	for _, at := range []time.Duration{0, 9 * time.Minute, 2 * time.Hour, 4*time.Hour + 10*time.Minute} {
		if err := sender.Turn(t.Context(), midnight.Add(at)); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, len(w.Queued()))
	}
	if sent[0] != 0 || sent[1] != 0 || sent[2] < 3 || sent[2] > 17 || sent[3] != 20 || source.asked != 20 {
		t.Error(sent, source.asked)
	}
}

// Whoever dies, and whenever, a report goes once.
func TestOnce(t *testing.T) {
	next := midnight.Add(time.Hour)
	subject := reports.Subject{Kind: reports.DMARC, Day: reports.DayOf(noon), Domain: "a.example"}
	for what, tt := range map[string]struct {
		before  func(w *world) // what a server did that has died
		at      time.Time
		letters int
		outcome string
	}{
		"nothing has happened": {func(*world) {}, next, 1, "2026-11-21 a.example: done"},
		"after days":           {func(*world) {}, next.Add(70 * time.Hour), 1, "2026-11-21 a.example: done"},
		"it had begun": {func(w *world) {
			if _, err := w.store.Begin(t.Context(), next, subject); err != nil {
				t.Fatal(err)
			}
		}, next.Add(time.Hour), 1, "2026-11-21 a.example: done"},
		"it had sent": {func(w *world) {
			if _, err := w.store.Begin(t.Context(), next, subject); err != nil {
				t.Fatal(err)
			}
			daily, err := (&script{}).Report(t.Context(), next, subject)
			if err == nil {
				err = w.post.Send(t.Context(), next, "dmarc 2026-11-21 a.example", daily.Letters...)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, next.Add(time.Hour), 1, "2026-11-21 a.example: done"},
		"it had begun long ago": {func(w *world) {
			if _, err := w.store.Begin(t.Context(), next, subject); err != nil {
				t.Fatal(err)
			}
		}, next.Add(21 * time.Hour), 0, "2026-11-21 a.example: it may have been sent when the server died, and is not sent again"},
		"it was done": {func(w *world) {
			if err := w.store.End(t.Context(), next, subject, "before"); err != nil {
				t.Fatal(err)
			}
		}, next.Add(time.Hour), 0, "2026-11-21 a.example: before"},
		"another is at it": {func(w *world) {
			now := time.Now()
			if _, err := w.store.Lease(t.Context(), now, "daily", "another", now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}, next, 0, ""},
	} {
		w := newWorld(t, dnstest.Zone{})
		count(t, w.store, noon, "a.example")
		tt.before(w)
		for _, holder := range []string{"a", "b"} {
			sender := report.NewSender(w.store, w.post, report.DailyOptions{Holder: holder, Hostname: house.Hostname}, &script{})
			if err := sender.Turn(t.Context(), tt.at); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := outcomes(t, w.store); len(w.Queued()) != tt.letters || got != tt.outcome {
			t.Errorf("%s: %d letters, %s", what, len(w.Queued()), got)
		}
	}
}

// What cannot be made is tried again, and given up after some days.
func TestGivenUp(t *testing.T) {
	w := newWorld(t, dnstest.Zone{})
	count(t, w.store, noon, "a.example")
	source := &script{err: errors.New("no answer")}
	sender := w.sender(source)
	for at := midnight; at.Before(midnight.Add(74 * time.Hour)); at = at.Add(10 * time.Minute) {
		if err := sender.Turn(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if got := outcomes(t, w.store); got != "2026-11-21 a.example: given up: no answer" || source.asked < 100 || source.asked > 150 {
		t.Error(got, source.asked)
	}
	count(t, w.store, noon, "b.example")
	source.err = fmt.Errorf("%w: nobody wants it", report.ErrNever)
	if err := sender.Turn(t.Context(), midnight.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(t, w.store); !strings.HasSuffix(got, "2026-11-21 b.example: no report is sent: nobody wants it") {
		t.Error(got)
	}
}

// What is sent in another way than by mail.
func TestDeliver(t *testing.T) {
	w := newWorld(t, dnstest.Zone{})
	count(t, w.store, noon, "a.example")
	fail := true
	sender := w.sender(other(func() (string, error) {
		if fail {
			return "", errors.New("no answer")
		}
		return "posted", nil
	}))
	for _, at := range []time.Duration{time.Hour, 2 * time.Hour} {
		if err := sender.Turn(t.Context(), midnight.Add(at)); err != nil || outcomes(t, w.store) != "2026-11-21 a.example: " {
			t.Error(outcomes(t, w.store), err)
		}
	}
	fail = false
	if err := sender.Turn(t.Context(), midnight.Add(3*time.Hour)); err != nil || outcomes(t, w.store) != "2026-11-21 a.example: posted" {
		t.Error(outcomes(t, w.store), err)
	}
}

// other is a Source whose reports go in another way.
type other func() (string, error)

func (other) Kind() reports.Kind { return reports.DMARC }

func (o other) Report(context.Context, time.Time, reports.Subject) (report.Daily, error) {
	return report.Daily{Deliver: func(context.Context) (string, error) { return o() }}, nil
}
