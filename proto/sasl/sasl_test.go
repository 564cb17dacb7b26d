package sasl

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"waxwing/mail"
)

// users is a Backend whose users and passwords are a map.
type users struct {
	passwords  map[string]string
	salt       []byte
	iterations int
	results    []bool // what SCRAMResult has heard
}

func (u *users) identity(user string) Identity {
	return Identity{Account: 7, Login: mail.Address{Local: user, Domain: "example.test"}}
}

func (u *users) Password(_ context.Context, _ Peer, authzid, user, password string) (Identity, error) {
	if want, ok := u.passwords[user]; !ok || want != password || authzid != "" && authzid != user {
		return Identity{}, ErrCredentials
	}
	return u.identity(user), nil
}

func (u *users) SCRAM(_ context.Context, _ Peer, user string) (SCRAMKeys, error) {
	return NewSCRAMKeys(u.passwords[user], u.salt, u.iterations)
}

func (u *users) SCRAMResult(_ context.Context, _ Peer, authzid, user string, succeeded bool) (Identity, error) {
	u.results = append(u.results, succeeded)
	if !succeeded || authzid != "" && authzid != user {
		return Identity{}, ErrCredentials
	}
	return u.identity(user), nil
}

func testUsers() *users {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	return &users{
		passwords:  map[string]string{"tim": "tanstaaftanstaaf", "user": "pencil", "a,b=c": "x", "IX": "pass word"},
		salt:       salt,
		iterations: 4096,
	}
}

var encrypted = Channel{PlaintextAllowed: true}

// The exchanges of RFC 4616 §4, and what the grammar forbids.
func TestPlain(t *testing.T) {
	tests := []struct {
		message string
		err     error
	}{
		{"\x00tim\x00tanstaaftanstaaf", nil},
		{"tim\x00tim\x00tanstaaftanstaaf", nil},
		{"Ursel\x00tim\x00tanstaaftanstaaf", ErrCredentials},
		{"\x00tim\x00wrong", ErrCredentials},
		{"\x00nobody\x00wrong", ErrCredentials},
		{"\x00I\u00adX\x00pass\u00a0word", nil}, // RFC 4013 §3: soft hyphen goes; §2.1: spaces
		{"\x00\u2168\x00pass word", nil},        // RFC 4013 §3: ROMAN NUMERAL NINE is IX
		{"\x00tim\x00bell\x07", ErrCredentials}, // RFC 4013 §3: prohibited
		{"", ErrMalformed},
		{"tim", ErrMalformed},
		{"\x00tim", ErrMalformed},
		{"\x00\x00tanstaaftanstaaf", ErrMalformed},
		{"\x00tim\x00", ErrMalformed},
		{"\x00tim\x00tanstaaftanstaaf\x00", ErrMalformed},
		{"\x00tim\xff\x00tanstaaftanstaaf", ErrMalformed},
		{"\x00tim\x00" + strings.Repeat("x", MaxMessage), ErrMalformed},
		{"\x00\u00ad\x00x", ErrCredentials}, // nothing is left of the user
	}
	for _, tt := range tests {
		c, err := Start("plain", encrypted, testUsers())
		if err != nil {
			t.Fatal(err)
		}
		challenge, done, err := c.Next(t.Context(), []byte(tt.message))
		if !errors.Is(err, tt.err) || done != (tt.err == nil) || challenge != nil {
			t.Errorf("%q: %q, %v, %v; want %v", tt.message, challenge, done, err, tt.err)
		}
		if done && (c.Identity().Account != 7 || c.Identity().Mechanism != Plain) {
			t.Errorf("%q: identity %+v", tt.message, c.Identity())
		}
		if _, _, err := c.Next(t.Context(), []byte(tt.message)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: an ended exchange went on: %v", tt.message, err)
		}
	}
}

// Without an initial response an empty challenge asks for the message, once;
// an empty message is not none. RFC 4954 §4
func TestPlainWithoutInitialResponse(t *testing.T) {
	c, _ := Start(Plain, encrypted, testUsers())
	challenge, done, err := c.Next(t.Context(), nil)
	if challenge == nil || len(challenge) != 0 || done || err != nil {
		t.Fatalf("first step: %q, %v, %v", challenge, done, err)
	}
	if _, done, err := c.Next(t.Context(), []byte("\x00user\x00pencil")); !done || err != nil {
		t.Fatalf("second step: %v, %v", done, err)
	}
	c, _ = Start(Plain, encrypted, testUsers())
	if _, _, err := c.Next(t.Context(), []byte{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("empty initial response: %v", err)
	}
}

func TestLogin(t *testing.T) {
	tests := []struct {
		name      string
		responses []string // "-" for none
		err       error
	}{
		{"prompted", []string{"-", "user", "pencil"}, nil},
		{"with initial response", []string{"user", "pencil"}, nil},
		{"wrong password", []string{"-", "user", "pen"}, ErrCredentials},
		{"empty password", []string{"user", ""}, ErrCredentials},
		{"empty user", []string{"-", ""}, ErrMalformed},
		{"NUL", []string{"user", "pen\x00cil"}, ErrMalformed},
		{"not UTF-8", []string{"user", "pen\xffcil"}, ErrCredentials},
		{"too long", []string{strings.Repeat("u", MaxMessage)}, ErrMalformed},
	}
	for _, tt := range tests {
		c, _ := Start("login", encrypted, testUsers())
		var done bool
		var err error
		var prompts []string
		for _, r := range tt.responses {
			message := []byte(r)
			if r == "-" {
				message = nil
			}
			var challenge []byte
			challenge, done, err = c.Next(t.Context(), message)
			prompts = append(prompts, string(challenge))
		}
		if !errors.Is(err, tt.err) || done != (tt.err == nil) {
			t.Errorf("%s: %v, %v; want %v", tt.name, done, err, tt.err)
		}
		if tt.name == "prompted" && !slices.Equal(prompts, []string{"Username:", "Password:", ""}) {
			t.Errorf("prompts %q", prompts)
		}
		if done && c.Identity().Mechanism != Login {
			t.Errorf("%s: identity %+v", tt.name, c.Identity())
		}
		if _, _, err := c.Next(t.Context(), []byte("x")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: an ended exchange went on: %v", tt.name, err)
		}
	}
}

func TestStartRefuses(t *testing.T) {
	for name, want := range map[string]error{
		"PLAIN":              ErrEncryptionRequired,
		"Login":              ErrEncryptionRequired,
		"SCRAM-SHA-256-PLUS": ErrUnknownMechanism,
		"SCRAM-SHA-1":        ErrUnknownMechanism,
		"":                   ErrUnknownMechanism,
	} {
		if _, err := Start(name, Channel{}, testUsers()); !errors.Is(err, want) {
			t.Errorf("Start(%q) = %v, want %v", name, err, want)
		}
	}
	if got := Mechanisms(Channel{}); !slices.Equal(got, []string{ScramSHA256}) {
		t.Errorf("without TLS: %q", got)
	}
	if got := Mechanisms(Channel{PlaintextAllowed: true}); !slices.Equal(got, []string{ScramSHA256, Plain, Login}) {
		t.Errorf("with permission: %q", got)
	}
}

func TestDecode(t *testing.T) {
	tests := []struct {
		line, want string
		err        error
	}{
		{"AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "\x00tim\x00tanstaaftanstaaf", nil},
		{"=", "", nil},
		{"", "", nil},
		{"*", "", ErrAborted},
		{"**", "", ErrMalformed},
		{"AHR", "", ErrMalformed},
		{"AH\rRpbQ", "", ErrMalformed},
		{" AHRpbQ==", "", ErrMalformed},
		{strings.Repeat("AAAA", MaxMessage/3+2), "", ErrMalformed},
	}
	for _, tt := range tests {
		got, err := DecodeResponse(tt.line)
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("DecodeResponse(%.40q) = %q, %v; want %q, %v", tt.line, got, err, tt.want, tt.err)
		}
		if err == nil && got == nil {
			t.Errorf("DecodeResponse(%.40q) is nil", tt.line)
		}
	}
	if got, err := DecodeInitial(""); got != nil || err != nil {
		t.Errorf("no initial response: %q, %v", got, err)
	}
	if got, err := DecodeInitial("="); got == nil || len(got) != 0 || err != nil {
		t.Errorf("empty initial response: %q, %v", got, err)
	}
	if base64.StdEncoding.EncodedLen(MaxMessage) > MaxLine {
		t.Error("a message does not fit on a line")
	}
}

// The examples of RFC 4013 §3.
func TestPrepare(t *testing.T) {
	tests := []struct {
		in, want string
		ok       bool
	}{
		{"I\u00adX", "IX", true},
		{"user", "user", true},
		{"USER", "USER", true},
		{"\u00aa", "a", true},
		{"\u2168", "IX", true},
		{"\u0007", "", false},
		{"\u0627\u0031", "", false},
		{"\u0627\u0031\u0628", "\u0627\u0031\u0628", true},
		{"a\u00a0b\u3000c", "a b c", true},
		{"pässword", "pässword", true},
		{"pa\u0308ssword", "pässword", true},
		{"\U0001f511", "\U0001f511", true}, // a key: Unicode 3.2 did not know it
		{"\ue000", "", false},
		{"\xff", "", false},
		{"", "", true},
	}
	for _, tt := range tests {
		got, err := Prepare(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("Prepare(%q) = %q, %v; want %q, %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

// What has been prepared stays as it is when it is prepared again.
func FuzzPrepare(f *testing.F) {
	for _, s := range []string{"user", "I\u00adX", "\u2168", "\u0627\u0031\u0628", "\u200b\u00ad", "\u0340", "\ufb01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := Prepare(s)
		if err != nil {
			return
		}
		if twice, err := Prepare(once); err == nil && twice != once {
			t.Fatalf("%q -> %q -> %q", s, once, twice)
		}
	})
}
