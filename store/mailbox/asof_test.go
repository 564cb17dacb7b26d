package mailbox_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// treeAsOf shows what AsOf tells as tree does what is there.
func (h *house) treeAsOf(t *testing.T, at time.Time) (string, []string) {
	t.Helper()
	then, err := h.AsOf(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range then.Mailboxes {
		if len(m.Entries) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s:", m.Name)
		for _, e := range m.Entries {
			h.show(t, &b, e)
		}
		b.WriteString("\n")
	}
	return b.String(), then.Gaps
}

// What has come, gone, moved, changed and been renamed since is as it was; and
// looking back changes nothing.
func TestAsOf(t *testing.T) {
	inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.put(t, mailbox.Inbox, "expunged", mail.Seen)
		h.put(t, mailbox.Inbox, "trashed", 0, "work")
		h.put(t, mailbox.Inbox, "moved", 0)
		h.put(t, mailbox.Inbox, "still", mail.Flagged)
		x := h.make(t, "x")
		h.put(t, x.ID, "with x", 0)
		h.put(t, x.ID, "alone out of x", 0)
		want, at := h.tree(t), time.Now()
		time.Sleep(time.Minute)

		h.set(t, mailbox.Inbox, mailbox.FlagChange{Op: mailbox.FlagsReplace, Flags: mail.Seen | mail.Deleted, Keywords: []mail.Keyword{"other"}}, 1, 2, 4)
		h.set(t, x.ID, mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Seen}, 1)
		for uid, to := range map[mail.UID]mail.MailboxID{2: 5, 3: 6} {
			if _, err := h.Move(ctx, time.Now(), mailbox.Inbox, []mail.UID{uid}, to); err != nil {
				t.Fatal(err)
			}
		}
		h.expunge(t, 5, 1)
		h.expunge(t, mailbox.Inbox, 1)
		h.put(t, mailbox.Inbox, "later", 0)
		h.put(t, mailbox.Inbox, "later and gone", 0)
		h.expunge(t, mailbox.Inbox, 6)
		if err := h.RenameMailbox(ctx, "x", "y"); err != nil {
			t.Fatal(err)
		}
		h.drop(t, "y")
		h.put(t, h.make(t, "x").ID, "in another x", 0)
		now := h.tree(t)
		if got, gaps := h.treeAsOf(t, at); got != want || len(gaps) != 0 {
			t.Errorf("the account was\n%sand is shown as\n%s%q", want, got, gaps)
		}
		if got := h.tree(t); got != now {
			t.Errorf("looking back made\n%sof\n%s", got, now)
		}
		// A deleted mailbox that has come back was there all the same.
		h.restore(t, mailbox.RestoreOptions{Since: at, Mailbox: "y"})
		h.drop(t, "y")
		if got, _ := h.treeAsOf(t, at); got != want {
			t.Errorf("the account was\n%sand is shown as\n%s", want, got)
		}
		h.restore(t, mailbox.RestoreOptions{At: at, Mailbox: "x"})
		if got := h.tree(t); !strings.Contains(got, "y: with x alone out of x\n") {
			t.Errorf("restored as\n%s", got)
		}
		// What is purged is told.
		h.expunge(t, mailbox.Inbox, 4)
		for range 20 {
			time.Sleep(24 * time.Hour)
			h.put(t, 2, "draft", 0)
		}
		if _, err := h.Purge(ctx, time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
		if got, gaps := h.treeAsOf(t, at); got != want || len(gaps) != 0 {
			t.Errorf("within the window: the account was\n%sand is shown as\n%s%q", want, got, gaps)
		}
		time.Sleep(15 * 24 * time.Hour)
		if _, err := h.Purge(ctx, time.Now(), 1000); err != nil {
			t.Fatal(err)
		}
		if _, err := h.AsOf(ctx, at); !errors.Is(err, mailbox.ErrTooOld) {
			t.Errorf("past the window: %v", err)
		}
	})
}

// What was purged before its time, for want of room, is told.
func TestAsOfPurged(t *testing.T) {
	inTime(t, mailbox.Options{Recoverable: 100}, func(t *testing.T, h *house) {
		h.put(t, mailbox.Inbox, "one", 0)
		h.put(t, mailbox.Inbox, "two", 0)
		h.put(t, mailbox.Inbox, "three", 0)
		at := time.Now()
		time.Sleep(time.Minute)
		h.expunge(t, mailbox.Inbox, 1)
		h.expunge(t, mailbox.Inbox, 2)
		got, gaps := h.treeAsOf(t, at)
		if got != "INBOX: two three\n" || len(gaps) != 1 || !strings.HasPrefix(gaps[0], `1 message that had been in "INBOX"`) {
			t.Errorf("shown as\n%s%q", got, gaps)
		}
	})
}

// At any time, whatever has happened since. Flags of what was moved are left
// alone here: those are told as they are where it went.
func TestAsOfAnyTime(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for seed := range rounds {
		inTime(t, mailbox.Options{}, func(t *testing.T, h *house) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			type moment struct {
				at   time.Time
				tree string
			}
			var moments []moment
			for n := range 60 {
				h.live(t, r, n)
				if n%6 == 0 {
					moments = append(moments, moment{time.Now(), h.tree(t)})
					time.Sleep(time.Minute)
				}
			}
			for _, m := range moments {
				got, gaps := h.treeAsOf(t, m.at)
				gaps = slices.DeleteFunc(gaps, func(s string) bool { return strings.HasPrefix(s, "a mailbox that") }) // it was empty
				if got != m.tree || len(gaps) != 0 {
					t.Fatalf("seed %d, %v: the account was\n%sand is shown as\n%s%q", seed, m.at, m.tree, got, gaps)
				}
			}
		})
	}
}

// live does something to the account.
func (h *house) live(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	ctx := t.Context()
	list, err := h.Mailboxes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	one := list[r.IntN(len(list))]
	other := list[r.IntN(len(list))]
	v, err := h.Open(ctx, one.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	s := v.Snapshot()
	var uid mail.UID
	moved := false
	if s.Len() > 0 {
		e := s.At(r.IntN(s.Len()))
		uid, moved = e.UID, e.Flags.Has(mail.Answered) // marks what was moved
	}
	switch what := r.IntN(10); {
	case what < 3 || uid == 0 && what < 7:
		h.put(t, one.ID, fmt.Sprint("m", n), mail.Flags(r.IntN(2))*mail.Seen)
	case what == 3 && !moved:
		h.set(t, one.ID, mailbox.FlagChange{Op: mailbox.FlagsReplace, Flags: mail.Flagged, Keywords: []mail.Keyword{mail.Keyword(fmt.Sprint("k", r.IntN(3)))}}, uid)
	case what == 4:
		h.expunge(t, one.ID, uid)
	case (what == 5 || what == 6) && one.ID != other.ID:
		if !moved {
			h.set(t, one.ID, mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Answered}, uid)
		}
		if _, err := h.Move(ctx, time.Now(), one.ID, []mail.UID{uid}, other.ID); err != nil {
			t.Fatal(err)
		}
	case what == 7:
		h.make(t, fmt.Sprint("box", n))
	case what == 8 && strings.HasPrefix(one.Name, "box"):
		h.drop(t, one.Name)
	case what == 9 && strings.HasPrefix(one.Name, "box"):
		if err := h.RenameMailbox(ctx, one.Name, fmt.Sprint("box", n, "r")); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Minute)
}
