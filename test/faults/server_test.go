package faults

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/flow/relay"
	"waxwing/proto/imap/imapserver"
	"waxwing/proto/pop3/pop3server"
	"waxwing/proto/smtp/smtpserver"
	"waxwing/serve/imap"
	"waxwing/serve/mx"
	"waxwing/serve/pop3"
	"waxwing/serve/submission"
	"waxwing/store/blob/fsblob"
	"waxwing/store/directory"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/outqueue"
	"waxwing/test/house"
	"waxwing/test/traffic"
)

// A server is all rooms and doors over one disk.
type server struct {
	traffic.Server
	*house.House
	t      *testing.T
	disk   *Disk
	db     *pebblekv.Store
	blobs  *fsblob.Store
	far    *traffic.Sink
	failed chan error // told when the store cannot write any more
	stop   context.CancelFunc
	doors  sync.WaitGroup
}

// minFree is what the stores leave free for those who make room.
const minFree = 256 << 20

// open starts a server that relays to far, unless that is nil; a new disk gets
// its people.
func open(t *testing.T, disk *Disk, far *traffic.Sink) *server {
	t.Helper()
	s := &server{t: t, disk: disk, far: far, failed: make(chan error, 1)}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	}
	_, err := disk.Stat("/store/FORMAT")
	fresh := err != nil
	s.db, err = pebblekv.Open("/store", pebblekv.Options{
		FS: disk, SegmentSize: 4 << 20, MinFree: minFree, Log: log, Failed: func(err error) { s.failed <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.blobs, err = fsblob.Open("/blobs", fsblob.Options{FS: disk.Blobs(), MinFree: minFree}); err != nil {
		t.Fatal(err)
	}
	s.House = house.Over(t, s.db, s.blobs, log)
	s.Server = traffic.Server{
		Alice: "alice@example.test", Bob: "bob@example.test", Password: "waxwing", Elsewhere: "carol@far.test",
	}
	if fresh {
		s.Furnish()
		for _, a := range []string{s.Server.Alice, s.Server.Bob} {
			login, err := s.Directory.Login(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Directory.SetPassword(t.Context(), login.Account, s.Password); err != nil {
				t.Fatal(err)
			}
		}
	} else if err := s.Queue.Reclaim(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	s.openDoors()
	if fresh {
		if err := traffic.Prepare(s.Server); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *server) openDoors() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	serve := func(serve func(context.Context, net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.doors.Go(func() { _ = serve(ctx, l) })
		return l.Addr().String()
	}
	if s.far != nil {
		s.doors.Go(func() { s.relay(ctx) })
	}
	s.doors.Go(func() { s.purge(ctx) })
	const drain = 10 * time.Second
	s.MX = serve(smtpserver.New(mx.Door(s.Receiver, house.Hostname),
		smtpserver.Options{Hostname: house.Hostname, Service: "smtp", Log: s.Log, DrainTimeout: drain}).Serve)
	s.Submission = serve(smtpserver.New(submission.Door(s.Submitter, house.Hostname), smtpserver.Options{
		Hostname: house.Hostname, Service: "submission", Log: s.Log,
		Auth: s.Auth, PlaintextAuth: true, RequireAuth: true, DrainTimeout: drain,
	}).Serve)
	s.IMAP = serve(imapserver.New(imap.New(s.Mailboxes, s.House.Blobs, imap.Options{}).Open, imapserver.Options{
		Hostname: house.Hostname, Log: s.Log, Auth: s.Auth, PlaintextOnLoopback: true, DrainTimeout: drain,
	}).Serve)
	s.POP3 = serve(pop3server.New(pop3.New(s.Mailboxes, pop3.Options{}).Open, pop3server.Options{
		Hostname: house.Hostname, Log: s.Log, Auth: s.Auth, PlaintextOnLoopback: true, DrainTimeout: drain,
	}).Serve)
}

// relay sends what is in the queue to the host far away.
func (s *server) relay(ctx context.Context) {
	zone := dnstest.Zone{
		MX: map[string][]dns.MX{"far.test": {{Host: "mx.far.test", Preference: 10}}},
		A:  map[string][]string{"mx.far.test": {"127.0.0.1"}},
	}
	r := relay.New(s.Queue, s.Deliverer, s.House.Blobs, zone, relay.Options{
		Hostname: house.Hostname, Port: s.far.Port(), Log: s.Log, Schedule: relay.Schedule{First: 200 * time.Millisecond},
	})
	if err := r.Run(ctx); ctx.Err() == nil {
		s.t.Errorf("the relay has ended: %v", err)
	}
}

// purge lets go of all that was expunged, again and again.
func (s *server) purge(ctx context.Context) {
	for ctx.Err() == nil {
		_ = s.Mailboxes.Purge(ctx, time.Now().AddDate(1, 0, 0)) // the disk fails now and then
		time.Sleep(200 * time.Millisecond)
	}
}

// close ends the server. It gives what the stores say at their end.
func (s *server) close() error {
	s.stop()
	s.doors.Wait()
	return errors.Join(s.Mailboxes.Close(), s.blobs.Close(), s.db.Close())
}

// away gives the numbers of the messages that are in the queue or have
// arrived, and how often.
func (s *server) away() map[string]int {
	s.t.Helper()
	all := map[string]int{}
	if s.far != nil {
		for number, takings := range s.far.Takings() {
			all[number] += len(takings)
		}
	}
	for _, it := range s.Queued() {
		body, err := s.Queue.OpenBody(s.t.Context(), it)
		if err != nil {
			s.t.Fatalf("queued %s: %v", it.ID, err)
		}
		text, err := io.ReadAll(io.NewSectionReader(body, 0, int64(body.Size())))
		if err := errors.Join(err, body.Close()); err != nil {
			s.t.Fatalf("queued %s: %v", it.ID, err)
		}
		_, rest, _ := strings.Cut(string(text), "X-Number: ")
		number, _, _ := strings.Cut(rest, "\r\n")
		all[number]++
	}
	return all
}

// verify checks all that the stores hold.
func (s *server) verify() {
	s.t.Helper()
	for id, err := range s.Mailboxes.Accounts(s.t.Context()) {
		if err == nil {
			err = s.Mailboxes.Account(id).Verify(s.t.Context())
		}
		if err != nil {
			s.t.Errorf("account %v: %v", id, err)
		}
	}
	if err := s.Queue.Verify(s.t.Context(), false, func(f outqueue.Finding) { s.t.Errorf("queue: %+v", f) }); err != nil {
		s.t.Errorf("queue: %v", err)
	}
	if err := s.Directory.Verify(s.t.Context(), false, func(f directory.Finding) { s.t.Errorf("directory: %+v", f) }); err != nil {
		s.t.Errorf("directory: %v", err)
	}
}
