package imapserver

import (
	"context"
	"errors"
	"slices"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// maxSearched bounds the mailboxes that one ESEARCH goes through. RFC 7377 §2.4
const maxSearched = 10_000

// multiSearch is ESEARCH. RFC 7377 §2
func (c *conn) multiSearch(ctx context.Context, cmd imap.MultiSearch) (reply, error) {
	if err := c.checkTag(&cmd.Search); err != nil {
		return reply{}, err
	}
	selectedOnly := true
	usesSelected := len(cmd.Sources) == 0
	for _, s := range cmd.Sources {
		usesSelected = usesSelected || s.Kind == imap.SourceSelected
		selectedOnly = selectedOnly && s.Kind == imap.SourceSelected
	}
	switch {
	case usesSelected && c.view == nil:
		return reply{}, &imap.SyntaxError{Text: "Select a mailbox first"} // RFC 7377 §2.2
	case cmd.Return&imap.ReturnSave != 0 && !selectedOnly:
		return reply{}, &imap.SyntaxError{Text: "SAVE is for the selected mailbox alone"}
	case cmd.Return&imap.ReturnUpdate != 0 && c.view == nil:
		return reply{}, &imap.SyntaxError{Text: "UPDATE is for the selected mailbox"}
	}
	if c.view != nil { // it may have been renamed
		c.view.name = c.view.nameNow(c.view.mailbox.Snapshot().Status())
	}
	if selectedOnly {
		return reply{}, c.searchIn(ctx, c.view, c.view.name, &cmd.Search)
	}
	names, err := c.sources(ctx, cmd.Sources)
	if err != nil {
		return reply{}, err
	}
	if len(names) > maxSearched {
		return reply{}, &imap.Refusal{Code: imap.CodeLimit, Text: "Too many mailboxes"}
	}
	for _, name := range names {
		if c.view != nil && name == c.view.name {
			if err := c.searchIn(ctx, c.view, name, &cmd.Search); err != nil {
				return reply{}, err
			}
			continue
		}
		if err := c.searchOther(ctx, name, &cmd.Search); err != nil {
			return reply{}, err
		}
	}
	return reply{}, nil
}

// searchOther searches a mailbox that is not selected. One that has gone
// meanwhile, or may not be opened, is passed over.
func (c *conn) searchOther(ctx context.Context, name string, cmd *imap.Search) error {
	m, err := c.account.Open(ctx, name)
	if _, refused := err.(*imap.Refusal); refused {
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	rights, err := m.Rights(ctx)
	if err != nil || !rights.Has(mail.RightRead) {
		return err
	}
	v := &view{mailbox: m, name: name, readOnly: true, told: m.Snapshot(), spelled: map[KeywordSet][]mail.Keyword{}}
	v.modseq = v.told.Status().HighestModSeq
	return c.searchIn(ctx, v, name, cmd)
}

// searchIn searches one mailbox and tells what it has found, if anything.
func (c *conn) searchIn(ctx context.Context, v *view, name string, cmd *imap.Search) error {
	r, err := c.runSearch(ctx, v, cmd)
	if v == c.view {
		err = c.save(r, cmd.Return, err)
	}
	if err != nil {
		return err
	}
	if len(r.found) == 0 {
		r.keep(cmd)
	} else {
		where := imap.AppendMailbox([]byte(" MAILBOX "), name, c.utf8)
		where = appendUint(append(where, " UIDVALIDITY "...), uint64(v.told.Status().UIDValidity))
		c.tellESearch(r, cmd, string(where))
	}
	if v == c.view {
		return c.beginUpdates(r, cmd, nil)
	}
	return c.out.err
}

// sources gives the names of the mailboxes that are to be searched, each
// once. Those that cannot be opened are left out. RFC 5465 §6
func (c *conn) sources(ctx context.Context, list []imap.Source) ([]string, error) {
	all, err := c.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	subscribed := map[string]bool{}
	wanted := func(s *Status) bool {
		for _, src := range list {
			if c.isSource(src, s, subscribed) {
				return true
			}
		}
		return false
	}
	for _, src := range list {
		if src.Kind == imap.SourceSubscribed && len(subscribed) == 0 {
			names, err := c.account.Subscriptions(ctx)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				subscribed[name] = true
			}
		}
		for i, raw := range src.Names {
			if src.Names[i], err = c.mailboxName(raw); err != nil {
				return nil, err
			}
		}
	}
	var names []string
	for i := range all {
		if s := &all[i]; !s.NoSelect && wanted(s) {
			names = append(names, s.Name)
		}
	}
	return c.unlisted(ctx, list, names)
}

// unlisted adds the mailboxes of others that are named, or selected, and may
// be read without the right to look them up. RFC 7377 §2.2
func (c *conn) unlisted(ctx context.Context, list []imap.Source, names []string) ([]string, error) {
	prefix := c.account.OthersPrefix()
	if prefix == "" {
		return names, nil
	}
	for _, src := range list {
		named := src.Names
		switch {
		case src.Kind == imap.SourceSelected:
			named = []string{c.view.name}
		case src.Kind != imap.SourceMailboxes:
			continue
		}
		for _, name := range named {
			if !strings.HasPrefix(name, prefix) || slices.Contains(names, name) {
				continue
			}
			s, err := c.account.Mailbox(ctx, name)
			if _, refused := errors.AsType[*imap.Refusal](err); refused {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !s.NoSelect {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// isSource tells whether a mailbox is one of those that a source names.
func (c *conn) isSource(src imap.Source, s *Status, subscribed map[string]bool) bool {
	switch src.Kind {
	case imap.SourceSelected:
		return c.view != nil && s.Name == c.view.name
	case imap.SourceInboxes:
		// Where mail is delivered to: filters of ours file nowhere else by
		// themselves.
		return s.Role == mail.RoleInbox && !s.Foreign
	case imap.SourcePersonal:
		return !s.Foreign
	case imap.SourceSubscribed:
		return subscribed[s.Name]
	}
	for _, name := range src.Names {
		below, under := strings.CutPrefix(s.Name, name+"/")
		switch {
		case s.Name == name,
			under && src.Kind == imap.SourceSubtree,
			under && src.Kind == imap.SourceSubtreeOne && !strings.Contains(below, "/"):
			return true
		}
	}
	return false
}
