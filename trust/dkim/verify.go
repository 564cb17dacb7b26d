package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"waxwing/dns"
)

// Limits on what a stranger's message costs.
const (
	// MaxSignatures is how many signatures of a message are looked at; the
	// rest is left alone. RFC 6376 §8.4
	MaxSignatures = 10
	// MaxHeader is how much header is kept. Nothing is verified beyond it.
	MaxHeader = 1 << 20
)

// A Verifier verifies the signatures of one message, which is written to it.
type Verifier struct {
	header   []byte
	headed   bool // the header is complete
	tooLarge bool
	claims   []*claim
	hashes   [2]*bodyHash // by Form; nil where no signature needs one
}

// A claim is a signature that is to be verified.
type claim struct {
	Signature
	field []byte
	err   error // what keeps it from being verified at all
	part  *beginning
}

// Write takes the next octets of the message. It never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	n := len(p)
	if !v.headed {
		from := max(0, len(v.header)-3)
		v.header = append(v.header, p...)
		end := endOfHeader(v.header, from)
		if end < 0 {
			if len(v.header) > MaxHeader {
				v.tooLarge, v.headed, v.header = true, true, nil
			}
			return n, nil
		}
		p = v.header[end:]
		v.header = v.header[:end]
		v.begin()
	}
	for _, h := range v.hashes {
		if h != nil {
			h.write(p)
		}
	}
	return n, nil
}

// endOfHeader gives where the body begins, or -1.
func endOfHeader(b []byte, from int) int {
	if bytes.HasPrefix(b, crlf) {
		return 2
	}
	if i := bytes.Index(b[from:], []byte("\r\n\r\n")); i >= 0 {
		return from + i + 4
	}
	return -1
}

// begin reads the signatures, and gets ready for the body.
func (v *Verifier) begin() {
	v.headed = true
	v.header = bytes.Clone(v.header) // it may have grown with a large first write
	for field := range Fields(v.header) {
		if !named(field, "dkim-signature") {
			continue
		}
		if len(v.claims) == MaxSignatures {
			break
		}
		c := &claim{field: field}
		c.Signature, c.err = ParseSignature(string(field[bytes.IndexByte(field, ':')+1:]))
		if c.err == nil {
			c.err = c.acceptable()
		}
		if c.err == nil {
			if v.hashes[c.Body] == nil {
				v.hashes[c.Body] = newBodyHash(c.Body)
			}
			if c.Length >= 0 {
				c.part = v.hashes[c.Body].at(c.Length)
			}
		}
		v.claims = append(v.claims, c)
	}
}

// acceptable checks what can be seen without key and body.
func (c *claim) acceptable() error {
	switch c.Algorithm {
	case "rsa-sha256", "ed25519-sha256":
	case "rsa-sha1":
		return fmt.Errorf("%w: SHA-1", ErrWeak) // RFC 8301 §3.1
	default:
		return fmt.Errorf("algorithm %q is not known", short(c.Algorithm))
	}
	for _, name := range c.Headers {
		if name == "from" {
			return nil
		}
	}
	return errors.New("the From field is not signed") // RFC 6376 §5.4
}

// Finish ends the message and gives a result for each signature, from the top
// of the header. Keys are looked up at once for all.
func (v *Verifier) Finish(ctx context.Context, r dns.Resolver, now time.Time) []Result {
	if !v.headed { // a message without a body
		if !bytes.HasSuffix(v.header, crlf) {
			v.header = append(v.header, crlf...)
		}
		v.begin()
	}
	for _, h := range v.hashes {
		if h != nil {
			h.finish()
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
	// What needs no lookup comes first.
	hash := v.hashes[c.Body]
	sum, total := hash.full.Sum(nil), hash.n
	if c.part != nil {
		sum = c.part.sum
	}
	if c.Length > total {
		to.Status, to.Reason = PermError, "it covers more than the body has"
		return
	}
	if subtle.ConstantTimeCompare(sum, c.BodyHash) != 1 {
		to.Status, to.Reason = Fail, "the body is not the one that was signed"
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
	err = key.Verify(c.Algorithm, headerDigest(v.header, c.field, c.Signature), c.Sum)
	switch {
	case errors.Is(err, ErrWeak):
		to.Status, to.Reason = Policy, err.Error()
	case errors.Is(err, errWrong):
		to.Status, to.Reason = Fail, err.Error()
	case err != nil:
		to.Status, to.Reason = PermError, err.Error()
	case c.Length >= 0 && c.Length < total:
		// RFC 6376 §8.2: what was added could be anything.
		to.Status, to.Reason = Policy, fmt.Sprintf("it does not cover the last %d octets of the body", total-c.Length)
	default:
		to.Status = Pass
	}
}

// headerDigest hashes what a signature signs of the header. RFC 6376 §3.7
func headerDigest(header, field []byte, s Signature) []byte {
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
