package sasl

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
)

// NewSCRAMKeys makes what a server keeps of a prepared password. RFC 5802 §3
func NewSCRAMKeys(password string, salt []byte, iterations int) (SCRAMKeys, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return SCRAMKeys{}, err
	}
	stored := sha256.Sum256(hmacSHA256(salted, []byte("Client Key")))
	return SCRAMKeys{
		Salt:       slices.Clone(salt),
		Iterations: iterations,
		StoredKey:  stored[:],
		ServerKey:  hmacSHA256(salted, []byte("Server Key")),
	}, nil
}

// scram is SCRAM-SHA-256 and, with plus, SCRAM-SHA-256-PLUS. RFC 5802, RFC 7677
type scram struct {
	channel Channel
	backend Backend
	plus    bool
	nonce   string // ours

	next     step
	first    clientFirst
	server   []byte // server-first-message
	keys     SCRAMKeys
	identity Identity
}

func newSCRAM(ch Channel, b Backend, plus bool, nonce string) *scram {
	s := &scram{channel: ch, backend: b, plus: plus, nonce: nonce}
	s.next = s.begin
	return s
}

// serverNonce makes our half of the nonce: 144 random bits. RFC 5802 §5.1
func serverNonce() string {
	var b [18]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func (s *scram) Identity() Identity { return s.identity }

func (s *scram) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	now := s.next
	s.next = s.over
	return now(ctx, response)
}

// begin waits for the first message where the protocol carried none.
func (s *scram) begin(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil {
		s.next = s.start
		return []byte{}, false, nil
	}
	return s.start(ctx, response)
}

// start takes client-first-message and gives server-first-message.
func (s *scram) start(ctx context.Context, response []byte) ([]byte, bool, error) {
	first, err := parseClientFirst(response)
	if err != nil {
		return nil, false, err
	}
	if err := s.checkBinding(first); err != nil {
		return nil, false, err
	}
	keys, err := s.backend.SCRAM(ctx, s.channel.Peer, first.user)
	if err != nil {
		return nil, false, err
	}
	s.first, s.keys = first, keys
	s.nonce = first.nonce + s.nonce
	s.server = fmt.Appendf(nil, "r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(keys.Salt), keys.Iterations)
	s.next = s.finish
	return s.server, false, nil
}

// checkBinding holds the client's gs2-cbind-flag against what we offer.
// RFC 5802 §6
func (s *scram) checkBinding(first clientFirst) error {
	switch {
	case s.plus && first.flag != 'p', !s.plus && first.flag == 'p':
		return fmt.Errorf("%w: channel binding does not fit the mechanism", ErrMalformed)
	case first.flag == 'y' && !s.channel.HideBinding && hasBinding(s.channel):
		// We did offer it: somebody in between has struck it from our list.
		return fmt.Errorf("%w: channel binding was stripped from the offer", ErrCredentials)
	case first.flag == 'p' && bindingData(s.channel, first.binding) == nil:
		return fmt.Errorf("%w: channel binding type is not supported", ErrCredentials)
	}
	return nil
}

// finish takes client-final-message and gives server-final-message.
func (s *scram) finish(ctx context.Context, response []byte) ([]byte, bool, error) {
	final, err := parseClientFinal(response)
	if err != nil {
		// Ignore what the backend says: the message is at fault.
		_, _ = s.backend.SCRAMResult(ctx, s.channel.Peer, s.first.authzid, s.first.user, false)
		return nil, false, err
	}
	auth := slices.Concat(s.first.bare, []byte{','}, s.server, []byte{','}, final.withoutProof)
	proved := s.proves(final, auth)
	id, err := s.backend.SCRAMResult(ctx, s.channel.Peer, s.first.authzid, s.first.user, proved)
	switch {
	case err != nil:
		return nil, false, err
	case !proved:
		return nil, false, ErrCredentials
	}
	id.Mechanism = ScramSHA256
	if s.plus {
		id.Mechanism = ScramSHA256Plus
	}
	s.identity = id
	signature := hmacSHA256(s.keys.ServerKey, auth)
	return append([]byte("v="), base64.StdEncoding.EncodeToString(signature)...), true, nil
}

// proves tells whether the final message is bound to this channel and this
// exchange and was made by somebody who knows the client key. RFC 5802 §3
func (s *scram) proves(final clientFinal, auth []byte) bool {
	bound := s.first.gs2
	if s.plus {
		bound = slices.Concat(bound, bindingData(s.channel, s.first.binding))
	}
	signature := hmacSHA256(s.keys.StoredKey, auth)
	if len(final.proof) != len(signature) {
		return false
	}
	subtle.XORBytes(signature, signature, final.proof) // now ClientKey
	stored := sha256.Sum256(signature)
	ok := subtle.ConstantTimeCompare(stored[:], s.keys.StoredKey)
	ok &= subtle.ConstantTimeCompare(final.binding, bound)
	ok &= subtle.ConstantTimeCompare(final.nonce, []byte(s.nonce))
	return ok == 1
}

func (s *scram) over(context.Context, []byte) ([]byte, bool, error) {
	s.next = s.over
	return nil, false, fmt.Errorf("%w: the exchange has ended", ErrMalformed)
}

func hmacSHA256(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// cutAttribute takes "name=value" off the front of a comma-separated list.
func cutAttribute(list []byte, name byte) (value, rest []byte, ok bool) {
	if len(list) < 2 || list[0] != name || list[1] != '=' {
		return nil, nil, false
	}
	value, rest, _ = bytes.Cut(list[2:], []byte{','})
	return value, rest, true
}
