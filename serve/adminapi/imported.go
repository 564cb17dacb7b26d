package adminapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"waxwing/mail"
	"waxwing/store/mailbox"
)

// streamImported tells what is remembered of a source, a line of JSON each.
func (a *API) streamImported(w *streamWriter, r *http.Request) error {
	account, err := a.mailboxes(r)
	if err != nil {
		return err
	}
	source, err := sourceID(r.PathValue("source"))
	if err != nil {
		return err
	}
	lines := json.NewEncoder(w)
	for im, err := range account.Imported(r.Context(), source) {
		if err != nil {
			return err
		}
		line := Imported{Item: im.Item, Mailbox: uint32(im.Mailbox), UID: uint32(im.UID), Flags: FlagNames(im.Flags, im.Keywords)}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// followSource carries over what has changed at a source: flags that have
// been set or taken away there, and nothing else, so that what has been done
// here since stays.
func (a *API) followSource(r *http.Request) (any, error) {
	body, err := decode[SourceChanges](r)
	if err != nil {
		return nil, err
	}
	account, err := a.mailboxes(r)
	if err != nil {
		return nil, err
	}
	source, err := sourceID(r.PathValue("source"))
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	origins := make([]mailbox.Origin, len(body.Changes))
	for i, c := range body.Changes {
		origins[i] = mailbox.Origin{Source: source, Item: c.Item}
	}
	before, err := account.FindImported(ctx, origins)
	if err != nil {
		return nil, err
	}
	f := following{account: account, flags: map[flagDelta][]mail.UID{}, gone: map[mail.MailboxID][]mail.UID{}}
	for i, c := range body.Changes {
		if before[i] == nil {
			continue
		}
		if err := f.note(*before[i], c); err != nil {
			return nil, err
		}
	}
	return f.apply(ctx, source)
}

// A following gathers what is to be done, by what is the same.
type following struct {
	account  *mailbox.Account
	flags    map[flagDelta][]mail.UID
	gone     map[mail.MailboxID][]mail.UID
	remember []mailbox.Imported
	forget   []string
}

// A flagDelta is one way in which flags change; keywords have spaces between.
type flagDelta struct {
	mailbox  mail.MailboxID
	op       mailbox.FlagOp
	flags    mail.Flags
	keywords string
}

func (f *following) note(im mailbox.Imported, c SourceChange) error {
	if c.Gone {
		f.gone[im.Mailbox] = append(f.gone[im.Mailbox], im.UID)
		f.forget = append(f.forget, im.Item)
		return nil
	}
	flags, keywords, err := ParseFlags(c.Flags)
	if err != nil {
		return problemf(http.StatusUnprocessableEntity, "%v", err)
	}
	f.delta(im, mailbox.FlagsAdd, flags&^im.Flags, without(keywords, im.Keywords))
	f.delta(im, mailbox.FlagsRemove, im.Flags&^flags, without(im.Keywords, keywords))
	im.Flags, im.Keywords = flags, keywords
	f.remember = append(f.remember, im)
	return nil
}

func (f *following) delta(im mailbox.Imported, op mailbox.FlagOp, flags mail.Flags, keywords []string) {
	if flags == 0 && len(keywords) == 0 {
		return
	}
	d := flagDelta{im.Mailbox, op, flags, strings.Join(keywords, " ")}
	f.flags[d] = append(f.flags[d], im.UID)
}

func without(list, those []mail.Keyword) []string {
	var left []string
	for _, k := range list {
		if !slices.ContainsFunc(those, func(t mail.Keyword) bool { return t.Fold() == k.Fold() }) {
			left = append(left, string(k))
		}
	}
	slices.Sort(left)
	return left
}

// apply does it. What is remembered comes last, so that after a crash all is
// done again, which changes nothing.
func (f *following) apply(ctx context.Context, source mailbox.SourceID) (SourceChanged, error) {
	var done SourceChanged
	for _, d := range slices.SortedFunc(maps.Keys(f.flags), compareDeltas) {
		change := mailbox.FlagChange{Op: d.op, Flags: d.flags}
		for k := range strings.FieldsSeq(d.keywords) {
			change.Keywords = append(change.Keywords, mail.Keyword(k))
		}
		if _, err := f.account.SetFlags(ctx, d.mailbox, f.flags[d], change); err != nil && !missing(err) {
			return done, err
		}
	}
	for id, uids := range f.gone {
		gone, _, err := f.account.Expunge(ctx, id, uids, mailbox.ExpungeOptions{})
		if err != nil && !missing(err) {
			return done, err
		}
		done.Expunged += len(gone)
	}
	if err := f.account.Remember(ctx, source, f.remember...); err != nil {
		return done, err
	}
	done.Changed = len(f.remember)
	return done, f.account.ForgetImported(ctx, source, f.forget...)
}

func compareDeltas(a, b flagDelta) int {
	return cmp.Or(cmp.Compare(a.mailbox, b.mailbox), cmp.Compare(a.op, b.op), cmp.Compare(a.flags, b.flags), strings.Compare(a.keywords, b.keywords))
}

// missing tells whether what was to be changed is not there any more.
func missing(err error) bool { return errors.Is(err, mailbox.ErrNoMailbox) }
