package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/store/mailbox"
)

// Entries that are computed. RFC 5464 §3.2.1.1, RFC 6154 §5.4
const (
	entryAdmin      = "/shared/admin"
	entrySpecialUse = "/private/specialuse"
)

// annotating are the rights any of which, with l, opens a mailbox's
// annotations. RFC 5464 §3.3
const annotating = mail.RightRead | mail.RightSeen | mail.RightWrite | mail.RightInsert | mail.RightPost

// annotated finds the mailbox that annotations belong to.
func (a *account) annotated(ctx context.Context, name string) (place, mailbox.Info, error) {
	p, info, rights, err := a.find(ctx, name, mail.RightLookup)
	if err == nil && rights&annotating == 0 {
		err = errNoPerm
	}
	return p, info, err
}

// noted gives where private annotations of a mailbox are kept by the user.
func noted(p *place, id mail.MailboxID) mailbox.Noted {
	if p.own() {
		return mailbox.Noted{Mailbox: id}
	}
	return mailbox.Noted{Owner: p.box.ID(), Mailbox: id}
}

func (a *account) Annotations(ctx context.Context, name string) ([]imap.MetadataEntry, error) {
	if name == "" {
		return a.serverAnnotations(ctx)
	}
	p, info, err := a.annotated(ctx, name)
	if err != nil {
		return nil, err
	}
	private, err := a.account.Annotations(ctx, noted(&p, info.ID), true)
	if err != nil {
		return nil, refuse(err)
	}
	shared, err := p.box.Annotations(ctx, mailbox.Noted{Mailbox: info.ID}, false)
	list := entriesFrom(append(private, shared...))
	if use := imap.RoleAttribute(info.Role); use != "" && p.own() {
		list = append(list, imap.MetadataEntry{Name: entrySpecialUse, Value: []byte(use)})
	}
	return list, refuse(err)
}

func (a *account) serverAnnotations(ctx context.Context) ([]imap.MetadataEntry, error) {
	private, err := a.account.Annotations(ctx, mailbox.Noted{}, true)
	if err != nil {
		return nil, refuse(err)
	}
	shared, err := a.door.mailboxes.ServerAnnotations(ctx)
	if err != nil {
		return nil, refuse(err)
	}
	list := entriesFrom(append(private, shared...))
	if a.who.Login.Domain != "" { // somebody reads it: RFC 5321 §4.5.1
		list = append(list, imap.MetadataEntry{Name: entryAdmin, Value: []byte("mailto:postmaster@" + a.who.Login.Domain)})
	}
	return list, nil
}

func entriesFrom(list []mailbox.Annotation) []imap.MetadataEntry {
	out := make([]imap.MetadataEntry, len(list))
	for i, n := range list {
		out[i] = imap.MetadataEntry{Name: n.Name, Value: n.Value}
	}
	return out
}

func (a *account) Annotate(ctx context.Context, name string, list []imap.MetadataEntry) error {
	var private, shared []mailbox.Annotation
	var use *imap.MetadataEntry
	for i, e := range list {
		n := mailbox.Annotation{Name: e.Name, Value: e.Value}
		switch {
		case e.Name == entryAdmin && name == "":
			return &imap.Refusal{Code: imap.CodeNoPerm, Text: "That annotation is the server's"}
		case e.Name == entrySpecialUse && name != "":
			use = &list[i]
		case mailbox.IsPrivate(e.Name):
			private = append(private, n)
		default:
			shared = append(shared, n)
		}
		if len(e.Value) > mailbox.MaxAnnotation {
			return &imap.Refusal{Code: fmt.Sprintf("METADATA MAXSIZE %d", mailbox.MaxAnnotation), Text: "Annotation is too large"}
		}
	}
	if name == "" {
		return a.annotateServer(ctx, private, shared)
	}
	p, info, err := a.annotated(ctx, name)
	if err != nil {
		return err
	}
	if len(shared) > 0 && !p.own() {
		// Whoever may change nothing in a mailbox shall not write what all of
		// its readers see. RFC 5464 §7
		rights, err := a.rights(ctx, &p, info.ID)
		if err != nil {
			return refuse(err)
		}
		if !rights.Has(mail.RightWrite) {
			return errNoPerm
		}
	}
	if use != nil {
		if len(list) > 1 { // all or none: RFC 5464 §4.3
			return &imap.Refusal{Code: imap.CodeCannot, Text: "Set the special use by itself"}
		}
		return a.setUse(ctx, &p, info, string(use.Value))
	}
	return a.annotate(ctx, &p, info.ID, private, shared)
}

// annotate sets private and shared annotations of a mailbox, all or none: those
// of one's own mailbox in one transaction, those of another's in two, the
// first of which is undone if the second fails.
func (a *account) annotate(ctx context.Context, p *place, id mail.MailboxID, private, shared []mailbox.Annotation) error {
	now := time.Now()
	of := noted(p, id)
	if p.own() {
		return refuseNote(a.account.Annotate(ctx, now, of, append(private, shared...)...))
	}
	if len(private) == 0 || len(shared) == 0 {
		if len(private) > 0 {
			return refuseNote(a.account.Annotate(ctx, now, of, private...))
		}
		return refuseNote(p.box.Annotate(ctx, now, mailbox.Noted{Mailbox: id}, shared...))
	}
	before, err := a.account.Annotations(ctx, of, true)
	if err != nil {
		return refuse(err)
	}
	if err := a.account.Annotate(ctx, now, of, private...); err != nil {
		return refuseNote(err)
	}
	if err = p.box.Annotate(ctx, now, mailbox.Noted{Mailbox: id}, shared...); err == nil {
		return nil
	}
	back := make([]mailbox.Annotation, len(private))
	for i, n := range private {
		back[i].Name = n.Name
		for _, was := range before {
			if was.Name == n.Name {
				back[i].Value = was.Value
			}
		}
	}
	return refuseNote(errors.Join(err, a.account.Annotate(context.WithoutCancel(ctx), now, of, back...)))
}

// annotateServer sets annotations of the server; those that everybody sees,
// only as an administrator. RFC 5464 §3.3
func (a *account) annotateServer(ctx context.Context, private, shared []mailbox.Annotation) error {
	if len(shared) == 0 {
		return refuseNote(a.account.Annotate(ctx, time.Now(), mailbox.Noted{}, private...))
	}
	own, err := a.owner(ctx, &place{box: a.account})
	if err != nil {
		return err
	}
	if !own.Admin {
		return errNoPerm
	}
	if len(private) > 0 {
		return &imap.Refusal{Code: imap.CodeCannot, Text: "Set shared and private annotations of the server one after the other"}
	}
	return refuseNote(a.door.mailboxes.AnnotateServer(ctx, shared...))
}

// refuseNote is refuse with the codes of RFC 5464 §4.3.
func refuseNote(err error) error {
	switch {
	case errors.Is(err, mailbox.ErrAnnotations):
		return &imap.Refusal{Code: "METADATA TOOMANY", Text: "Too many annotations"}
	case errors.Is(err, mailbox.ErrTooLarge):
		return &imap.Refusal{Code: fmt.Sprintf("METADATA MAXSIZE %d", mailbox.MaxAnnotation), Text: "Annotation is too large"}
	}
	return refuse(err)
}

// setUse changes what a mailbox is for. RFC 6154 §5.4
func (a *account) setUse(ctx context.Context, p *place, info mailbox.Info, use string) error {
	if !p.own() {
		return errNoPerm
	}
	role := mail.RoleNone
	if use = strings.TrimSpace(use); use != "" {
		var known bool
		if role, known = imap.AttributeRole(use); !known || role == mail.RoleAll || role == mail.RoleFlagged {
			return &imap.Refusal{Code: imap.CodeUseAttr, Text: "Mailbox cannot have that special use"}
		}
	}
	err := a.account.SetRole(ctx, info.ID, role)
	if errors.Is(err, mailbox.ErrExists) {
		return &imap.Refusal{Code: imap.CodeUseAttr, Text: "Another mailbox has that special use"}
	}
	return refuse(err)
}
