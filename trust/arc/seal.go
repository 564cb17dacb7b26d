package arc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"waxwing/trust/dkim"
)

// parseSeal reads an ARC-Seal as a signature. RFC 8617 §4.1.3
func parseSeal(tags dkim.Tags) (dkim.Signature, error) {
	for _, name := range []string{"h", "bh", "l"} {
		if _, ok := tags.Get(name); ok {
			return dkim.Signature{}, fmt.Errorf("it has a tag %s", name)
		}
	}
	// What a seal has not, so that the rest is read as that of a signature is.
	full := append(dkim.Tags{{Name: "h", Value: "from"}, {Name: "bh", Value: "AA"}}, tags...)
	s, err := dkim.FromTags(full)
	if err == nil {
		err = s.Acceptable()
	}
	return s, err
}

// sealDigest hashes what a seal signs: the fields of all sets up to its own,
// which comes last and has an empty b=. RFC 8617 §5.1.1
func sealDigest(sets []*set, own []byte) []byte {
	h := sha256.New()
	var b []byte
	put := func(field []byte) {
		b = append(dkim.Relaxed.AppendField(b[:0], field), "\r\n"...)
		h.Write(b)
	}
	for i, s := range sets {
		put(s.results)
		put(s.message)
		if i < len(sets)-1 {
			put(s.seal)
		}
	}
	h.Write(dkim.Relaxed.AppendField(b[:0], dkim.WithoutSum(own)))
	return h.Sum(nil)
}

// A Sealer adds a set to one message, which is written to it as it is passed
// on: with all changes, and signed by DKIM. RFC 8617 §5.1
type Sealer struct {
	head dkim.Head
	body *dkim.Body
}

// NewSealer gives a Sealer for one message.
func NewSealer() *Sealer { return &Sealer{body: dkim.NewBody(dkim.Relaxed)} }

// Write takes the next octets of the message. It never fails.
func (s *Sealer) Write(p []byte) (int, error) {
	n := len(p)
	p, _ = s.head.Write(p)
	s.body.Write(p)
	return n, nil
}

// ErrNothingToAdd says that a chain is not continued: it was marked as broken
// before, or cannot get longer.
var ErrNothingToAdd = errors.New("the chain is not continued")

// Finish ends the message and gives the three fields to be put before its
// header. came is the state of the chain when the message came to us, before
// it was changed, and results what was found out then: an authserv-id and the
// results as in Authentication-Results, unfolded or with line ends before
// white space.
func (s *Sealer) Finish(now time.Time, key dkim.SigningKey, came Status, results string) ([]byte, error) {
	s.head.End()
	if s.head.TooLarge {
		return nil, fmt.Errorf("a header of more than %d octets cannot be sealed", dkim.MaxHeader)
	}
	s.body.Finish()
	header := dkim.ParseHeader(s.head.Octets)
	sets, err := collect(header)
	if n := len(sets); n >= maxSets || n > 0 && sets[n-1].cv == Fail {
		return nil, ErrNothingToAdd
	}
	instance := len(sets) + 1
	if err != nil {
		// RFC 8617 §5.1.2: of what cannot be counted the new set is one more
		// than the highest number that is there.
		if instance, came = highest(header)+1, Fail; instance > maxSets {
			return nil, ErrNothingToAdd
		}
	}
	if came == Fail {
		sets = nil
	} else if (len(sets) == 0) != (came == None) {
		return nil, fmt.Errorf("the chain has %d sets, and its state was %s", len(sets), came)
	}
	number := fmt.Sprintf("i=%d", instance)
	own := &set{results: fmt.Appendf(nil, "ARC-Authentication-Results: %s; %s\r\n", number, results)}
	own.message, err = key.Sign("ARC-Message-Signature", []string{number}, header, s.body.Sum(), toSign(header), now)
	if err != nil {
		return nil, err
	}
	seal := fmt.Appendf(nil, "ARC-Seal: %s; a=%s; t=%d; cv=%s;\r\n\td=%s; s=%s",
		number, key.Algorithm(), now.Unix(), came, key.Domain, key.Selector)
	sets = append(sets, own)
	own.seal, err = key.Complete(seal, func(field []byte) []byte { return sealDigest(sets, field) })
	if err != nil {
		return nil, fmt.Errorf("seal for %s with %s: %w", key.Domain, key.Selector, err)
	}
	return append(append(own.seal, own.message...), own.results...), nil
}

// highest gives the highest number in what is no whole chain.
func highest(header *dkim.Header) int {
	most := 0
	for name, field := range header.Fields() {
		if p, ours := parse(name, field); ours {
			most = max(most, p.instance)
		}
	}
	return most
}

// toSign lists the fields that the message signature signs: what DKIM signs,
// and DKIM's signatures. RFC 8617 §4.1.2
func toSign(header *dkim.Header) []string {
	names := dkim.ToSign(header)
	for range header.Named("dkim-signature") {
		names = append(names, "dkim-signature")
	}
	return names
}
