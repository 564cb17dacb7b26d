package submit

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"waxwing/flow/deliver"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/store/trace"
	"waxwing/trust/dkim"
)

// A signing is how one message gets its signatures: it is hashed while it is
// staged, and signed when nothing changes it any more. nil signs nothing.
type signing struct {
	keys   []dkim.SigningKey
	signer *dkim.Signer
	failed error
}

// signs begins to sign a message for its author's domain, or, if that is not
// ours, for that of whoever sends it in the author's name.
func (s *Submitter) signs(ctx context.Context, now time.Time, fields message.Header, env mail.Envelope, who sasl.Identity) (*signing, error) {
	var domains []string
	for _, name := range []string{"From", "Sender"} {
		for f := range fields.All(name) {
			for _, a := range message.ParseAddressList(f.Text()) {
				if !a.Group && a.Domain != "" {
					domains = append(domains, a.Domain)
				}
			}
		}
	}
	if env.From.Domain != "" {
		domains = append(domains, env.From.Domain)
	}
	keys, err := s.deliverer.SigningKeys(ctx, now, append(domains, who.Login.Domain)...)
	if err != nil {
		return nil, smtp.Trouble("cannot sign the message just now, try later", err)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return &signing{keys: keys, signer: dkim.NewSigner()}, nil
}

// listen hashes what is read from r.
func (s *signing) listen(r io.Reader) io.Reader {
	if s == nil {
		return r
	}
	return io.TeeReader(r, s.signer)
}

// again begins anew with a message that a filter has changed, in its header or
// in what stands before that.
func (s *signing) again(a *deliver.Arrival, prefix []byte) {
	if s == nil {
		return
	}
	s.signer = dkim.NewSigner()
	_, s.failed = io.Copy(s.signer, io.MultiReader(bytes.NewReader(prefix), a.Body.Reader()))
}

// finish gives what stands before the message, with the signatures on top, and
// notes for the trace who has signed. The prefix comes back as it is if the
// message cannot be signed.
func (s *signing) finish(now time.Time, a *deliver.Arrival, prefix []byte) ([]byte, error) {
	if s == nil {
		return prefix, nil
	}
	if s.failed != nil {
		return prefix, s.failed
	}
	signatures, err := s.signer.Finish(now, s.keys...)
	if err != nil {
		return prefix, err
	}
	selectors := make([]string, len(s.keys))
	for i, k := range s.keys {
		selectors[i] = k.Selector
	}
	a.Facts = append(a.Facts, trace.Fact{Name: "signed", Value: s.keys[0].Domain + " (" + strings.Join(selectors, ", ") + ")"})
	return append(signatures, prefix...), nil
}
