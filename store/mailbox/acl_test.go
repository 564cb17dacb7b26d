package mailbox_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

func TestRightsOfList(t *testing.T) {
	list := mailbox.ACL{
		{To: 0, Rights: mail.RightLookup | mail.RightRead},
		{To: 7, Rights: mail.RightInsert},
		{To: 8, Denied: true, Rights: mail.RightRead},
		{To: 0, Denied: true, Rights: mail.RightInsert},
	}
	for _, c := range []struct {
		who       mail.AccountID
		neighbour bool
		want      string
	}{{7, true, "lr"}, {7, false, "i"}, {8, true, "l"}, {9, true, "lr"}, {9, false, ""}} {
		if got := list.Rights(c.who, c.neighbour); got.String() != c.want {
			t.Errorf("%d, %v: %q, want %q", c.who, c.neighbour, got, c.want)
		}
	}
}

func TestACL(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx, now := t.Context(), time.Now()
	grant := mailbox.Grant{To: 7, Rights: mail.RightLookup | mail.RightRead}
	made, err := h.CreateMailbox(ctx, "Team", mailbox.CreateOptions{})
	must(t, err)
	set := func(list ...mailbox.Grant) func(mailbox.ACL) mailbox.ACL {
		return func(mailbox.ACL) mailbox.ACL { return list }
	}
	list, err := h.ChangeACL(ctx, now, made.ID, set(grant, mailbox.Grant{To: 9}))
	must(t, err)
	if !slices.Equal(list, mailbox.ACL{grant}) { // without rights there is nothing to keep
		t.Fatalf("%v", list)
	}
	// What is made below inherits the list, and keeps it under another name.
	below, err := h.CreateMailbox(ctx, "Team/Plans/Old", mailbox.CreateOptions{})
	must(t, err)
	must(t, h.RenameMailbox(ctx, "Team/Plans", "Elsewhere"))
	if list, err = h.ACL(ctx, below.ID); err != nil || !slices.Equal(list, mailbox.ACL{grant}) {
		t.Fatalf("%v, %v", list, err)
	}
	all, err := h.ACLs(ctx)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	if _, err := h.ChangeACL(ctx, now, 99, set(grant)); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Fatal(err)
	}
	many := make(mailbox.ACL, 1001)
	for i := range many {
		many[i] = mailbox.Grant{To: mail.AccountID(i + 1), Rights: mail.RightRead}
	}
	if _, err := h.ChangeACL(ctx, now, made.ID, set(many...)); !errors.Is(err, mailbox.ErrTooMany) {
		t.Fatal(err)
	}
	// A mailbox of the same name has another list. RFC 4314 §4
	must(t, h.DeleteMailbox(ctx, "Team"))
	again, err := h.CreateMailbox(ctx, "Team", mailbox.CreateOptions{})
	must(t, err)
	if list, err = h.ACL(ctx, again.ID); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	if list, err = h.ChangeACL(ctx, now, below.ID, set()); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	h.verify(t)
}

func TestSharers(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx, now := t.Context(), time.Now()
	s := h.store
	must(t, s.Create(ctx, 7, now, mailbox.AccountOptions{}))
	friend := s.Account(7)
	must(t, s.ShareWith(ctx, now.Add(-3*time.Hour), 7, "", 1))
	must(t, s.ShareWith(ctx, now, 0, "example.test", 5))
	must(t, s.ShareWith(ctx, now, 0, "example.test", 7))
	must(t, s.ShareWith(ctx, now, 0, "example.tes", 6))
	sharers := func(want ...mail.AccountID) {
		t.Helper()
		got, err := friend.Sharers(ctx, "example.test")
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	}
	sharers(1, 5)
	must(t, s.ShareWith(ctx, now, 7, "", 1)) // writes the hint again
	must(t, friend.Unshare(ctx, now, 1))     // which is too new to go
	sharers(1, 5)
	must(t, friend.Unshare(ctx, now.Add(3*time.Hour), 1))
	sharers(5)
	if err := s.ShareWith(ctx, now, 99, "", 1); !errors.Is(err, mailbox.ErrNoAccount) {
		t.Fatal(err)
	}
}

func TestAnnotations(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx, now := t.Context(), time.Now()
	inbox, server := mailbox.Noted{Mailbox: mailbox.Inbox}, mailbox.Noted{}
	note := func(name, value string) mailbox.Annotation {
		return mailbox.Annotation{Name: name, Value: []byte(value)}
	}
	names := func(of mailbox.Noted, private bool) (s string) {
		t.Helper()
		list, err := h.Annotations(ctx, of, private)
		must(t, err)
		for _, n := range list {
			s += n.Name + "=" + string(n.Value) + ";"
		}
		return s
	}
	must(t, h.Annotate(ctx, now, inbox, note("/shared/comment", "all"), note("/private/comment", "mine"), note("/private/b", "")))
	must(t, h.Annotate(ctx, now, server, note("/private/vendor/x/y", "z")))
	must(t, h.Annotate(ctx, now, mailbox.Noted{Owner: 7, Mailbox: 3}, note("/private/comment", "theirs")))
	if got := names(inbox, true); got != "/private/b=;/private/comment=mine;" {
		t.Error(got)
	}
	if got := names(inbox, false) + names(server, true) + names(mailbox.Noted{Owner: 7, Mailbox: 3}, true); got !=
		"/shared/comment=all;/private/vendor/x/y=z;/private/comment=theirs;" {
		t.Error(got)
	}
	// All or none, and not too many. RFC 5464 §4.3
	var many []mailbox.Annotation
	for i := range 100 {
		many = append(many, note(fmt.Sprintf("/shared/vendor/x/%d", i), "v"))
	}
	if err := h.Annotate(ctx, now, inbox, many...); !errors.Is(err, mailbox.ErrAnnotations) {
		t.Fatal(err)
	}
	must(t, h.Annotate(ctx, now, inbox, many[:99]...))
	if err := h.Annotate(ctx, now, inbox, mailbox.Annotation{Name: "/shared/comment"}, many[99]); err != nil {
		t.Fatal(err) // one goes, one comes
	}
	if err := h.Annotate(ctx, now, inbox, note("/private/comment", string(make([]byte, mailbox.MaxAnnotation+1)))); !errors.Is(err, mailbox.ErrTooLarge) {
		t.Fatal(err)
	}
	// INBOX keeps them, and what takes its messages gets them. RFC 5464 §4.1
	must(t, h.RenameMailbox(ctx, "INBOX", "Old"))
	old, err := h.Mailbox(ctx, "Old")
	must(t, err)
	if got := names(mailbox.Noted{Mailbox: old.ID}, true); got != "/private/b=;/private/comment=mine;" {
		t.Error(got)
	}
	h.verify(t)
	noted := 0
	for c, err := range h.Changes(ctx, 0) {
		must(t, err)
		noted += len(c.Noted)
	}
	if noted < 100 {
		t.Errorf("the log tells of %d annotations", noted)
	}
	// A mailbox that goes takes them along.
	must(t, h.DeleteMailbox(ctx, "Old"))
	h.verify(t)
	if err := h.Annotate(ctx, now, mailbox.Noted{Mailbox: 99}, note("/shared/comment", "x")); !errors.Is(err, mailbox.ErrNoMailbox) {
		t.Fatal(err)
	}
	must(t, h.store.AnnotateServer(ctx, note("/shared/comment", "hello")))
	if list, err := h.store.ServerAnnotations(ctx); err != nil || len(list) != 1 || string(list[0].Value) != "hello" {
		t.Fatalf("%v, %v", list, err)
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	ctx := t.Context()
	must(t, h.store.SetLimits(ctx, h.ID(), mailbox.Limits{Messages: 2, Mailboxes: 7}))
	if _, err := h.CreateMailbox(ctx, "Seven", mailbox.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.CreateMailbox(ctx, "Eight", mailbox.CreateOptions{}); !errors.Is(err, mailbox.ErrTooMany) {
		t.Fatal(err)
	}
	u, err := h.Usage(ctx)
	if err != nil || u.MaxMessages != 2 || u.Mailboxes != 7 || u.MaxMailboxes != 7 {
		t.Fatalf("%+v, %v", u, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
