package directory

import (
	"errors"
	"strings"
	"testing"

	"waxwing/proto/sasl"
)

func TestSetPassword(t *testing.T) {
	d, ids := house(t)
	ctx := t.Context()
	id := ids["alice@example.test"]
	if c, err := d.Login(ctx, "alice@example.test"); err != nil || c.Hash != "" || c.Account != id {
		t.Fatalf("before: %+v, %v", c, err)
	}
	if err := d.SetPassword(ctx, id, "pass\u00a0wörd"); err != nil {
		t.Fatal(err)
	}
	c, err := d.Login(ctx, "alice@example.test")
	if err != nil || !strings.HasPrefix(c.Hash, "$argon2id$v=19$m=19456,t=2,p=1$") || c.Outdated() {
		t.Fatalf("after: %+v, %v", c, err)
	}
	for password, want := range map[string]bool{"pass wörd": true, "pass word": false, "": false} {
		if got, err := VerifyPassword(c.Hash, password); got != want || err != nil {
			t.Errorf("VerifyPassword(%q) = %v, %v", password, got, err)
		}
	}
	keys, err := sasl.NewSCRAMKeys("pass wörd", c.SCRAM.Salt, c.SCRAM.Iterations)
	if err != nil || string(keys.StoredKey) != string(c.SCRAM.StoredKey) || string(keys.ServerKey) != string(c.SCRAM.ServerKey) {
		t.Errorf("SCRAM keys differ, %v", err)
	}
	if err := d.Rehash(ctx, id, "another", "x"); !errors.Is(err, ErrChanged) {
		t.Errorf("rehash of what has changed: %v", err)
	}
	if err := d.Rehash(ctx, id, c.Hash, "pass wörd"); err != nil {
		t.Fatal(err)
	}
	again, err := d.Login(ctx, "alice")
	if err != nil || again.Hash == c.Hash {
		t.Errorf("rehashed to the same: %v", err)
	}
	if err := d.SetPassword(ctx, id, ""); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Login(ctx, "alice"); err != nil || c.Hash != "" || c.SCRAM.StoredKey != nil {
		t.Errorf("without password: %+v, %v", c, err)
	}
}

func TestLoginNames(t *testing.T) {
	d, ids := house(t)
	tests := []struct {
		name, account string
		err           error
	}{
		{"alice", "alice@example.test", nil},
		{"ALICE", "alice@example.test", nil},
		{"alice@example.test", "alice@example.test", nil},
		{"Alice@EXAMPLE.test", "alice@example.test", nil},
		{"jürgen", "Jürgen@bücher.test", nil},
		{"jürgen@bücher.test", "Jürgen@bücher.test", nil},
		{"jürgen@xn--bcher-kva.test", "Jürgen@bücher.test", nil},
		{"carol", "carol@example.test", nil},
		{"bob", "", ErrAmbiguous},
		{"bob@bücher.test", "bob@bücher.test", nil},
		{"alic", "", ErrNoUser},
		{"alice+x", "", ErrNoUser},
		{"alice+x@example.test", "", ErrNoUser},
		{"info@example.test", "", ErrNoUser},
		{"info", "", ErrNoUser},
		{"alice@", "", ErrNoUser},
		{"alice\x00", "", ErrNoUser},
		{"alice\x00example.test", "", ErrNoUser},
		{"", "", ErrNoUser},
		{strings.Repeat("a", maxLogin+1), "", ErrNoUser},
	}
	for _, when := range []string{"unwatched", "cold", "warm"} {
		for _, tt := range tests {
			c, err := d.Login(t.Context(), tt.name)
			if !errors.Is(err, tt.err) || c.Account != ids[tt.account] {
				t.Errorf("%s: Login(%.40q) = %v, %v; want %v, %v", when, tt.name, c.Account, err, ids[tt.account], tt.err)
			}
		}
		if when == "unwatched" {
			watched(t, d)
		}
	}
}

func TestPHC(t *testing.T) {
	// From the argon2 reference's test suite: argon2id, t=2, m=2^8, p=1.
	const vector = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if ok, err := VerifyPassword(vector, "password"); !ok || err != nil {
		t.Errorf("the reference's vector: %v, %v", ok, err)
	}
	if !(Credentials{Hash: vector}).Outdated() {
		t.Error("weak parameters are not outdated")
	}
	for _, s := range []string{
		"", "$argon2id$", "plain", strings.Replace(vector, "argon2id", "argon2i", 1),
		strings.Replace(vector, "v=19", "v=16", 1), strings.Replace(vector, "m=256", "m=4000000000", 1),
		strings.Replace(vector, "t=2", "t=0", 1), strings.Replace(vector, "p=1", "p=256", 1),
		strings.Replace(vector, "c29t", "*", 1), vector + "$", strings.Replace(vector, ",p=1", "", 1),
	} {
		if _, err := VerifyPassword(s, "password"); err == nil {
			t.Errorf("%q was taken for a hash", s)
		}
	}
	dummy := DummyHash()
	if ok, err := VerifyPassword(dummy, ""); ok || err != nil {
		t.Errorf("the dummy: %v, %v", ok, err)
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		again, err := parsePHC(h.String())
		if err != nil || again.String() != h.String() {
			t.Fatalf("%q -> %q -> %q, %v", s, h.String(), again.String(), err)
		}
	})
}
