package reports_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"waxwing/store/kv"
	"waxwing/store/reports"
	"waxwing/test/engine"
)

func open(t *testing.T) kv.Store {
	t.Helper()
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func flush(t *testing.T, s *reports.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rows says what was counted of a domain at noon.
func rows(t *testing.T, s *reports.Store, domain string) string {
	t.Helper()
	g, err := s.Gathered(t.Context(), reports.Subject{Kind: reports.DMARC, Day: reports.DayOf(noon), Domain: domain})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, r := range g.Rows {
		counts[string(r.Data)] = r.Count
	}
	return fmt.Sprintf("%s %v %d", g.About, counts, g.Lost)
}

func TestDay(t *testing.T) {
	day := reports.DayOf(noon)
	if day.String() != "2026-11-22" || !day.End().Equal(day.Start().Add(24*time.Hour)) || reports.DayOf(day.End()) != day+1 || reports.DayOf(time.Time{}) != 0 {
		t.Error(day, day.Start(), day.End())
	}
}

// Several servers add to the same rows.
func TestCount(t *testing.T) {
	db := open(t)
	one, other := reports.New(db, reports.Options{}), reports.New(db, reports.Options{})
	for range 3 {
		one.Count(noon, reports.DMARC, "A.example", []byte("p1"), []byte("x"), 1)
	}
	other.Count(noon, reports.DMARC, "a.example", []byte("p2"), []byte("x"), 2)
	other.Count(noon, reports.DMARC, "a.example", []byte("p2"), []byte("y"), 1)
	other.Count(noon.Add(24*time.Hour), reports.DMARC, "a.example", nil, []byte("y"), 1)
	other.Count(noon, reports.TLS, "b.example", nil, []byte("z"), 1)
	other.Count(noon, reports.DMARC, strings.Repeat("x", 300), nil, []byte("z"), 1)
	flush(t, one)
	flush(t, one)
	flush(t, other)
	if got := rows(t, one, "a.example"); got != "p2 map[x:5 y:1] 0" {
		t.Error(got)
	}
	waiting, err := one.Waiting(t.Context(), reports.DMARC, reports.DayOf(noon)+1)
	if err != nil || len(waiting) != 1 || waiting[0].Domain != "a.example" || waiting[0].Day != reports.DayOf(noon) {
		t.Errorf("%v, %v", waiting, err)
	}
}

// Strangers who invent addresses and domains find an end.
func TestCountLimits(t *testing.T) {
	s := reports.New(open(t), reports.Options{MaxRows: 3, MaxDomains: 2, MaxDay: 5, MaxPending: 8})
	for i := range 5 {
		s.Count(noon, reports.DMARC, "a.example", nil, []byte{'0' + byte(i)}, 1)
	}
	flush(t, s)
	if got := rows(t, s, "a.example"); got != " map[0:1 1:1 2:1] 2" {
		t.Error(got)
	}
	for i := range 12 {
		s.Count(noon, reports.DMARC, "b.example", nil, []byte{'a' + byte(i)}, 1)
	}
	flush(t, s)
	if got := rows(t, s, "b.example"); got != " map[a:1 b:1] 10" {
		t.Error(got)
	}
	s.Count(noon, reports.DMARC, "c.example", nil, []byte("x"), 1)
	s.Count(noon, reports.DMARC, "a.example", nil, []byte("0"), 1)
	flush(t, s)
	if got := rows(t, s, "c.example"); got != " map[] 0" {
		t.Error(got)
	}
	if got := rows(t, s, "a.example"); got != " map[0:2 1:1 2:1] 2" {
		t.Error(got)
	}
}

// Many rows go in several transactions.
func TestCountMany(t *testing.T) {
	s := reports.New(open(t), reports.Options{})
	for i := range 3000 {
		s.Count(noon, reports.DMARC, fmt.Sprintf("d%d.example", i%7), nil, fmt.Appendf(nil, "row %d", i), uint64(i))
	}
	flush(t, s)
	var n int
	var sum uint64
	for i := range 7 {
		g, err := s.Gathered(t.Context(), reports.Subject{Kind: reports.DMARC, Day: reports.DayOf(noon), Domain: fmt.Sprintf("d%d.example", i)})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range g.Rows {
			n++
			sum += r.Count
		}
	}
	if n != 3000 || sum != 3000*2999/2 {
		t.Errorf("%d rows, %d", n, sum)
	}
}

// What was sent is not counted on, nor sent again.
func TestSent(t *testing.T) {
	s := reports.New(open(t), reports.Options{})
	subject := reports.Subject{Kind: reports.DMARC, Day: reports.DayOf(noon), Domain: "a.example"}
	s.Count(noon, reports.DMARC, "a.example", nil, []byte("x"), 1)
	flush(t, s)
	began, err := s.Begin(t.Context(), noon, subject)
	if err != nil || !began.Equal(noon) {
		t.Fatal(began, err)
	}
	s.Count(noon, reports.DMARC, "a.example", nil, []byte("x"), 1)
	flush(t, s)
	if got := rows(t, s, "a.example"); got != " map[x:1] 0" {
		t.Error(got)
	}
	if began, err = s.Begin(t.Context(), noon.Add(time.Hour), subject); err != nil || !began.Equal(noon) {
		t.Error(began, err)
	}
	if err := s.End(t.Context(), noon.Add(time.Hour), subject, "sent to somebody"); err != nil {
		t.Fatal(err)
	}
	s.Count(noon, reports.DMARC, "a.example", nil, []byte("x"), 1)
	flush(t, s)
	if waiting, err := s.Waiting(t.Context(), reports.DMARC, subject.Day+1); err != nil || len(waiting) != 0 {
		t.Error(waiting, err)
	}
	sent, err := s.LastSent(t.Context(), reports.DMARC, subject.Day)
	if err != nil || len(sent) != 1 || sent[0].Subject != subject || sent[0].Outcome != "sent to somebody" || !sent[0].Ended.Equal(noon.Add(time.Hour)) {
		t.Error(sent, err)
	}
	// In the end all is forgotten.
	if err := s.Purge(t.Context(), noon.Add(30*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if sent, err := s.LastSent(t.Context(), reports.DMARC, 0); err != nil || len(sent) != 0 {
		t.Error(sent, err)
	}
}

func TestLease(t *testing.T) {
	s := reports.New(open(t), reports.Options{})
	for _, step := range []struct {
		holder string
		at     time.Duration
		want   bool
	}{
		{"a", 0, true}, {"b", time.Minute, false}, {"a", 2 * time.Minute, true}, {"b", 11 * time.Minute, false}, {"b", 12 * time.Minute, true}, {"a", 13 * time.Minute, false},
	} {
		now := noon.Add(step.at)
		if ours, err := s.Lease(t.Context(), now, "turn", step.holder, now.Add(10*time.Minute)); err != nil || ours != step.want {
			t.Errorf("%s at %s: %v, %v", step.holder, step.at, ours, err)
		}
	}
}

func take(t *testing.T, s *reports.Store, at time.Time, text []byte) error {
	t.Helper()
	return s.Take(t.Context(), reports.Mail{Message: "id", Received: at, From: "a@b", To: "c@d", Results: "r", Size: int64(len(text))}, bytes.NewReader(text))
}

func TestMail(t *testing.T) {
	s := reports.New(open(t), reports.Options{MaxMail: 12 << 20})
	large := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	for i, text := range [][]byte{[]byte("first"), nil, large} {
		if err := take(t, s, noon.Add(time.Duration(i)*time.Second), text); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-s.Arrived():
	default:
		t.Error("nobody was told")
	}
	if err := take(t, s, noon, make([]byte, 10<<20)); !errors.Is(err, reports.ErrFull) {
		t.Error(err)
	}
	if err := take(t, s, noon, make([]byte, reports.MaxSize+1)); !errors.Is(err, reports.ErrTooLarge) {
		t.Error(err)
	}
	if err := s.Purge(t.Context(), noon.Add(240*time.Hour)); err != nil { // none of these is an orphan
		t.Fatal(err)
	}
	var after uint64
	for i, want := range [][]byte{[]byte("first"), nil, large} {
		m, text, err := s.Next(t.Context(), after)
		if err != nil || !bytes.Equal(text, want) || m.From != "a@b" || m.To != "c@d" || m.Results != "r" || m.Message != "id" || m.Tries != 0 {
			t.Fatalf("%d: %+v, %d octets, %v", i, m, len(text), err)
		}
		if err := s.SetTries(t.Context(), m.ID, 2); err != nil {
			t.Fatal(err)
		}
		if again, _, err := s.Next(t.Context(), after); err != nil || again.ID != m.ID || again.Tries != 2 {
			t.Errorf("%+v, %v", again, err)
		}
		after = m.ID
		if i != 1 {
			if err := s.Done(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := s.Next(t.Context(), after); !errors.Is(err, reports.ErrNone) {
		t.Error(err)
	}
	if m, _, err := s.Next(t.Context(), 0); err != nil || m.Size != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// A failing engine fails each second transaction.
type failing struct {
	kv.Store
	left int
}

var errDisk = errors.New("the disk is gone")

func (f *failing) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	if f.left--; f.left < 0 {
		return nil, errDisk
	}
	return f.Store.Update(ctx, p, fn)
}

// What a crash leaves of a large mail that was never acknowledged is removed,
// and is never read.
func TestMailOrphans(t *testing.T) {
	f := &failing{open(t), 1}
	s := reports.New(f, reports.Options{})
	if err := take(t, s, noon, make([]byte, 8<<20)); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	f.left = 1000
	if _, _, err := s.Next(t.Context(), 0); !errors.Is(err, reports.ErrNone) {
		t.Error(err)
	}
	if err := s.Purge(t.Context(), noon.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	full := reports.New(f, reports.Options{MaxMail: 3 * 60 << 10})
	if err := take(t, full, noon, []byte("x")); err != nil {
		t.Errorf("something has been left: %v", err)
	}
}

// What cannot be written is written later.
func TestCountAfterTrouble(t *testing.T) {
	f := &failing{open(t), 0}
	s := reports.New(f, reports.Options{})
	s.Count(noon, reports.DMARC, "a.example", []byte("p"), []byte("x"), 1)
	if err := s.Flush(t.Context()); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	s.Count(noon, reports.DMARC, "a.example", []byte("p"), []byte("x"), 1)
	f.left = 10
	flush(t, s)
	if got := rows(t, s, "a.example"); got != "p map[x:2] 0" {
		t.Error(got)
	}
}

func report(domain, id string, to time.Time, size int) reports.Report {
	return reports.Report{
		Kind: reports.DMARC, Domain: domain, From: to.Add(-24 * time.Hour), To: to, Org: "org", ID: id, Proven: "p.example", Received: noon,
		Data: bytes.Repeat([]byte{'x'}, size),
	}
}

func ids(t *testing.T, s *reports.Store, domain string, since time.Time) string {
	t.Helper()
	var all []string
	err := s.Kept(t.Context(), reports.DMARC, domain, since, func(r reports.Report) error {
		all = append(all, fmt.Sprintf("%s:%d", r.ID, len(r.Data)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestKept(t *testing.T) {
	s := reports.New(open(t), reports.Options{Keep: 30 * 24 * time.Hour, MaxOctets: 8 << 20})
	for i, tt := range []struct {
		r   reports.Report
		err error
	}{
		{report("a.example", "2", noon.Add(-48*time.Hour), 1<<20), nil},
		{report("A.example", "1", noon.Add(-72*time.Hour), 0), nil},
		{report("b.example", "1", noon.Add(-24*time.Hour), 2<<20), nil},
		{report("a.example", "2", noon.Add(-48*time.Hour), 5), reports.ErrKnown},
		{report("a.example", "3", noon.Add(48*time.Hour), 5), reports.ErrDate},
		{report("a.example", "3", noon.Add(-40*24*time.Hour), 5), reports.ErrDate},
		{report("a.example", "3", noon, reports.MaxReport+1), reports.ErrTooLarge},
		{report("a.example", strings.Repeat("3", 400), noon, 5), reports.ErrTooLarge},
		{report("a.example", "3", noon.Add(-12*time.Hour), 2<<20), nil},
		{report("a.example", "4", noon.Add(-11*time.Hour), 2<<20), nil},
		{report("a.example", "5", noon.Add(-10*time.Hour), 2<<20), reports.ErrNoRoom},
	} {
		if err := s.Keep(t.Context(), tt.r); !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%d: %v, want %v", i, err, tt.err)
		}
	}
	if got := ids(t, s, "", time.Time{}); got != "1:0 2:1048576 1:2097152 3:2097152 4:2097152" {
		t.Error(got)
	}
	if got := ids(t, s, "A.EXAMPLE", noon.Add(-50*time.Hour)); got != "2:1048576 3:2097152 4:2097152" {
		t.Error(got)
	}
	// What goes makes room, and may come again.
	if err := s.Purge(t.Context(), noon.Add(29*24*time.Hour+time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, "", time.Time{}); got != "3:2097152 4:2097152" {
		t.Error(got)
	}
	for _, id := range []string{"6", "7"} {
		if err := s.Keep(t.Context(), report("a.example", id, noon, 1900<<10)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := s.Keep(t.Context(), report("a.example", "8", noon, 1<<20)); !errors.Is(err, reports.ErrNoRoom) {
		t.Error(err)
	}
}
