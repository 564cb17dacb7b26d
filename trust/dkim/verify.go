package dkim

import (
	"bytes"
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

// A Verifier verifies the signatures of one message, which is written to it.
type Verifier struct {
	head   Head
	claims []*claim
	bodies [2]*Body // by Form; nil where no signature needs one
}

// A claim is a signature that is to be verified.
type claim struct {
	Signature
	field []byte
	err   error // what keeps it from being verified at all
}

// Write takes the next octets of the message. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	n := len(p)
	p, ended := v.head.Write(p)
	if ended {
		v.begin()
	}
	for _, b := range v.bodies {
		if b != nil {
			b.Write(p)
		}
	}
	return n, nil
}

// begin reads the signatures, and gets ready for the body.
func (v *Verifier) begin() {
	for field := range Fields(v.head.Octets) {
		if !named(field, "dkim-signature") {
			continue
		}
		if len(v.claims) == MaxSignatures {
			break
		}
		c := &claim{field: field}
		c.Signature, c.err = ParseSignature(string(field[bytes.IndexByte(field, ':')+1:]))
		if c.err == nil {
			c.err = c.Acceptable()
		}
		if c.err == nil {
			if v.bodies[c.Body] == nil {
				v.bodies[c.Body] = NewBody(c.Body)
			}
			v.bodies[c.Body].Expect(c.Signature)
		}
		v.claims = append(v.claims, c)
	}
}

// Finish ends the message and gives a result for each signature, from the top
// of the header. Keys are looked up at once for all.
func (v *Verifier) Finish(ctx context.Context, r dns.Resolver, now time.Time) []Result {
	if v.head.End() {
		v.begin()
	}
	for _, b := range v.bodies {
		if b != nil {
			b.Finish()
		}
	}
	results := make([]Result, len(v.claims))
	var lookups sync.WaitGroup
	for i, c := range v.claims {
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
	mark := ""
	if tags, err := ParseTags(string(c.field[bytes.IndexByte(c.field, ':')+1:])); err == nil {
		b, _ := tags.Get("b")
		mark = squeeze(b)
		mark = mark[:min(len(mark), 8)] // RFC 6008 §4
	}
	return Result{
		Domain: c.Domain, Selector: c.Selector, Identity: c.Identity, Algorithm: c.Algorithm,
		Headers: c.Headers, Mark: mark, Signed: c.Signed, Expires: c.Expires,
	}
}

// judge verifies one signature. RFC 6376 §6.1
func (v *Verifier) judge(ctx context.Context, r dns.Resolver, now time.Time, c *claim, to *Result) {
	if !c.Expires.IsZero() && now.After(c.Expires) {
		to.Status, to.Reason = PermError, "it expired "+c.Expires.UTC().Format(time.RFC3339)
		return
	}
	covered, total, err := v.bodies[c.Body].Check(c.Signature) // needs no lookup, so it comes first
	if err != nil {
		to.Status, to.Reason = Fail, err.Error()
		if m, ok := errors.AsType[*Mismatch](err); ok && m.Never {
			to.Status = PermError
		}
		return
	}
	key, answer, err := LookupKey(ctx, r, c.Domain, c.Selector)
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
	err = key.Verify(c.Algorithm, HeaderDigest(v.head.Octets, c.field, c.Signature), c.Sum)
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

// HeaderDigest hashes what a signature signs of a header: the fields that it
// names, and its own without the sum. RFC 6376 §3.7
func HeaderDigest(header, field []byte, s Signature) []byte {
	b := make([]byte, 0, 4096)
	for _, f := range selected(header, s.Headers) {
		b = append(s.Header.AppendField(b, f), crlf...)
	}
	b = s.Header.AppendField(b, WithoutSum(field))
	sum := sha256.Sum256(b)
	return sum[:]
}

// selected picks the fields that are signed: of those with one name from the
// bottom up. RFC 6376 §5.4.2
func selected(header []byte, names []string) [][]byte {
	byName := map[string][][]byte{}
	for _, name := range names {
		byName[name] = nil
	}
	for field := range Fields(header) {
		name := nameOf(field)
		if list, ok := byName[name]; ok {
			byName[name] = append(list, field)
		}
	}
	fields := make([][]byte, 0, len(names))
	for _, name := range names {
		if list := byName[name]; len(list) > 0 {
			fields = append(fields, list[len(list)-1])
			byName[name] = list[:len(list)-1]
		}
	}
	return fields
}

// Header gives the header of the message, when the body has begun or the
// message has ended; nil if it was too large.
func (v *Verifier) Header() []byte { return v.head.Octets }
