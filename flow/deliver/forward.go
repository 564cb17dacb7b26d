package deliver

import (
	"context"
	"errors"
	"strings"
	"time"

	"waxwing/format/batv"
	"waxwing/format/srs"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/smtp"
	"waxwing/store/directory"
	"waxwing/store/sealkeys"
)

// What the keys are for.
const (
	purposeSRS  = "SRS"
	purposeBATV = "BATV"
)

// An onwardPart is some of a forward's targets, with the sender that they see.
type onwardPart struct {
	from mail.Address
	to   []mail.Recipient
}

// onwardParts gives the targets of a forward by the sender that they are to
// see: the one who wrote, in our own stores; an address of ours that leads back
// to the one who wrote, at others, so that SPF holds there.
func (d *Deliverer) onwardParts(ctx context.Context, now time.Time, f forward, from mail.Address) ([]onwardPart, error) {
	ours, others := onwardPart{from: from}, onwardPart{}
	var err error
	if others.from, err = d.forwardedFrom(ctx, now, from, f.recipient.Address.Domain); err != nil {
		return nil, err
	}
	for _, target := range f.targets {
		to := f.recipient
		to.Address = target
		if others.from != from {
			local, err := d.directory.IsLocal(ctx, target.Domain)
			if err != nil {
				return nil, err
			}
			if !local {
				others.to = append(others.to, to)
				continue
			}
		}
		ours.to = append(ours.to, to)
	}
	var parts []onwardPart
	for _, p := range []onwardPart{ours, others} {
		if len(p.to) > 0 {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// forwardedFrom rewrites a sender for what is forwarded from a domain of ours.
// The null sender stays what it is, and so do senders of our own domains: we
// may speak for them.
func (d *Deliverer) forwardedFrom(ctx context.Context, now time.Time, from mail.Address, domain string) (mail.Address, error) {
	if !d.srs || d.seals == nil || from.IsNull() || domain == "" || domain[0] == '[' {
		return from, nil
	}
	if local, err := d.directory.IsLocal(ctx, from.Domain); err != nil || local {
		return from, err
	}
	keys, err := d.seals.Keys(ctx, now)
	if err != nil {
		return mail.Address{}, err
	}
	rewritten, err := srs.Forward(keys[0].For(purposeSRS), now, from, domain)
	if err != nil {
		// SPF may fail then, where a forward without SRS fails always.
		d.log.Warn("sender cannot be rewritten", obs.From, from.String(), obs.Err, err)
		return from, nil
	}
	return rewritten, nil
}

// comesBack finds the way of an address that we have made: a rewritten sender,
// or a tagged one. It tells whether the address is such a one.
func (d *Deliverer) comesBack(ctx context.Context, now time.Time, to mail.Recipient) (Recipient, bool, error) {
	if d.seals == nil || !srs.Is(to.Address) && !isTagged(to.Address) {
		return Recipient{}, false, nil
	}
	local, err := d.directory.IsLocal(ctx, to.Address.Domain)
	if err != nil {
		return Recipient{}, false, cannotLookUp(err)
	}
	if !local {
		return Recipient{}, false, nil
	}
	if plain, ok := batv.Strip(to.Address); ok {
		// Whether the tag is good matters for bounces only: see CheckBounce.
		untagged := to
		untagged.Address = plain
		r, err := d.Resolve(ctx, untagged)
		return r, true, err
	}
	keys, err := d.seals.Keys(ctx, now)
	if err != nil {
		return Recipient{}, false, cannotLookUp(err)
	}
	sender, err := srs.Reverse(secrets(keys, purposeSRS), now, to.Address)
	switch {
	case errors.Is(err, srs.ErrNotSRS):
		return Recipient{}, false, nil
	case errors.Is(err, srs.ErrExpired):
		return Recipient{}, true, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 6}, Text: "this forwarding address has expired", Err: err}
	case err != nil:
		return Recipient{}, true, &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such user here", Err: err}
	}
	return Recipient{Recipient: to, Route: directory.Route{Forwards: []mail.Address{sender}}}, true, nil
}

func isTagged(a mail.Address) bool {
	_, ok := batv.Strip(a)
	return ok
}

func cannotLookUp(err error) *smtp.Refusal {
	return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "cannot look up the recipient just now", Err: err}
}

func secrets(keys []sealkeys.Key, purpose string) [][]byte {
	list := make([][]byte, len(keys))
	for i, k := range keys {
		list[i] = k.For(purpose)
	}
	return list
}

// Sender gives the reverse-path that a message of our own users leaves with:
// tagged, where the domain's are.
func (d *Deliverer) Sender(ctx context.Context, now time.Time, from mail.Address) (mail.Address, error) {
	if d.seals == nil || from.IsNull() {
		return from, nil
	}
	since, err := d.seals.TaggedSince(ctx, now, from.Domain)
	if err != nil || since.IsZero() {
		return from, err
	}
	keys, err := d.seals.Keys(ctx, now)
	if err != nil {
		return mail.Address{}, err
	}
	tagged, err := batv.Tag(batv.Key{Number: keys[0].Number, Secret: keys[0].For(purposeBATV)}, now, from)
	if err != nil {
		return from, nil // bounces to it are refused: rather that than a message that does not go
	}
	return tagged, nil
}

// CheckBounce refuses a bounce, or what else has the null sender, of mail that
// we have not sent: its recipient has no tag, and what was sent without one,
// before tagging began, is too old to come back.
func (d *Deliverer) CheckBounce(ctx context.Context, now time.Time, to mail.Address) error {
	if d.seals == nil || srs.Is(to) || strings.EqualFold(to.Local, "postmaster") || strings.EqualFold(to.Local, "abuse") {
		return nil // RFC 5321 §4.5.1, RFC 2142 §4
	}
	since, err := d.seals.TaggedSince(ctx, now, to.Domain)
	if err != nil {
		return cannotLookUp(err)
	}
	if since.IsZero() || now.Sub(since) < batv.Lifetime {
		return nil
	}
	keys, err := d.seals.Keys(ctx, now)
	if err != nil {
		return cannotLookUp(err)
	}
	list := make([]batv.Key, len(keys))
	for i, k := range keys {
		list[i] = batv.Key{Number: k.Number, Secret: k.For(purposeBATV)}
	}
	if _, err := batv.Check(list, now, to); err != nil {
		return &smtp.Refusal{
			Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Err: err,
			Text: "this is a bounce of a message that was not sent from here",
		}
	}
	return nil
}
