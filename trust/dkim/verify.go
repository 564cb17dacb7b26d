package dkim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"waxwing/dns"
)

// MaxSignatures is how many signatures of a message are looked at; the rest is
// left alone. RFC 6376 §8.4
const MaxSignatures = 10

// A Verifier verifies the signatures of one message, which is written to it, or
// to a Text that others read too.
type Verifier struct {
	// Keys remembers keys; nil is nobody.
	Keys *Keys

	own    Text
	text   *Text // own, or one that is shared
	claims []claim
}

// A claim is a signature that is to be verified.
type claim struct {
	Signature
	field []byte
	err   error // what keeps it from being verified at all
}

// Write takes the next octets of the message. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	v.own.Begin = v.Begin
	return v.own.Write(p)
}

// Begin reads the signatures in the header of a text, from its Begin. Nothing is
// written to the Verifier itself then.
func (v *Verifier) Begin(t *Text) {
	v.text = t
	for _, field := range t.header.Named("dkim-signature") {
		if len(v.claims) == MaxSignatures {
			break
		}
		c := claim{field: field}
		c.Signature, c.err = ParseSignature(string(Value(field)))
		if c.err == nil {
			c.err = c.Acceptable()
		}
		if c.err == nil {
			t.Expect(c.Signature)
		}
		v.claims = append(v.claims, c)
	}
}

// Finish ends the message and gives a result for each signature, from the top
// of the header. Keys are looked up at once for all.
func (v *Verifier) Finish(ctx context.Context, r dns.Resolver, now time.Time) []Result {
	if v.text == nil {
		v.own.Begin = v.Begin
		v.own.End()
	}
	v.text.End()
	results := make([]Result, len(v.claims))
	var lookups sync.WaitGroup
	for i := range v.claims {
		c := &v.claims[i]
		results[i] = c.result()
		if c.err != nil {
			results[i].Status, results[i].Reason = PermError, c.err.Error()
			if errors.Is(c.err, ErrWeak) {
				results[i].Status = Policy
			}
			continue
		}
		if len(v.claims) == 1 {
			v.judge(ctx, r, now, c, &results[i])
			continue
		}
		lookups.Go(func() { v.judge(ctx, r, now, c, &results[i]) })
	}
	lookups.Wait()
	return results
}

// result says whose signature it is.
func (c *claim) result() Result {
	return Result{
		Domain: c.Domain, Selector: c.Selector, Identity: c.Identity, Algorithm: c.Algorithm,
		Headers: c.Headers, Mark: c.Mark, Signed: c.Signed, Expires: c.Expires,
	}
}

// judge verifies one signature. RFC 6376 §6.1
func (v *Verifier) judge(ctx context.Context, r dns.Resolver, now time.Time, c *claim, to *Result) {
	if !c.Expires.IsZero() && now.After(c.Expires) {
		to.Status, to.Reason = PermError, "it expired "+c.Expires.UTC().Format(time.RFC3339)
		return
	}
	covered, total, err := v.text.Check(c.Signature) // needs no lookup, so it comes first
	if err != nil {
		to.Status, to.Reason = Fail, err.Error()
		if m, ok := errors.AsType[*Mismatch](err); ok && m.Never {
			to.Status = PermError
		}
		return
	}
	key, answer, err := v.Keys.Lookup(ctx, r, c.Domain, c.Selector)
	to.Authentic = answer.Authentic
	if err != nil {
		to.Status, to.Reason = PermError, err.Error()
		if e := new(KeyError); errors.As(err, &e) && e.Temporary {
			to.Status = TempError
		}
		return
	}
	to.Testing, to.KeyBits = key.Testing, key.Bits()
	if key.Strict && !strings.HasSuffix(c.Identity, "@"+c.Domain) { // RFC 6376 §3.6.1, t=s
		to.Status, to.Reason = PermError, "the key is not for names below the domain"
		return
	}
	err = key.Verify(c.Algorithm, HeaderDigest(v.text.header, c.field, c.Signature), c.Sum)
	switch {
	case errors.Is(err, ErrWeak):
		to.Status, to.Reason = Policy, err.Error()
	case errors.Is(err, errWrong):
		to.Status, to.Reason = Fail, err.Error()
	case err != nil:
		to.Status, to.Reason = PermError, err.Error()
	case covered < total: // RFC 6376 §8.2: what was added could be anything
		to.Status, to.Reason = Policy, fmt.Sprintf("it does not cover the last %d octets of the body", total-covered)
	default:
		to.Status = Pass
	}
}

// scratches are where headers are put into canonical form.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// HeaderDigest hashes what a signature signs of a header: the fields that it
// names, and its own without the sum. RFC 6376 §3.7
func HeaderDigest(h *Header, field []byte, s Signature) []byte {
	scratch := scratches.Get().(*[]byte)
	b := (*scratch)[:0]
	for f := range h.selected(s.Headers) {
		b = append(s.Header.AppendField(b, f), crlf...)
	}
	// Its own is put together behind the others, and then into its form.
	before, behind := aroundSum(field)
	joined := append(append(b, before...), behind...)
	whole := s.Header.AppendField(joined, joined[len(b):])
	n := copy(whole[len(b):], whole[len(joined):])
	sum := sha256.Sum256(whole[:len(b)+n])
	if cap(whole) <= 64<<10 {
		*scratch = whole[:0]
		scratches.Put(scratch)
	}
	return sum[:]
}
