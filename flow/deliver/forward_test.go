package deliver_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/flow/deliver"
	"waxwing/format/batv"
	"waxwing/format/srs"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/store/outqueue"
	"waxwing/store/sealkeys"
	"waxwing/test/engine"
	"waxwing/test/house"
)

// rewriting gives a house a deliverer that rewrites senders.
func rewriting(t *testing.T, h *house.House) (*deliver.Deliverer, *sealkeys.Store) {
	t.Helper()
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	seals := sealkeys.New(db)
	return deliver.New(h.Directory, h.Mailboxes, h.Queue, h.Blobs, deliver.Options{
		Hostname: house.Hostname, Seals: seals, SRS: true, Log: slog.New(slog.DiscardHandler),
	}), seals
}

// pass delivers a message.
func pass(t *testing.T, h *house.House, d *deliver.Deliverer, from mail.Address, to string) error {
	t.Helper()
	r, err := d.Resolve(t.Context(), mail.Recipient{Address: house.Address(to)})
	if err != nil {
		return err
	}
	now := time.Now()
	a, err := deliver.Stage(t.Context(), h.Blobs, now, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	return d.Deliver(t.Context(), now, a, mail.Envelope{From: from}, []byte("Received: from x\r\n"), []deliver.Recipient{r})
}

func code(err error) int {
	var r *smtp.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return 0
}

// A forward leaves in our name, a bounce of it goes back to who wrote, and
// nobody else can use the address.
func TestRewritten(t *testing.T) {
	h := house.New(t)
	d, _ := rewriting(t, h)
	h.Alias("away@example.test", "carol@far.test", "bob@example.test")
	if err := pass(t, h, d, ann, "away@example.test"); err != nil {
		t.Fatal(err)
	}
	env, _ := queued(t, h, 1)
	if !srs.Is(env[0].From) || env[0].From.Domain != "example.test" || env[0].To[0].Address.String() != "carol@far.test" {
		t.Fatalf("forwarded as %+v", env[0])
	}
	if got := h.Inbox(h.Bob); len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <ann@elsewhere.test>\r\n") {
		t.Errorf("bob has %q", got)
	}
	if err := pass(t, h, d, mail.Address{}, env[0].From.String()); err != nil {
		t.Fatal(err)
	}
	env2, _ := queued(t, h, 2)
	if back := env2[1]; !back.From.IsNull() || back.To[0].Address != ann {
		t.Errorf("the bounce goes from %s to %s", back.From, back.To[0].Address)
	}
	forged := env[0].From
	forged.Local = strings.Replace(forged.Local, "=ann", "=eve", 1)
	if err := pass(t, h, d, mail.Address{}, forged.String()); code(err) != 550 {
		t.Errorf("a forged one: %v", err)
	}
	// The null sender, our own senders and what stays in our hands keep theirs.
	for _, from := range []mail.Address{{}, h.Alice.Address} {
		if err := pass(t, h, d, from, "away@example.test"); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(h.Queued(), func(it *outqueue.Item) bool {
			return it.Envelope.From == from && it.Envelope.To[0].Address.Local == "carol"
		}) {
			t.Errorf("%q was rewritten", from)
		}
	}
}

// An address that was rewritten works for three weeks, a key that has been
// renewed meanwhile or not.
func TestRewrittenExpires(t *testing.T) {
	engine.NeedsBubble(t)
	synctest.Test(t, func(t *testing.T) {
		h := house.New(t)
		d, _ := rewriting(t, h)
		h.Alias("away@example.test", "carol@far.test")
		time.Sleep(20 * 24 * time.Hour) // the key is older than the address
		if err := pass(t, h, d, ann, "away@example.test"); err != nil {
			t.Fatal(err)
		}
		to := h.Queued()[0].Envelope.From.String()
		for _, want := range []int{0, 0, 0, 550} {
			if err := pass(t, h, d, mail.Address{}, to); code(err) != want || want == 0 && err != nil {
				t.Errorf("%s: %v, want %d", time.Now(), err, want)
			}
			time.Sleep(8 * 24 * time.Hour)
		}
	})
}

// Bounces of what was not sent are refused, once all that was sent without a
// tag is too old to come back.
func TestTagged(t *testing.T) {
	engine.NeedsBubble(t)
	synctest.Test(t, func(t *testing.T) {
		h := house.New(t)
		d, seals := rewriting(t, h)
		plain := h.Alice.Address
		check := func(what string, a mail.Address, want int) {
			t.Helper()
			if err := d.CheckBounce(t.Context(), time.Now(), a); code(err) != want || want == 0 && err != nil {
				t.Errorf("%s: %v, want %d", what, err, want)
			}
		}
		sender := func() mail.Address {
			t.Helper()
			a, err := d.Sender(t.Context(), time.Now(), plain)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		if sender() != plain {
			t.Error("tagged without a wish")
		}
		check("nothing is tagged", plain, 0)
		if err := seals.Tag(t.Context(), time.Now(), []string{"example.test"}); err != nil {
			t.Fatal(err)
		}
		tagged := sender()
		if back, ok := batv.Strip(tagged); !ok || back != plain {
			t.Fatalf("tagged as %s", tagged)
		}
		check("sent before the tags", plain, 0)
		time.Sleep(batv.Lifetime + 25*time.Hour)
		check("no tag", plain, 550)
		check("an old tag", tagged, 550)
		check("a good tag", sender(), 0)
		check("another's tag", mail.Address{Local: "prvs=0123abcdef=alice", Domain: "example.test"}, 550)
		check("the postmaster", mail.Address{Local: "Postmaster", Domain: "example.test"}, 0)
		check("another domain", mail.Address{Local: "x", Domain: "other.test"}, 0)
		// What is written to a tagged address arrives, whoever writes.
		if err := pass(t, h, d, ann, tagged.String()); err != nil {
			t.Fatal(err)
		}
		if got := h.Inbox(h.Alice); len(got) != 1 {
			t.Errorf("alice has %d", len(got))
		}
	})
}
