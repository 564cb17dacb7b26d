package imap

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/mailbox"
	"waxwing/test/engine"
)

// A doubtful store does what it is asked to, and says that it does not know of
// a partition's changes, as one does whose disk has not answered.
type doubtful struct {
	kv.Store
	of atomic.Pointer[kv.Partition]
}

func (d *doubtful) Update(ctx context.Context, p kv.Partition, fn func(kv.Txn) error) (kv.Commit, error) {
	commit, err := d.Store.Update(ctx, p, fn)
	if of := d.of.Load(); err == nil && of != nil && *of == p {
		return inDoubt{commit}, nil
	}
	return commit, err
}

type inDoubt struct{ kv.Commit }

func (c inDoubt) Wait(ctx context.Context) error {
	return errors.Join(errors.New("no answer"), c.Commit.Wait(ctx))
}

// What is moved to another account is there even where nobody knows whether it
// has left its own.
func TestMoveInDoubt(t *testing.T) {
	db := &doubtful{Store: engine.New(t)}
	h := newHouseOn(t, db, mailbox.Options{})
	h.append(short(1), short(2))
	addr := h.listen()
	alice, bob := h.dial(addr), h.dialAs(addr, "bob")
	bob.ok("CREATE Team")
	bob.ok("SETACL Team alice lrswite")
	alice.ok("SELECT INBOX")

	partition := keys.Account(h.accounts["alice"])
	db.of.Store(&partition)
	if _, tagged := alice.do(`MOVE 1 "Other Users/bob@example.test/Team"`); !strings.HasPrefix(tagged, "NO") {
		t.Errorf("MOVE: %s", tagged)
	}
	db.of.Store(nil)
	if got := bob.ok("STATUS Team (MESSAGES)"); len(got) != 1 || !strings.Contains(got[0], "MESSAGES 1") {
		t.Errorf("what was moved is not there: %q", got)
	}
}

// A message that has just gone is not replaced by one in another account.
func TestReplaceNothing(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	h.append(short(1))
	ctx := t.Context()
	bobs := h.mailboxes.Account(h.accounts["bob"])
	addr := h.listen()
	alice, bob := h.dial(addr), h.dialAs(addr, "bob")
	bob.ok("CREATE Team")
	bob.ok("SETACL Team alice lrswite")

	a := &account{door: New(h.mailboxes, h.blobs, Options{Directory: h.users}), account: h.mailboxes.Account(h.accounts["alice"])}
	inbox, err := a.Open(ctx, "INBOX")
	h.must(err)
	defer inbox.Close()
	alice.ok("SELECT INBOX")
	alice.ok(`STORE 1 +FLAGS.SILENT (\Deleted)`)
	alice.ok("EXPUNGE")

	body := a.Stage(ctx)
	_, err = body.Write([]byte(short(2)))
	h.must(err)
	if _, err := inbox.Replace(ctx, mail.UID(1), "Other Users/bob@example.test/Team", imapserver.NewMessage{Body: body}); err == nil {
		t.Error("nothing was replaced")
	}
	h.must(body.Close())
	info, err := bobs.Mailbox(ctx, "Team")
	h.must(err)
	if info.Messages != 0 {
		t.Errorf("%d messages have stayed", info.Messages)
	}
}
