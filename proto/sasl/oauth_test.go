package sasl

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"

	"waxwing/mail"
)

// tokens takes "good" for ann or nobody named, and has no time for "later".
var tokens = &Tokens{
	Scope: "mail", OpenIDConfiguration: "https://id.example.test/.well-known/openid-configuration",
	Verify: func(_ context.Context, _ Peer, authzid, token string) (Identity, error) {
		switch {
		case token == "later":
			return Identity{}, ErrThrottled
		case token != "good" || authzid != "" && authzid != "ann@x.test" && authzid != "a,b=c":
			return Identity{}, ErrCredentials
		}
		return Identity{Account: 1, Login: mail.Address{Local: "ann", Domain: "x.test"}}, nil
	},
}

func TestTokens(t *testing.T) {
	const (
		bearerError = `{"status":"invalid_token","scope":"mail","openid-configuration":"https://id.example.test/.well-known/openid-configuration"}`
		googleError = `{"status":"401","schemes":"Bearer","scope":"mail"}`
	)
	for _, tt := range []struct {
		mechanism, message string
		challenge          string // the error, answered with ^A
		err                error
	}{
		// RFC 7628 §4.1
		{OAuthBearer, "n,a=ann@x.test,\x01host=server.example.com\x01port=143\x01auth=Bearer good\x01\x01", "", nil},
		{OAuthBearer, "n,,\x01auth=bearer good\x01\x01", "", nil},
		{OAuthBearer, "y,a=a=2Cb=3Dc,\x01unknown=x=y\x01auth=Bearer good\x01\x01", "", nil},
		// RFC 7628 §4.3
		{OAuthBearer, "n,a=ann@x.test,\x01auth=Bearer bad\x01\x01", bearerError, ErrCredentials},
		{OAuthBearer, "n,a=eve@x.test,\x01auth=Bearer good\x01\x01", bearerError, ErrCredentials},
		{OAuthBearer, "n,,\x01auth=Bearer later\x01\x01", "", ErrThrottled},
		{OAuthBearer, "\x01", "", ErrCredentials},
		{OAuthBearer, "", "", ErrMalformed},
		{OAuthBearer, "p=tls-unique,,\x01auth=Bearer good\x01\x01", "", ErrMalformed},
		{OAuthBearer, "n,ann,\x01auth=Bearer good\x01\x01", "", ErrMalformed},
		{OAuthBearer, "n,a=a=zz,\x01auth=Bearer good\x01\x01", "", ErrMalformed},
		{OAuthBearer, "n,,\x01auth=Basic good\x01\x01", "", ErrMalformed},
		{OAuthBearer, "n,,\x01auth=Bearer g ood\x01\x01", "", ErrMalformed},
		{OAuthBearer, "n,,\x01auth=Bearer good", "", ErrMalformed},
		{OAuthBearer, "n,,\x01auth=Bearer good\x01auth=Bearer good\x01\x01", "", ErrMalformed},
		{OAuthBearer, "n,,\x01\x01", "", ErrMalformed},
		{XOAuth2, "user=ann@x.test\x01auth=Bearer good\x01\x01", "", nil},
		{XOAuth2, "user=ann@x.test\x01auth=Bearer bad\x01\x01", googleError, ErrCredentials},
		{XOAuth2, "user=\x01auth=Bearer good\x01\x01", "", ErrMalformed},
		{XOAuth2, "n,a=ann@x.test,\x01auth=Bearer good\x01\x01", "", ErrMalformed},
		{XOAuth2, "user=ann@x.test\x01auth=Bearer \x01\x01", "", ErrMalformed},
	} {
		c, err := Start(tt.mechanism, Channel{TLS: &tls.ConnectionState{}, Tokens: tokens}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if challenge, done, err := c.Next(t.Context(), nil); err != nil || done || challenge == nil || len(challenge) != 0 {
			t.Fatalf("%q, %v, %v", challenge, done, err)
		}
		challenge, done, err := c.Next(t.Context(), []byte(tt.message))
		if string(challenge) != tt.challenge || done != (tt.err == nil) {
			t.Errorf("%s %q: %q, %v, %v", tt.mechanism, tt.message, challenge, done, err)
		}
		if tt.challenge != "" {
			_, done, err = c.Next(t.Context(), []byte("\x01"))
		}
		if !errors.Is(err, tt.err) || done != (tt.err == nil) {
			t.Errorf("%s %q: %v, %v, want %v", tt.mechanism, tt.message, done, err, tt.err)
		}
		if id := c.Identity(); tt.err == nil && (id.Account != 1 || id.Mechanism != tt.mechanism) {
			t.Errorf("%+v", id)
		}
		if _, done, err := c.Next(t.Context(), []byte("x")); err == nil || done {
			t.Errorf("goes on after the end")
		}
	}
}

// Tokens are offered where somebody checks them, and under TLS.
func TestTokensOffered(t *testing.T) {
	if _, err := Start(OAuthBearer, Channel{TLS: &tls.ConnectionState{}}, nil); !errors.Is(err, ErrUnknownMechanism) {
		t.Error(err)
	}
	if _, err := Start("xoauth2", Channel{Tokens: tokens}, nil); !errors.Is(err, ErrEncryptionRequired) {
		t.Error(err)
	}
	has := func(ch Channel) bool {
		n := 0
		for _, name := range Mechanisms(ch) {
			if name == OAuthBearer || name == XOAuth2 {
				n++
			}
		}
		return n == 2
	}
	if has(Channel{Tokens: tokens}) || has(Channel{TLS: &tls.ConnectionState{}}) || !has(Channel{TLS: &tls.ConnectionState{}, Tokens: tokens}) {
		t.Error("wrong mechanisms")
	}
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte("n,a=ann@x.test,\x01host=a\x01auth=Bearer good\x01\x01"), true)
	f.Add([]byte("user=ann@x.test\x01auth=Bearer good\x01\x01"), false)
	f.Fuzz(func(t *testing.T, message []byte, bearer bool) {
		parse := parseXOAuth2
		if bearer {
			parse = parseBearer
		}
		if _, token, err := parse(message); err == nil && !isToken(token) {
			t.Fatalf("%q gives %q", message, token)
		}
	})
}
