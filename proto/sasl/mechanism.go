package sasl

import (
	"context"
	"errors"
	"strings"
)

// The mechanisms that Start knows.
const (
	ScramSHA256Plus = "SCRAM-SHA-256-PLUS" // RFC 7677
	ScramSHA256     = "SCRAM-SHA-256"      // RFC 7677
	OAuthBearer     = "OAUTHBEARER"        // RFC 7628
	XOAuth2         = "XOAUTH2"            // Google's, and Microsoft's
	Plain           = "PLAIN"              // RFC 4616
	Login           = "LOGIN"              // draft-murchison-sasl-login
)

// Errors of Start.
var (
	// ErrUnknownMechanism: there is no such mechanism, or it is not offered
	// on this channel.
	ErrUnknownMechanism = errors.New("unknown authentication mechanism")
	// ErrEncryptionRequired: the mechanism shows the password and the
	// channel is not encrypted. RFC 4954 §6 (538), RFC 5530 §3 (PRIVACYREQUIRED)
	ErrEncryptionRequired = errors.New("encryption required for this authentication mechanism")
)

// Mechanisms lists what is offered on the channel, the strongest first. Start
// accepts all of them.
func Mechanisms(ch Channel) []string {
	names := make([]string, 0, 6)
	if !ch.HideBinding && hasBinding(ch) {
		names = append(names, ScramSHA256Plus)
	}
	names = append(names, ScramSHA256)
	if ch.Tokens != nil && ch.showsPasswords() {
		names = append(names, OAuthBearer, XOAuth2)
	}
	if ch.showsPasswords() {
		names = append(names, Plain, Login)
	}
	return names
}

// Start begins an exchange of the named mechanism (in any case). It fails
// with ErrUnknownMechanism or ErrEncryptionRequired.
func Start(name string, ch Channel, b Backend) (Conversation, error) {
	switch name = strings.ToUpper(name); name {
	case OAuthBearer, XOAuth2:
		if ch.Tokens == nil {
			return nil, ErrUnknownMechanism
		}
		if !ch.showsPasswords() {
			return nil, ErrEncryptionRequired // RFC 7628 §3: TLS must be used
		}
		return &oauth{mechanism: name, peer: ch.Peer, tokens: ch.Tokens}, nil
	case Plain:
		if !ch.showsPasswords() {
			return nil, ErrEncryptionRequired
		}
		return &plain{peer: ch.Peer, backend: b}, nil
	case Login:
		if !ch.showsPasswords() {
			return nil, ErrEncryptionRequired
		}
		return &login{peer: ch.Peer, backend: b}, nil
	case ScramSHA256:
		return newSCRAM(ch, b, false, serverNonce()), nil
	case ScramSHA256Plus:
		if !hasBinding(ch) {
			return nil, ErrUnknownMechanism
		}
		return newSCRAM(ch, b, true, serverNonce()), nil
	}
	return nil, ErrUnknownMechanism
}

// Passwords and tokens in the clear need TLS or the operator's permission. RFC 4616 §6
func (ch Channel) showsPasswords() bool { return ch.TLS != nil || ch.PlaintextAllowed }

// A step is what remains of an exchange: called with the client's next
// message, it is Next.
type step func(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
