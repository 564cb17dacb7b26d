package sasl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Tokens says that bearer tokens are taken, and what a client that has a bad
// one is told.
type Tokens struct {
	// Verify checks a token. authzid is the user that the client names, empty
	// for none; the identity is the one that the token proves, and must fit.
	// Fails as Backend.Password does; ErrCredentials is also for a token that
	// has expired.
	Verify func(ctx context.Context, peer Peer, authzid, token string) (Identity, error)
	// Scope is the scope that a token needs, empty for none. RFC 7628 §3.2.2
	Scope string
	// OpenIDConfiguration is the https address at which clients find the
	// authorization server, empty for none. RFC 7628 §3.2.2
	OpenIDConfiguration string
}

// oauth is OAUTHBEARER (RFC 7628) and XOAUTH2, Google's older form of it: both
// carry a bearer token, and differ in how it is wrapped and how failure looks.
type oauth struct {
	mechanism string
	peer      Peer
	tokens    *Tokens
	identity  Identity
	asked     bool
	refused   bool // the error was sent; the client's dummy response is awaited
	ended     bool
}

func (o *oauth) Identity() Identity { return o.identity }

// Next takes the client's one message. After a failure it gives the error as a
// challenge, and fails when that has been answered. RFC 7628 §3.2.3
func (o *oauth) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case o.ended:
		return nil, false, fmt.Errorf("%w: the exchange has ended", ErrMalformed)
	case o.refused:
		o.ended = true
		// OAUTHBEARER answers with ^A, XOAUTH2 with nothing. QUIRK: some
		// clients mix them up; it is over in any case.
		return nil, false, ErrCredentials
	case response == nil && !o.asked: // no initial response: an empty challenge asks for it
		o.asked = true
		return []byte{}, false, nil
	}
	parse := parseBearer
	if o.mechanism == XOAuth2 {
		parse = parseXOAuth2
	}
	user, token, err := parse(response)
	if err != nil {
		o.ended = true
		return nil, false, err
	}
	id, err := o.tokens.Verify(ctx, o.peer, user, token)
	switch {
	case err == nil:
		o.ended = true
		id.Mechanism = o.mechanism
		o.identity = id
		return nil, true, nil
	case errors.Is(err, ErrCredentials):
		o.refused = true
		return o.failure(), false, nil
	}
	o.ended = true
	return nil, false, err
}

// failure is the error challenge. RFC 7628 §3.2.2; Google's "OAuth 2.0
// Mechanism", error response
func (o *oauth) failure() []byte {
	var b []byte
	if o.mechanism == XOAuth2 {
		b, _ = json.Marshal(struct { // strings always can
			Status  string `json:"status"`
			Schemes string `json:"schemes"`
			Scope   string `json:"scope,omitempty"`
		}{"401", "Bearer", o.tokens.Scope})
		return b
	}
	b, _ = json.Marshal(struct { // strings always can
		Status string `json:"status"`
		Scope  string `json:"scope,omitempty"`
		OpenID string `json:"openid-configuration,omitempty"`
	}{"invalid_token", o.tokens.Scope, o.tokens.OpenIDConfiguration})
	return b
}

const kvsep = "\x01"

// parseBearer takes apart gs2-header kvsep *kvpair kvsep. RFC 7628 §3.1
//
// Deviation: RFC 7628 §3.2 wants host and port compared to ours; we may stand
// behind a proxy, and the token is bound to neither.
func parseBearer(message []byte) (user, token string, err error) {
	header, rest, ok := strings.Cut(string(message), kvsep)
	if !ok || len(message) > MaxMessage || !utf8.Valid(message) {
		return "", "", fmt.Errorf("%w: not an OAUTHBEARER message", ErrMalformed)
	}
	if header == "" && rest == "" { // ^A alone, RFC 7628 §3.1
		return "", "", fmt.Errorf("%w: no token", ErrCredentials)
	}
	if user, err = gs2User(header); err != nil {
		return "", "", err
	}
	token, err = bearerOf(rest)
	return user, token, err
}

// gs2User reads "n,a=user,". RFC 5801 §4
func gs2User(header string) (string, error) {
	flag, rest, ok := strings.Cut(header, ",")
	name, rest, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 || rest != "" || flag != "n" && flag != "y" { // there is no channel binding here
		return "", fmt.Errorf("%w: bad gs2 header", ErrMalformed)
	}
	if name == "" {
		return "", nil
	}
	name, ok = strings.CutPrefix(name, "a=")
	if !ok {
		return "", fmt.Errorf("%w: bad authorization identity", ErrMalformed)
	}
	return saslName([]byte(name))
}

// bearerOf finds the token among the pairs, which another kvsep ends. Pairs
// that are not known are ignored. RFC 7628 §3.1
func bearerOf(pairs string) (string, error) {
	pairs, ok := strings.CutSuffix(pairs, kvsep)
	if !ok {
		return "", fmt.Errorf("%w: message has no end", ErrMalformed)
	}
	auth, found := "", false
	for pair := range strings.SplitSeq(strings.TrimSuffix(pairs, kvsep), kvsep) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || strings.Trim(strings.ToLower(key), "abcdefghijklmnopqrstuvwxyz") != "" || key == "auth" && found {
			return "", fmt.Errorf("%w: bad pair", ErrMalformed)
		}
		if key == "auth" {
			auth, found = value, true
		}
	}
	scheme, token, _ := strings.Cut(auth, " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || !isToken(token) { // RFC 6750 §2.1
		return "", fmt.Errorf("%w: no bearer token", ErrMalformed)
	}
	return token, nil
}

// isToken tells whether s is a b64token. RFC 6750 §2.1
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// parseXOAuth2 takes apart "user=" user ^A "auth=Bearer " token ^A ^A.
// Google's "OAuth 2.0 Mechanism", initial client response
func parseXOAuth2(message []byte) (user, token string, err error) {
	name, rest, ok := bytes.Cut(message, []byte(kvsep))
	name, named := bytes.CutPrefix(name, []byte("user="))
	if !ok || !named || len(name) == 0 || len(message) > MaxMessage || !utf8.Valid(message) {
		return "", "", fmt.Errorf("%w: not an XOAUTH2 message", ErrMalformed)
	}
	if user, err = prepareName(name); err != nil {
		return "", "", err
	}
	token, err = bearerOf(string(rest))
	return user, token, err
}
