package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/net/idna"

	"waxwing/format/message"
	"waxwing/obs"
	"waxwing/trust/arc"
	"waxwing/trust/dkim"
)

// A KeySource gives the keys in use that sign for a domain, which is written
// in A-labels and lower case; none if the domain has none.
type KeySource func(ctx context.Context, now time.Time, domain string) ([]dkim.SigningKey, error)

// SigningKeys gives the keys that sign a message: those of the first of some
// domains that is ours, which has none if its mail is not signed.
func (d *Deliverer) SigningKeys(ctx context.Context, now time.Time, domains ...string) ([]dkim.SigningKey, error) {
	if d.keys == nil {
		return nil, nil
	}
	for _, domain := range domains {
		local, err := d.directory.IsLocal(ctx, domain)
		if err != nil {
			return nil, err
		}
		if !local {
			continue
		}
		name, err := idna.Lookup.ToASCII(domain) // RFC 8616 §3
		if err != nil {
			return nil, nil
		}
		return d.keys(ctx, now, name)
	}
	return nil, nil
}

// SignOwn signs a whole message that we have made ourselves, for its author's
// domain, and gives the fields to be put before it. What cannot be signed goes
// as it is: the news matters more.
func (d *Deliverer) SignOwn(ctx context.Context, now time.Time, domain string, text []byte) []byte {
	keys, err := d.SigningKeys(ctx, now, domain)
	if err == nil && len(keys) == 0 {
		return nil
	}
	var signed []byte
	if err == nil {
		signer := dkim.NewSigner()
		_, _ = signer.Write(text) // never fails
		signed, err = signer.Finish(now, keys...)
	}
	if err != nil {
		d.log.Error("a notification of ours cannot be signed", obs.Domain, domain, obs.Err, err)
		return nil
	}
	return signed
}

// seal continues the chain of what others have found out about a message that
// goes on to other servers from a domain of ours, and gives the fields to be
// put before it; nil if there are none. What was not verified on its way in is
// not vouched for. RFC 8617 §5.1
func (d *Deliverer) seal(ctx context.Context, now time.Time, a *Arrival, prefix []byte, domain string) []byte {
	if a.Chain == "" {
		return nil
	}
	keys, err := d.SigningKeys(ctx, now, domain)
	for _, k := range keys {
		if k.Algorithm() != "rsa-sha256" { // RFC 8617 §4.1.2 knows no other, and one seal it is
			continue
		}
		sealer := arc.NewSealer()
		if _, err = io.Copy(sealer, io.MultiReader(bytes.NewReader(prefix), a.Body.Reader())); err != nil {
			break
		}
		var fields []byte
		if fields, err = sealer.Finish(now, k, a.Chain, a.results(d.hostname)); err == nil {
			return fields
		}
		if errors.Is(err, arc.ErrNothingToAdd) {
			return nil
		}
		break
	}
	if err != nil {
		d.log.Error("what is forwarded cannot be sealed", obs.Msg, a.ID, obs.Domain, domain, obs.Err, err)
	}
	return nil
}

// results gives what was found out, as Authentication-Results writes it.
func (a *Arrival) results(server string) string {
	if a.Results == "" {
		return server + "; none" // RFC 8601 §2.2
	}
	return a.Results
}

// maxTop is how much of a header is searched for signatures of ours.
const maxTop = 32 << 10

// SignAgain signs a message that had to be converted on its way, which breaks
// signatures, for the domain that we have signed it for before; it gives the
// fields to be put before it. What others have signed nobody can mend.
func (d *Deliverer) SignAgain(ctx context.Context, now time.Time, converted func() io.Reader) []byte {
	top := make([]byte, maxTop)
	n, err := io.ReadFull(converted(), top)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil // the message itself cannot be read either
	}
	var keys []dkim.SigningKey
	for f := range message.Fields(top[:n]) {
		// Signatures of ours stand above our Received, where nobody else can
		// have put them.
		if f.Is("Received") || len(keys) > 0 {
			break
		}
		if !f.Is("DKIM-Signature") {
			continue
		}
		if s, err := dkim.ParseSignature(f.Text()); err == nil {
			if keys, err = d.SigningKeys(ctx, now, s.Domain); err != nil {
				break
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	signer := dkim.NewSigner()
	if _, err := io.Copy(signer, converted()); err != nil {
		return nil
	}
	signed, err := signer.Finish(now, keys...)
	if err != nil {
		d.log.Error("a converted message cannot be signed again", obs.Domain, keys[0].Domain, obs.Err, err)
	}
	return signed
}
