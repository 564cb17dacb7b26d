package report

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"waxwing/obs"
	"waxwing/store/reports"
)

// A Source makes the reports of a kind.
type Source interface {
	Kind() reports.Kind
	// Report makes the report of a day. It changes nothing; an error that is not
	// ErrNever means that it is to be asked again later.
	Report(ctx context.Context, now time.Time, subject reports.Subject) (Daily, error)
}

// A Daily is the report of a day, made to be sent.
type Daily struct {
	// Letters go by mail.
	Letters []Letter
	// Deliver, if not nil, sends it in another way, and says in words what came
	// of it. It is called before the letters are sent, and may be called again
	// if the server dies over it.
	Deliver func(ctx context.Context) (outcome string, err error)
	// Outcome says in words what is being done, such as who gets it and who
	// does not, and why.
	Outcome string
}

// ErrNever says that a report will not be sent; why, the error that wraps it
// says.
var ErrNever = errors.New("no report is sent")

// How the reports of a day are sent.
const (
	// settled is how long after a day nothing of it is counted any more.
	settled = 10 * time.Minute
	// pause is how long a report waits that could not be made or sent.
	pause = 30 * time.Minute
	// patience is how long after its day a report is given up that cannot be
	// made or sent.
	patience = 3 * 24 * time.Hour
	// once is how long tokens of the outqueue are good: what began longer ago
	// may have been sent, and is not sent again.
	once = 20 * time.Hour
	// turn is how long one server sends the reports before another may.
	turn = 10 * time.Minute
)

// DailyOptions say how reports are sent.
type DailyOptions struct {
	// Holder is this server, among those that share a store.
	Holder string
	// Hostname is what those who share a store are called.
	Hostname string
	// Spread is over how long after midnight UTC reports are spread, so that
	// those who get them do not get all at once. RFC 8460 §4.1
	Spread time.Duration
	// Every is how often it is looked what is due: each minute.
	Every time.Duration
	Log   *slog.Logger
}

// A Sender sends the reports of days that are over.
type Sender struct {
	store   *reports.Store
	post    *Post
	o       DailyOptions
	sources []Source
	later   map[reports.Subject]time.Time // what could not be sent, and when it is tried again
}

// NewSender makes a Sender of reports.
func NewSender(s *reports.Store, p *Post, o DailyOptions, sources ...Source) *Sender {
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sender{store: s, post: p, o: o, sources: sources, later: map[reports.Subject]time.Time{}}
}

// Run sends what is due until ctx ends. What became due while no server was
// running is sent at once.
func (s *Sender) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for {
		if err := s.Turn(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.o.Log.Error("reports cannot be sent", obs.Err, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Turn sends what is due now.
func (s *Sender) Turn(ctx context.Context, now time.Time) error {
	for subject, again := range s.later {
		if now.After(again.Add(pause)) {
			delete(s.later, subject) // it has gone, or was sent by another
		}
	}
	var until time.Time // the turn is surely ours
	for _, source := range s.sources {
		waiting, err := s.store.Waiting(ctx, source.Kind(), reports.DayOf(now))
		if err != nil {
			return err
		}
		for _, subject := range waiting {
			if now.Before(s.due(subject)) || now.Before(s.later[subject]) {
				continue
			}
			if now := time.Now(); !now.Before(until) {
				ours, err := s.store.Lease(ctx, now, "daily", s.o.Holder, now.Add(turn))
				if err != nil || !ours {
					return err
				}
				until = now.Add(turn / 2)
			}
			if err := s.send(ctx, now, source, subject); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				s.o.Log.Info("a report is put off", "kind", subject.Kind.String(), obs.Domain, subject.Domain, "day", subject.Day.String(), obs.Err, err)
				s.later[subject] = now.Add(pause)
			}
		}
	}
	return nil
}

// due gives when a report is sent, which is the same for all servers that share
// the store.
func (s *Sender) due(subject reports.Subject) time.Time {
	at := subject.Day.End().Add(settled)
	if s.o.Spread <= 0 {
		return at
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %c %s", s.o.Hostname, subject.Day, subject.Kind, subject.Domain))
	return at.Add(time.Duration(binary.BigEndian.Uint64(sum[:]) % uint64(s.o.Spread)))
}

// send makes and sends one report. It is sent once, whoever dies meanwhile.
func (s *Sender) send(ctx context.Context, now time.Time, source Source, subject reports.Subject) error {
	daily, err := source.Report(ctx, now, subject)
	switch {
	case errors.Is(err, ErrNever):
		return s.end(ctx, now, subject, err.Error())
	case err != nil && now.After(subject.Day.End().Add(patience)):
		return s.end(ctx, now, subject, "given up: "+err.Error())
	case err != nil:
		return err
	}
	began, err := s.store.Begin(ctx, now, subject)
	if err != nil {
		return err
	}
	if now.Sub(began) > once {
		return s.end(ctx, now, subject, "it may have been sent when the server died, and is not sent again")
	}
	if daily.Deliver != nil {
		outcome, err := daily.Deliver(ctx)
		if err != nil {
			if now.Sub(began) < once-pause {
				return err
			}
			outcome = "given up: " + err.Error()
		}
		daily.Outcome = outcome
	}
	token := fmt.Sprintf("%s %s %s", subject.Kind, subject.Day, subject.Domain)
	if err := s.post.Send(ctx, now, token, daily.Letters...); err != nil {
		return err
	}
	return s.end(ctx, now, subject, daily.Outcome)
}

func (s *Sender) end(ctx context.Context, now time.Time, subject reports.Subject, outcome string) error {
	if err := s.store.End(ctx, now, subject, outcome); err != nil {
		return err
	}
	s.o.Log.Info("report of a day", "kind", subject.Kind.String(), obs.Domain, subject.Domain, "day", subject.Day.String(), "outcome", outcome)
	delete(s.later, subject)
	return nil
}
