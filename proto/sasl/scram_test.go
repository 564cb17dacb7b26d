package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The exchange of RFC 7677 §3.
func TestScramExample(t *testing.T) {
	backend := testUsers()
	s := newSCRAM(Channel{}, backend, false, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
	conversation := []struct{ client, server string }{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	}
	for i, step := range conversation {
		challenge, done, err := s.Next(t.Context(), []byte(step.client))
		if err != nil || string(challenge) != step.server || done != (i == 1) {
			t.Fatalf("step %d: %q, %v, %v", i, challenge, done, err)
		}
	}
	if id := s.Identity(); id.Account != 7 || id.Mechanism != ScramSHA256 {
		t.Errorf("identity %+v", id)
	}
	if !slices.Equal(backend.results, []bool{true}) {
		t.Errorf("the backend heard %v", backend.results)
	}
	if _, _, err := s.Next(t.Context(), nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("an ended exchange went on: %v", err)
	}
}

// A scramClient is the other side, with everything a bad one may want to set.
type scramClient struct {
	gs2      string // gs2-header
	user     string // as saslname
	password string
	binding  []byte // channel binding data
	extra    string // extension of the final message
	spoil    func(final string) string
}

// run goes through an exchange with s and checks the server's signature.
func (c scramClient) run(ctx context.Context, s Conversation, initial bool) error {
	if !initial {
		if challenge, done, err := s.Next(ctx, nil); err != nil || done || challenge == nil || len(challenge) > 0 {
			return fmt.Errorf("first step: %q, %v, %w", challenge, done, err)
		}
	}
	bare := "n=" + c.user + ",r=client-nonce"
	serverFirst, _, err := s.Next(ctx, []byte(c.gs2+bare))
	if err != nil {
		return err
	}
	var nonce, salt64 string
	var iterations int
	if _, err := fmt.Sscanf(strings.ReplaceAll(string(serverFirst), ",", " "), "r=%s s=%s i=%d", &nonce, &salt64, &iterations); err != nil {
		return err
	}
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if err != nil {
		return err
	}
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.gs2), c.binding...)) + ",r=" + nonce + c.extra
	auth := bare + "," + string(serverFirst) + "," + without
	keys, salted := clientKeys(c.password, salt, iterations)
	proof := hmacSHA256(keys.StoredKey, []byte(auth))
	subtle.XORBytes(proof, proof, hmacSHA256(salted, []byte("Client Key")))
	final := without + ",p=" + base64.StdEncoding.EncodeToString(proof)
	if c.spoil != nil {
		final = c.spoil(final)
	}
	serverFinal, done, err := s.Next(ctx, []byte(final))
	if err != nil {
		return err
	}
	want := "v=" + base64.StdEncoding.EncodeToString(hmacSHA256(keys.ServerKey, []byte(auth)))
	if !done || !hmac.Equal(serverFinal, []byte(want)) {
		return fmt.Errorf("server's signature: %q, done %v", serverFinal, done)
	}
	return nil
}

func clientKeys(password string, salt []byte, iterations int) (SCRAMKeys, []byte) {
	keys, err := NewSCRAMKeys(password, salt, iterations)
	if err != nil {
		panic(err)
	}
	// Hi() written out, as RFC 5802 §2.2 has it, against the library's.
	u := hmacSHA256([]byte(password), append(slices.Clone(salt), 0, 0, 0, 1))
	salted := slices.Clone(u)
	for range iterations - 1 {
		u = hmacSHA256([]byte(password), u)
		subtle.XORBytes(salted, salted, u)
	}
	return keys, salted[:sha256.Size]
}

func TestScram(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	good := scramClient{gs2: "n,,", user: "user", password: "pencil"}
	tests := []struct {
		name   string
		change func(*scramClient)
		err    error
	}{
		{"good", func(c *scramClient) {}, nil},
		{"y without TLS", func(c *scramClient) { c.gs2 = "y,," }, nil},
		{"escapes in the user", func(c *scramClient) { c.user, c.password = "a=2Cb=3Dc", "x" }, nil},
		{"authzid of one's own", func(c *scramClient) { c.gs2 = "n,a=user," }, nil},
		{"unknown extension", func(c *scramClient) { c.extra = ",x=ignored" }, nil},
		{"authzid of another", func(c *scramClient) { c.gs2 = "n,a=tim," }, ErrCredentials},
		{"wrong password", func(c *scramClient) { c.password = "pen" }, ErrCredentials},
		{"nobody", func(c *scramClient) { c.user, c.password = "nobody", "x" }, ErrCredentials},
		{"p without PLUS", func(c *scramClient) { c.gs2 = "p=tls-exporter,," }, ErrMalformed},
		{"bad escape", func(c *scramClient) { c.user = "a=2cb" }, ErrMalformed},
		{"empty user", func(c *scramClient) { c.user = "" }, ErrMalformed},
		{"empty authzid", func(c *scramClient) { c.gs2 = "n,a=," }, nil},
		{"mandatory extension", func(c *scramClient) { c.gs2 = "n,,m=x," }, ErrMalformed},
		{"no flag", func(c *scramClient) { c.gs2 = ",," }, ErrMalformed},
		{"other nonce", func(c *scramClient) { c.spoil = replace("r=client-nonce", "r=client-n0nce") }, ErrCredentials},
		{"other header", func(c *scramClient) { c.spoil = replace("c=biws", "c=eSws") }, ErrCredentials},
		{"no proof", func(c *scramClient) { c.spoil = replace(",p=", ",q=") }, ErrMalformed},
		{"short proof", func(c *scramClient) {
			c.spoil = func(s string) string { return s[:strings.Index(s, ",p=")] + ",p=AAAA" }
		}, ErrCredentials},
		{"line break in proof", func(c *scramClient) { c.spoil = func(s string) string { return s + "\n" } }, ErrMalformed},
		{"too long", func(c *scramClient) { c.spoil = func(s string) string { return s + strings.Repeat("A", MaxMessage) } }, ErrMalformed},
	}
	for _, tt := range tests {
		for _, initial := range []bool{true, false} {
			client := good
			tt.change(&client)
			s, err := Start(ScramSHA256, Channel{}, testUsers())
			if err != nil {
				t.Fatal(err)
			}
			if err := client.run(t.Context(), s, initial); !errors.Is(err, tt.err) {
				t.Errorf("%s (initial %v): %v, want %v", tt.name, initial, err, tt.err)
			}
		}
	}
}

// The backend hears of every exchange that it has begun and that has come to
// a final message, so that it can count.
func TestScramTellsResult(t *testing.T) {
	for _, c := range []scramClient{
		{gs2: "n,,", user: "user", password: "pen"},
		{gs2: "n,,", user: "user", password: "pencil", spoil: func(string) string { return "rubbish" }},
	} {
		backend := testUsers()
		s, _ := Start(ScramSHA256, Channel{}, backend)
		if err := c.run(t.Context(), s, true); err == nil {
			t.Error("succeeded")
		}
		if !slices.Equal(backend.results, []bool{false}) {
			t.Errorf("the backend heard %v", backend.results)
		}
	}
}

// No message of a stranger gets through, and what is sent back never holds
// more of it than its nonce.
func FuzzScram(f *testing.F) {
	f.Add("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "c=biws,r=rOprNGfwEbeRWgbNEkqOserver,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	f.Add("y,a=us=2Cer,n=u=3D,r=x,e=1", "c=biws,r=x,z=1,p=,p=AA==")
	f.Add("p=tls-unique,,n=a,r=b", "")
	f.Fuzz(func(t *testing.T, first, final string) {
		backend := testUsers()
		backend.iterations = 1
		s := newSCRAM(Channel{}, backend, false, "server")
		challenge, done, err := s.Next(t.Context(), []byte(first))
		if done {
			t.Fatal("done after the first message")
		}
		if err != nil {
			return
		}
		if len(challenge) > maxNonce+100 {
			t.Fatalf("challenge of %d octets", len(challenge))
		}
		if _, done, _ := s.Next(t.Context(), []byte(final)); done {
			t.Fatal("a stranger got in")
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00tim\x00tanstaaftanstaaf"))
	f.Add([]byte("a\x00b\x00\u2168"))
	f.Fuzz(func(t *testing.T, message []byte) {
		_, user, password, err := parsePlain(message)
		if err == nil && (user == "" || password == "" || strings.ContainsRune(user+password, 0)) {
			t.Fatalf("%q -> %q, %q", message, user, password)
		}
	})
}
