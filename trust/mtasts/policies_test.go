package mtasts

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
)

// A shelf is a Memory that forgets at the end.
type shelf struct {
	mu   sync.Mutex
	kept map[string]Kept // guarded by mu
	fail error
}

func (s *shelf) Load(_ context.Context, domain string) (Kept, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.kept[domain]
	return k, ok, s.fail
}

func (s *shelf) Save(_ context.Context, k Kept) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[k.Domain] = k
	return s.fail
}

func (s *shelf) Forget(_ context.Context, domain string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, domain)
	return s.fail
}

func (s *shelf) All(context.Context) iter.Seq2[Kept, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Values(s.kept))
	return func(yield func(Kept, error) bool) {
		for _, k := range all {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// A stage is a domain whose record and policy change.
type stage struct {
	*Policies
	dnstest.Zone // whose every other name is unknown
	shelf        *shelf

	mu      sync.Mutex
	record  string // guarded by mu; empty for none, "!" for a failure
	policy  Policy // guarded by mu
	err     *Error // guarded by mu
	lookups atomic.Int32
	fetched atomic.Int32
	takes   time.Duration
}

func newStage(record string, p Policy) *stage {
	s := &stage{shelf: &shelf{kept: map[string]Kept{}}, record: record, policy: p}
	s.again()
	return s
}

// again begins with an empty memory, as a new start of the program does.
func (s *stage) again() {
	s.Policies = New(s, s.fetch, s.shelf, slog.New(slog.DiscardHandler))
}

func (s *stage) fetch(ctx context.Context, domain string) (Policy, error) {
	s.fetched.Add(1)
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return Policy{}, &Error{Unreachable, ctx.Err()}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return Policy{}, s.err
	}
	return s.policy, nil
}

func (s *stage) set(record string, p Policy, err *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record, s.policy, s.err = record, p, err
}

// The stage is a resolver that knows one TXT record.
func (s *stage) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	s.lookups.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	z := dnstest.Zone{TXT: map[string][]string{}}
	switch s.record {
	case "":
	case "!":
		z.Fail = map[string]bool{name: true}
	default:
		z.TXT["_mta-sts.example.org"] = []string{s.record}
	}
	return z.LookupTXT(ctx, name)
}

// find finds the policy now.
func (s *stage) find(t *testing.T) Finding {
	t.Helper()
	f, err := s.Find(t.Context(), time.Now(), "example.org")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *stage) want(t *testing.T, mode Mode, problem Problem, fetched int) {
	t.Helper()
	f := s.find(t)
	got := Problem(0)
	if f.Err != nil {
		got = f.Err.Problem
	}
	if f.Policy.Mode != mode || got != problem || int(s.fetched.Load()) != fetched {
		t.Fatalf("%q, problem %d (%v), %d fetched; want %q, %d, %d", f.Policy.Mode, got, f.Err, s.fetched.Load(), mode, problem, fetched)
	}
}

var (
	enforce     = Policy{Mode: Enforce, MX: []string{"mx.example.org"}, MaxAge: 7 * 24 * time.Hour}
	testingOnly = Policy{Mode: Testing, MX: []string{"mx.example.org"}, MaxAge: 7 * 24 * time.Hour}
	gone        = &Error{Unreachable, errors.New("nobody is there")}
)

func TestFindPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.want(t, Enforce, 0, 1)
		for range 100 {
			s.want(t, Enforce, 0, 1) // remembered
		}
		if n := s.lookups.Load(); n != 1 {
			t.Errorf("%d lookups", n)
		}
		time.Sleep(lookAgain)
		s.want(t, Enforce, 0, 1) // the id is the same
		s.set("v=STSv1; id=2;", testingOnly, nil)
		s.want(t, Enforce, 0, 1) // not looked up yet
		s.Doubt("example.org")
		s.want(t, Testing, 0, 2) // RFC 8461 §5.1: mail could not go, so it was
		s.again()
		s.want(t, Testing, 0, 2) // kept over a restart
	})
}

// RFC 8461 §3.3: what is kept holds when the record is gone, the lookup fails,
// or the policy cannot be fetched.
func TestKeptPolicyHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.want(t, Enforce, 0, 1)
		for _, tt := range []struct {
			record  string
			err     *Error
			problem Problem
			fetched int
		}{
			{"", nil, 0, 1},
			{"!", nil, Unknown, 1},
			{"v=STSv1; id=;", nil, Invalid, 1},
			{"v=STSv1; id=2;", gone, Unreachable, 2},
		} {
			s.set(tt.record, testingOnly, tt.err)
			time.Sleep(lookAgain)
			s.want(t, Enforce, tt.problem, tt.fetched)
		}
		s.want(t, Enforce, Unreachable, 2) // not tried again so soon
		time.Sleep(failedAgain)
		s.want(t, Enforce, Unreachable, 3)
		s.set("v=STSv1; id=2;", testingOnly, nil)
		time.Sleep(failedAgain)
		s.want(t, Testing, 0, 4)
	})
}

func TestNoPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("", enforce)
		s.want(t, "", 0, 0)
		s.set("!", enforce, nil)
		time.Sleep(lookAgain)
		s.want(t, "", Unknown, 0)
		s.set("v=STSv1; id=1;", enforce, gone)
		time.Sleep(soon)
		s.want(t, "", Unreachable, 1)
		s.want(t, "", Unreachable, 1)
		// One that could not be fetched has a new id: that is tried at once.
		s.set("v=STSv1; id=2;", enforce, nil)
		s.Doubt("example.org")
		s.want(t, Enforce, 0, 2)
	})
}

func TestPolicyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := enforce
		p.MaxAge = time.Hour
		s := newStage("v=STSv1; id=1;", p)
		s.want(t, Enforce, 0, 1)
		s.set("", p, nil)
		time.Sleep(59 * time.Minute)
		s.want(t, Enforce, 0, 1)
		time.Sleep(time.Minute)
		s.want(t, "", 0, 1)
		// With the same id it is fetched again, once it has expired.
		s.set("v=STSv1; id=1;", p, nil)
		time.Sleep(lookAgain)
		s.want(t, Enforce, 0, 2)
		p.MaxAge = 0
		s.set("v=STSv1; id=2;", p, nil)
		time.Sleep(lookAgain)
		s.want(t, Enforce, 0, 3)
		s.want(t, Enforce, 0, 3) // not for each message
	})
}

// Many ask at once, and the first is called off: what was begun for him goes on.
func TestFoundOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.takes = 4 * time.Second
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var called, found atomic.Int32
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := s.Find(first, time.Now(), "example.org"); errors.Is(err, context.DeadlineExceeded) {
				called.Add(1)
			}
		})
		synctest.Wait()
		for range 50 {
			asking.Go(func() {
				if f, err := s.Find(t.Context(), time.Now(), "example.org"); err == nil && f.Policy.Mode == Enforce {
					found.Add(1)
				}
			})
		}
		asking.Wait()
		if called.Load() != 1 || found.Load() != 50 || s.fetched.Load() != 1 {
			t.Errorf("%d called off, %d found it, %d fetched", called.Load(), found.Load(), s.fetched.Load())
		}
	})
}

// A policy that is long in coming keeps mail waiting for a moment only, and
// counts from when it is there. One that was kept counts meanwhile.
func TestSlowPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.takes = 12 * time.Second
		began := time.Now()
		s.want(t, "", Unknown, 1)
		if took := time.Since(began); took != patience {
			t.Errorf("mail has waited for %v", took)
		}
		s.want(t, "", Unknown, 1) // another message waits, too
		time.Sleep(2 * time.Second)
		s.want(t, Enforce, 0, 1)
		if took := time.Since(began); took != 12*time.Second {
			t.Errorf("the policy was there after %v", took)
		}
		s.set("v=STSv1; id=2;", testingOnly, nil)
		s.Doubt("example.org")
		s.want(t, Enforce, Unknown, 2)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		s.want(t, Testing, 0, 2)
	})
}

// Who stops does not leave a search behind; a search that is begun after that
// is its caller's.
func TestSearchesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.takes = 12 * time.Second
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		began := time.Now()
		s.want(t, "", Unknown, 1)
		stop()
		<-done
		if took := time.Since(began); took != patience {
			t.Errorf("stopped after %v", took)
		}
		s.want(t, Enforce, 0, 2)
		if took := time.Since(began); took != patience+s.takes {
			t.Errorf("found after %v", took)
		}
	})
}

// A Memory that fails is no reason to send mail as if there were no policy.
func TestMemoryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.shelf.fail = errors.New("the disk is full")
		if f, err := s.Find(t.Context(), time.Now(), "example.org"); err == nil {
			t.Errorf("%+v", f)
		}
		s.shelf.fail = nil
		s.want(t, Enforce, 0, 1)
	})
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage("v=STSv1; id=1;", enforce)
		s.want(t, Enforce, 0, 1)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		time.Sleep(23 * time.Hour)
		if n := s.fetched.Load(); n != 1 {
			t.Fatalf("%d fetched in a day", n)
		}
		// The record is kept from us, and the policy is not: it is fetched anew.
		s.set("!", testingOnly, nil)
		time.Sleep(2 * time.Hour)
		s.want(t, Testing, Unknown, 2)
		before, _, _ := s.shelf.Load(t.Context(), "example.org")
		// Now both are: it holds until it expires.
		s.set("!", enforce, gone)
		time.Sleep(5 * 24 * time.Hour)
		s.want(t, Testing, Unknown, 7)
		if k, _, _ := s.shelf.Load(t.Context(), "example.org"); !k.Fetched.Equal(before.Fetched) {
			t.Errorf("fetched at %v, want %v", k.Fetched, before.Fetched)
		}
		time.Sleep(3 * 24 * time.Hour)
		s.want(t, "", Unknown, 8)
		stop()
		<-done
		if len(s.shelf.kept) != 0 {
			t.Errorf("%v is kept", s.shelf.kept)
		}
	})
}

// Nobody writes to the domain any more: its policy is left to expire.
func TestUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := enforce
		p.MaxAge = MaxAge
		s := newStage("v=STSv1; id=1;", p)
		s.want(t, Enforce, 0, 1)
		for range 100 {
			time.Sleep(24 * time.Hour)
			if err := s.Refresh(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.fetched.Load(); n != 60 {
			t.Errorf("%d fetched", n)
		}
		s.want(t, Enforce, 0, 60)
		if err := s.Refresh(t.Context(), time.Now()); err != nil || s.fetched.Load() != 61 {
			t.Errorf("%d fetched when it is used again, %v", s.fetched.Load(), err)
		}
	})
}

func TestManyDomains(t *testing.T) {
	s := newStage("", enforce)
	for i := range maxKnown + 100 {
		if _, err := s.Find(t.Context(), time.Now(), strings.Repeat("x", i%50+1)+string(rune('a'+i%26))+time.Duration(i).String()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.known); n > maxKnown {
		t.Errorf("%d domains are known", n)
	}
}

// BenchmarkFind is what a domain costs whose policy, or that it has none, is
// known.
func BenchmarkFind(b *testing.B) {
	s := newStage("v=STSv1; id=1;", enforce)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if f, err := s.Find(b.Context(), now, "example.org"); err != nil || f.Policy.Mode != Enforce {
			b.Fatal(f, err)
		}
	}
}
