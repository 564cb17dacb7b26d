package mailbox_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/mailbox"
)

// engines are those that serve one machine.
func engines(t *testing.T, fn func(t *testing.T, db kv.Store)) {
	t.Run("memkv", func(t *testing.T) { fn(t, memkv.New()) })
	t.Run("pebblekv", func(t *testing.T) {
		db, err := pebblekv.Open("db", pebblekv.Options{FS: vfs.NewMem(), MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		fn(t, db)
	})
}

// Many write to one account on two nodes while others watch: every watcher
// sees UIDs and modseqs only grow, and what a writer has been told about.
func TestConcurrent(t *testing.T) {
	engines(t, func(t *testing.T, db kv.Store) {
		ctx := t.Context()
		h := newHouseOn(t, db, mailbox.Options{})
		other := mailbox.New(db, h.blobs, mailbox.Options{})
		defer other.Close()
		far := other.Account(1)
		var writers, watchers sync.WaitGroup
		done := make(chan struct{})
		for i, a := range []*mailbox.Account{h.Account, far} {
			for id := mailbox.Inbox; id <= 2; id++ {
				watchers.Go(func() { watchView(t, a, id, done) })
			}
			for n := range 4 {
				writers.Go(func() { writeRandomly(t, h, a, uint64(10*i+n)) })
			}
		}
		writers.Wait()
		for id := mailbox.Inbox; id <= 2; id++ {
			v := h.open(t, id)
			w, err := far.Open(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			// What the one has written the other learns a little later.
			want := h.fresh(t, id).Info()
			for until := time.Now().Add(10 * time.Second); w.Snapshot().Info() != want || v.Snapshot().Info() != want; time.Sleep(time.Millisecond) {
				if time.Now().After(until) {
					t.Fatalf("the nodes have %+v and %+v, not %+v", v.Snapshot().Info(), w.Snapshot().Info(), want)
				}
			}
			h.check(t, v)
			if x, y := entries(h.Account, v.Snapshot()), entries(far, w.Snapshot()); !slices.Equal(x, y) {
				t.Error("the two nodes differ")
			}
		}
		close(done)
		watchers.Wait()
		h.verify(t)
	})
}

func writeRandomly(t *testing.T, h *house, a *mailbox.Account, seed uint64) {
	ctx := t.Context()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var mine []mail.UID // in INBOX, for nobody else to move
	for i := range 60 {
		v, err := a.Open(ctx, mailbox.Inbox)
		if err != nil {
			t.Error(err)
			return
		}
		switch k := rnd.IntN(5); {
		case k < 2 || len(mine) == 0:
			body, err := blob.StageBytes(ctx, h.blobs, []byte(text(fmt.Sprint(seed, i))))
			if err != nil {
				t.Error(err)
				return
			}
			done, err := a.Append(ctx, start, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body})
			body.Close()
			if err != nil {
				t.Error(err)
				return
			}
			mine = append(mine, done[0].UID)
			if _, found := v.Snapshot().Find(done[0].UID); !found {
				t.Errorf("UID %d was appended and is not seen", done[0].UID)
			}
		case k == 2:
			uid := mine[rnd.IntN(len(mine))]
			flags := mail.Flags(rnd.IntN(4))
			if _, err := a.SetFlags(ctx, mailbox.Inbox, []mail.UID{uid}, mailbox.FlagChange{Flags: flags, Keywords: []mail.Keyword{mail.Keyword(fmt.Sprint("k", rnd.IntN(9)))}}); err != nil {
				t.Error(err)
			}
			s := v.Snapshot()
			if at, found := s.Find(uid); !found || s.At(at).Flags != flags {
				t.Errorf("flags of %d are not seen", uid)
			}
		case k == 3:
			uid := mine[0]
			mine = mine[1:]
			if _, err := a.Move(ctx, start, mailbox.Inbox, []mail.UID{uid}, 2); err != nil {
				t.Error(err)
			}
			if _, found := v.Snapshot().Find(uid); found {
				t.Errorf("UID %d was moved and is still seen", uid)
			}
		case k == 4:
			if _, err := a.Copy(ctx, start, mailbox.Inbox, mine, 2); err != nil {
				t.Error(err)
			}
		}
		v.Close()
	}
}

func watchView(t *testing.T, a *mailbox.Account, id mail.MailboxID, done chan struct{}) {
	v, err := a.Open(t.Context(), id)
	if err != nil {
		t.Error(err)
		return
	}
	defer v.Close()
	poke := make(chan struct{}, 1)
	defer v.Subscribe(func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	})()
	old := v.Snapshot()
	for {
		select {
		case <-poke:
		case <-done:
			return
		}
		s := v.Snapshot()
		if s.Info().HighestModSeq < old.Info().HighestModSeq || s.Info().UIDNext < old.Info().UIDNext {
			t.Errorf("went back from %+v to %+v", old.Info(), s.Info())
		}
		consistent(t, s)
		for _, e := range mailbox.Diff(old, s).Added {
			if e.UID < old.Info().UIDNext {
				t.Errorf("UID %d came late, after %d", e.UID, old.Info().UIDNext)
			}
		}
		old = s
	}
}

// What was acknowledged is there after the power has failed at any time, and
// nothing was seen that is not.
func TestPowerFailure(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		fs := vfs.NewCrashableMem()
		db, err := pebblekv.Open("db", pebblekv.Options{FS: fs, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		h := newHouseOn(t, db, mailbox.Options{})
		v := h.open(t, mailbox.Inbox)
		var mu sync.Mutex
		acknowledged := make(map[mail.UID]mailbox.Appended)
		var crashed *vfs.MemFS
		var seen *mailbox.Snapshot
		var told map[mail.UID]mailbox.Appended
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for n := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					body, err := blob.StageBytes(t.Context(), h.blobs, []byte(text(fmt.Sprint(n, i))))
					if err != nil {
						t.Error(err)
						return
					}
					done, err := h.Append(t.Context(), start, mailbox.NewEntry{Mailbox: mailbox.Inbox, Body: body})
					body.Close()
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acknowledged[done[0].UID] = done[0]
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(rnd.IntN(10)) * time.Millisecond)
		mu.Lock()
		seen = v.Snapshot()
		told = make(map[mail.UID]mailbox.Appended, len(acknowledged))
		for uid, d := range acknowledged {
			told[uid] = d
		}
		mu.Unlock()
		crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(rnd.IntN(3)) * 50, RNG: rnd})
		close(stop)
		wg.Wait()

		again, err := pebblekv.Open("db", pebblekv.Options{FS: crashed, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		store := mailbox.New(again, h.blobs, mailbox.Options{})
		a := store.Account(1)
		if err := a.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		w, err := a.Open(t.Context(), mailbox.Inbox)
		if err != nil {
			t.Fatal(err)
		}
		s := w.Snapshot()
		for uid, d := range told {
			if i, found := s.Find(uid); !found || s.At(i).Email != d.Email {
				t.Errorf("UID %d was acknowledged and is lost", uid)
			}
		}
		for i, e := range seen.Entries(0) {
			if i >= s.Len() || s.At(i) != e {
				t.Errorf("UID %d was seen and is lost", e.UID)
			}
		}
		w.Close()
		if err := errors.Join(store.Close(), again.Close()); err != nil {
			t.Error(err)
		}
	}
}
