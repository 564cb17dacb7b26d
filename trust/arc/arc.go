// Package arc verifies and continues Authenticated Received Chains: what those
// who pass a message on, and may change it, have found out about it. RFC 8617
//
// A chain is a row of sets, numbered from 1. Each has three fields: what was
// found out (ARC-Authentication-Results), a signature of the message as it was
// passed on (ARC-Message-Signature), and one of the chain so far (ARC-Seal).
// The signatures are DKIM's, see dkim. Whom of the sealers to believe is for
// others to say.
package arc

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"waxwing/dns"
	"waxwing/trust/dkim"
)

// A Status is the state of a chain. RFC 8617 §4.4
type Status string

// The states.
const (
	None Status = "none" // there is no chain
	Pass Status = "pass"
	Fail Status = "fail"
)

// maxSets is how long a chain may be. RFC 8617 §5.2
const maxSets = 50

// A Verdict is what was found out about a chain.
type Verdict struct {
	Status Status
	Reason string // in words, if it failed
	// Links are the sets that were found whole, from the first. They are to be
	// believed only if the chain passed.
	Links []Link
	// Dead says that somebody before us has marked the chain as broken: nothing
	// is added to it then. RFC 8617 §5.1
	Dead bool
}

// A Link is one set.
type Link struct {
	Domain   string // of the seal
	Selector string
	// Results is what the sealer has found out: the value of its
	// ARC-Authentication-Results after the instance.
	Results string
}

// A set is three fields with one number.
type set struct {
	results, message, seal []byte
	payload                string    // of results, after the instance
	messageTags            dkim.Tags // of message
	sealTags               dkim.Tags // of seal
	cv                     Status    // what the sealer says of the chain before
}

// The names of the fields.
const (
	resultsField = "arc-authentication-results"
	messageField = "arc-message-signature"
	sealField    = "arc-seal"
)

// collect gathers the sets of a header; none is no error.
func collect(header *dkim.Header) ([]*set, error) {
	if !header.Has(resultsField) && !header.Has(messageField) && !header.Has(sealField) {
		return nil, nil
	}
	byNumber := map[int]*set{}
	for name, field := range header.Fields() {
		p, ours := parse(name, field)
		if !ours {
			continue
		}
		if p.err == nil {
			p.err = p.join(byNumber, field)
		}
		if p.err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, p.err)
		}
	}
	sets := make([]*set, len(byNumber))
	for i := range sets {
		s := byNumber[i+1]
		if s == nil { // RFC 8617 §5.2, 3.B
			return nil, errors.New("a set is missing in the row")
		}
		if s.results == nil || s.message == nil || s.seal == nil { // 3.A
			return nil, fmt.Errorf("set %d is not complete", i+1)
		}
		sets[i] = s
	}
	return sets, nil
}

// A part is one field of a set.
type part struct {
	name     string // in lower case
	instance int
	payload  string    // of results
	tags     dkim.Tags // of the others
	err      error
}

// parse reads a field with a name; ours is false for one that belongs to no
// chain.
func parse(name string, field []byte) (p part, ours bool) {
	p.name = name
	var instance string
	switch name {
	case resultsField:
		first, payload, _ := strings.Cut(string(dkim.Value(field)), ";")
		tag, number, _ := strings.Cut(first, "=")
		if strings.TrimSpace(tag) == "i" {
			instance = strings.TrimSpace(number)
		}
		p.payload = strings.TrimSpace(payload)
	case messageField, sealField:
		if p.tags, p.err = dkim.ParseTags(string(dkim.Value(field))); p.err != nil {
			return p, true
		}
		instance, _ = p.tags.Get("i")
	default:
		return p, false
	}
	n, err := strconv.Atoi(instance)
	if err != nil || n < 1 || n > maxSets { // RFC 8617 §4.2.1
		p.err = errors.New("its instance is not 1 to 50")
		return p, true
	}
	p.instance = n
	return p, true
}

// join puts a field into its set.
func (p part) join(sets map[int]*set, field []byte) error {
	s := sets[p.instance]
	if s == nil {
		s = new(set)
		sets[p.instance] = s
	}
	to := &s.seal
	switch p.name {
	case resultsField:
		to, s.payload = &s.results, p.payload
	case messageField:
		to, s.messageTags = &s.message, p.tags
	case sealField:
		cv, _ := p.tags.Get("cv")
		s.sealTags, s.cv = p.tags, Status(strings.ToLower(cv))
	}
	if *to != nil {
		return fmt.Errorf("two with instance %d", p.instance)
	}
	*to = field
	return nil
}

// A Validator validates the chain of one message, which is written to it, or to
// a dkim.Text that others read too.
type Validator struct {
	// Keys remembers keys; nil is nobody.
	Keys *dkim.Keys

	own    dkim.Text
	text   *dkim.Text // own, or one that is shared
	sets   []*set
	err    error
	latest dkim.Signature // of the last set's message
}

// Write takes the next octets of the message. It never fails.
func (v *Validator) Write(p []byte) (int, error) {
	v.own.Begin = v.Begin
	return v.own.Write(p)
}

// Begin reads the chain in the header of a text, from its Begin. Nothing is
// written to the Validator itself then.
func (v *Validator) Begin(t *dkim.Text) {
	v.text = t
	v.sets, v.err = collect(t.Header())
	if t.TooLarge() {
		v.err = errors.New("the header is too large")
	}
	if v.err != nil || len(v.sets) == 0 {
		return
	}
	for i, s := range v.sets { // RFC 8617 §5.2, 2. and 3.C
		if want := map[bool]Status{true: None, false: Pass}[i == 0]; s.cv != want {
			v.err = fmt.Errorf("the seal of set %d says that the chain was %q before it", i+1, cut(string(s.cv)))
			return
		}
	}
	last := v.sets[len(v.sets)-1]
	if v.latest, v.err = dkim.FromTags(last.messageTags); v.err == nil {
		v.err = v.latest.Acceptable()
	}
	if v.err != nil {
		v.err = fmt.Errorf("the last message signature: %w", v.err)
		return
	}
	for _, name := range v.latest.Headers { // RFC 8617 §4.1.2
		if name == resultsField || name == messageField || name == sealField {
			v.err = fmt.Errorf("the last message signature signs %s", name)
			return
		}
	}
	t.Expect(v.latest)
}

// Finish ends the message and gives the state of its chain. Every trouble
// breaks it, also that a key cannot be looked up. RFC 8617 §5.2
func (v *Validator) Finish(ctx context.Context, r dns.Resolver) Verdict {
	if v.text == nil {
		v.own.Begin = v.Begin
		v.own.End()
	}
	v.text.End()
	verdict := Verdict{Status: None}
	for _, s := range v.sets {
		domain, _ := s.sealTags.Get("d")
		selector, _ := s.sealTags.Get("s")
		verdict.Links = append(verdict.Links, Link{strings.ToLower(domain), selector, s.payload})
	}
	if n := len(v.sets); n > 0 {
		verdict.Dead = v.sets[n-1].cv == Fail
	}
	if v.err == nil && len(v.sets) == 0 {
		return verdict
	}
	err := v.err
	if err == nil {
		err = v.verifyMessage(ctx, r)
	}
	for i := len(v.sets); err == nil && i > 0; i-- {
		err = v.verifySeal(ctx, r, v.sets[:i])
	}
	verdict.Status = Pass
	if err != nil {
		verdict.Status, verdict.Reason = Fail, err.Error()
	}
	return verdict
}

// verifyMessage verifies the last message signature. RFC 8617 §5.2, 4.
func (v *Validator) verifyMessage(ctx context.Context, r dns.Resolver) error {
	covered, total, err := v.text.Check(v.latest)
	if err == nil && covered < total {
		err = errors.New("it does not cover the whole body")
	}
	if err == nil {
		digest := dkim.HeaderDigest(v.text.Header(), v.sets[len(v.sets)-1].message, v.latest)
		err = v.verifyDigest(ctx, r, v.latest, digest)
	}
	if err != nil {
		return fmt.Errorf("the last message signature (%s): %w", v.latest.Domain, err)
	}
	return nil
}

// verifySeal verifies the seal of the last of some sets. RFC 8617 §5.2, 6.
func (v *Validator) verifySeal(ctx context.Context, r dns.Resolver, sets []*set) error {
	s := sets[len(sets)-1]
	seal, err := parseSeal(s.sealTags)
	if err == nil {
		err = v.verifyDigest(ctx, r, seal, sealDigest(sets, s.seal))
	}
	if err != nil {
		return fmt.Errorf("seal %d (%s): %w", len(sets), cut(seal.Domain), err)
	}
	return nil
}

func (v *Validator) verifyDigest(ctx context.Context, r dns.Resolver, s dkim.Signature, digest []byte) error {
	key, _, err := v.Keys.Lookup(ctx, r, s.Domain, s.Selector)
	if err != nil {
		return err
	}
	return key.Verify(s.Algorithm, digest, s.Sum)
}

// cut cuts a stranger's text for a message.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 60)], "") }
