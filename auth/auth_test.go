package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/directory"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// house is an Authenticator for alice@, bob@ (disabled) and carol@ (without a
// password) of example.test; the password is waxwing.
func house(t testing.TB, o Options) (*Authenticator, *directory.Directory, kv.Store) {
	t.Helper()
	db := memkv.New()
	dir := directory.New(db)
	for _, name := range []string{"example.test", "example.net"} {
		if _, err := dir.AddDomain(t.Context(), time.Now(), directory.Domain{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		a, err := dir.AddAccount(t.Context(), time.Unix(0, 0), directory.Account{
			Address:  mail.Address{Local: name, Domain: "example.test"},
			Disabled: name == "bob",
		})
		if err != nil {
			t.Fatal(err)
		}
		if name != "carol" {
			if err := dir.SetPassword(t.Context(), a.ID, "waxwing"); err != nil {
				t.Fatal(err)
			}
		}
	}
	return New(dir, o), dir, db
}

func from(addr string) sasl.Peer {
	return sasl.Peer{Addr: netip.MustParseAddr(addr), Service: "imap", TLS: true}
}

var elsewhere = from("192.0.2.1")

func TestPassword(t *testing.T) {
	a, _, _ := house(t, Options{})
	tests := []struct {
		authzid, user, password string
		err                     error
	}{
		{"", "alice", "waxwing", nil},
		{"", "Alice@EXAMPLE.test", "waxwing", nil},
		{"", "al\u00adice", "wax\u00adwing", nil}, // prepared here too, for IMAP's LOGIN
		{"alice", "alice@example.test", "waxwing", nil},
		{"carol", "alice", "waxwing", sasl.ErrCredentials},
		{"nobody", "alice", "waxwing", sasl.ErrCredentials},
		{"", "alice", "Waxwing", sasl.ErrCredentials},
		{"", "alice", "", sasl.ErrCredentials},
		{"", "alice", "wax\x00wing", sasl.ErrCredentials},
		{"", "bob", "waxwing", sasl.ErrCredentials},
		{"", "carol", "waxwing", sasl.ErrCredentials},
		{"", "carol", "", sasl.ErrCredentials},
		{"", "nobody", "waxwing", sasl.ErrCredentials},
		{"", "nobody@elsewhere.test", "waxwing", sasl.ErrCredentials},
		{"", "", "", sasl.ErrCredentials},
		{"", "alice\x00", "waxwing", sasl.ErrCredentials},
	}
	for _, tt := range tests {
		id, err := a.Password(t.Context(), elsewhere, tt.authzid, tt.user, tt.password)
		if err != tt.err { // exactly: the reason is not for the peer
			t.Errorf("%q as %q with %q: %v, want %v", tt.user, tt.authzid, tt.password, err, tt.err)
		}
		if err == nil && (id.Account != 1 || id.Login.String() != "alice@example.test") {
			t.Errorf("%q: %+v", tt.user, id)
		}
	}
}

// A password that was right costs no hashing again, until it changes, is
// forgotten, or the account is disabled; everything else does.
func TestRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir, _ := house(t, Options{Parallel: 1, Remember: time.Minute})
		ctx := t.Context()
		login := func(user, password string) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := a.Password(ctx, elsewhere, "", user, password)
			return err
		}
		expect := func(what string, got, want error) {
			t.Helper()
			if !errors.Is(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		expect("first", login("alice", "waxwing"), nil)
		a.hashing.slots <- struct{}{} // from here on nobody can hash
		expect("remembered", login("alice@example.test", "waxwing"), nil)
		expect("another password", login("alice", "Waxwing"), sasl.ErrTemporary)
		// Those who do not exist wait as those who do.
		expect("nobody", login("nobody", "waxwing"), sasl.ErrTemporary)
		expect("no password", login("carol", "waxwing"), sasl.ErrTemporary)
		time.Sleep(50 * time.Second)
		expect("used in time", login("alice", "waxwing"), nil)
		time.Sleep(50 * time.Second)
		expect("used in time again", login("alice", "waxwing"), nil)
		time.Sleep(61 * time.Second)
		expect("forgotten", login("alice", "waxwing"), sasl.ErrTemporary)
		<-a.hashing.slots
		expect("hashed again", login("alice", "waxwing"), nil)

		disable := func(disabled bool) {
			if _, err := dir.UpdateAccount(ctx, 1, func(a *directory.Account) error { a.Disabled = disabled; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		disable(true)
		expect("disabled", login("alice", "waxwing"), sasl.ErrCredentials)
		disable(false)
		expect("enabled", login("alice", "waxwing"), nil)
		if err := dir.SetPassword(ctx, 1, "bohemian"); err != nil {
			t.Fatal(err)
		}
		expect("old password", login("alice", "waxwing"), sasl.ErrCredentials)
		expect("new password", login("alice", "bohemian"), nil)
	})
}

func TestRemembersNothing(t *testing.T) {
	a, _, _ := house(t, Options{Remember: -1})
	if _, err := a.Password(t.Context(), elsewhere, "", "alice", "waxwing"); err != nil {
		t.Fatal(err)
	}
	if len(a.verified.until.young) != 0 {
		t.Error("it did remember")
	}
}

// A hash with other parameters is made anew when its password is there.
func TestRehash(t *testing.T) {
	a, dir, db := house(t, Options{})
	record, err := cbor.Marshal(map[int]any{
		// argon2id, t=2, m=2^8, p=1, "password", "somesalt": the reference's own.
		1: "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	})
	if err != nil {
		t.Fatal(err)
	}
	err = kv.Apply(t.Context(), db, keys.Directory, func(tx kv.Txn) error {
		tx.Put([]byte{keys.DirSecret, 0, 0, 0, 0, 0, 0, 0, 1}, append([]byte{1}, record...))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(t.Context(), elsewhere, "", "alice", "wrong"); err != sasl.ErrCredentials {
		t.Fatal(err)
	}
	if c, err := dir.Login(t.Context(), "alice"); err != nil || !c.Outdated() {
		t.Fatalf("rehashed for a wrong password: %+v, %v", c, err)
	}
	if _, err := a.Password(t.Context(), elsewhere, "", "alice", "password"); err != nil {
		t.Fatal(err)
	}
	if c, err := dir.Login(t.Context(), "alice"); err != nil || c.Outdated() || len(c.SCRAM.StoredKey) == 0 {
		t.Errorf("not rehashed: %+v, %v", c, err)
	}
	if _, err := a.Password(t.Context(), elsewhere, "", "alice", "password"); err != nil {
		t.Errorf("after rehashing: %v", err)
	}
}

func TestStoreTrouble(t *testing.T) {
	a, _, db := house(t, Options{})
	db.Close()
	if _, err := a.Password(t.Context(), elsewhere, "", "alice", "waxwing"); !errors.Is(err, sasl.ErrTemporary) {
		t.Errorf("Password: %v", err)
	}
	if _, err := a.SCRAM(t.Context(), elsewhere, "alice"); !errors.Is(err, sasl.ErrTemporary) {
		t.Errorf("SCRAM: %v", err)
	}
	if _, err := a.SCRAMResult(t.Context(), elsewhere, "", "alice", true); !errors.Is(err, sasl.ErrTemporary) {
		t.Errorf("SCRAMResult: %v", err)
	}
}

// SCRAM keys of those who do not exist look like those of people who do:
// always the same, and the same with and without the domain.
func TestStrangersKeys(t *testing.T) {
	a, dir, _ := house(t, Options{})
	get := func(a *Authenticator, user string) string {
		t.Helper()
		k, err := a.SCRAM(t.Context(), elsewhere, user)
		if err != nil || len(k.Salt) != 16 || k.Iterations != directory.ScramIterations || len(k.StoredKey) != 32 || len(k.ServerKey) != 32 {
			t.Fatalf("%s: %+v, %v", user, k, err)
		}
		return fmt.Sprintf("%x", k)
	}
	again := New(dir, Options{}) // as after a restart
	for _, user := range []string{"alice", "bob", "carol", "nobody", "zoe", "eve@elsewhere.test", "x@y@z", ""} {
		first := get(a, user)
		if first != get(a, user) || first != get(again, user) {
			t.Errorf("keys of %q are not always the same", user)
		}
		if first != get(a, strings.ToUpper(user)) {
			t.Errorf("keys of %q depend on case", user)
		}
	}
	for _, user := range []string{"alice", "carol", "nobody", "zoe", "yan", "xia"} {
		test, net, bare := get(a, user+"@example.test"), get(a, user+"@example.net"), get(a, user)
		if test == net || bare != test && bare != net {
			t.Errorf("keys of %q tell whether it exists", user)
		}
	}
	if get(a, "nobody") == get(a, "zoe") {
		t.Error("two strangers have the same keys")
	}
}

func TestSCRAMResult(t *testing.T) {
	a, _, _ := house(t, Options{})
	tests := []struct {
		authzid, user string
		succeeded     bool
		err           error
	}{
		{"", "alice", true, nil},
		{"alice@example.test", "alice", true, nil},
		{"carol", "alice", true, sasl.ErrCredentials},
		{"", "alice", false, sasl.ErrCredentials},
		{"", "bob", true, sasl.ErrCredentials},
		{"", "carol", true, sasl.ErrCredentials},
		{"", "nobody", true, sasl.ErrCredentials},
	}
	for _, tt := range tests {
		id, err := a.SCRAMResult(t.Context(), elsewhere, tt.authzid, tt.user, tt.succeeded)
		if err != tt.err || (err == nil) != (id.Account == 1) {
			t.Errorf("%q as %q, %v: %+v, %v; want %v", tt.user, tt.authzid, tt.succeeded, id, err, tt.err)
		}
	}
}

// What the log holds: who, whence, why; never what was typed as a password,
// not even in the wrong field.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	a, _, _ := house(t, Options{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), Limits: Limits{PerAddress: 7}})
	ctx := t.Context()
	a.Password(ctx, elsewhere, "", "alice", "waxwing")
	a.Password(ctx, elsewhere, "", "alice", "hunter2")
	a.Password(ctx, elsewhere, "", "hunter2", "hunter2")
	a.Password(ctx, elsewhere, "hunter2", "alice", "waxwing")
	a.Password(ctx, elsewhere, "", "eve@elsewhere.test", "hunter2")
	a.Password(ctx, elsewhere, "", "bob", "waxwing")
	a.SCRAM(ctx, elsewhere, "hunter2")
	a.SCRAMResult(ctx, elsewhere, "", "hunter2", false)
	a.SCRAMResult(ctx, elsewhere, "", "alice@example.test", true)
	for range 9 {
		a.SCRAMResult(ctx, elsewhere, "", "nobody", false)
	}
	log := out.String()
	for _, want := range []string{
		`level=DEBUG msg="login ok" account=a0000000000000001 login=alice@example.test remote=192.0.2.1 service=imap took=`,
		`level=INFO msg="login failed" account=a0000000000000001 login=alice@example.test remote=192.0.2.1 service=imap err="authentication credentials invalid: wrong password"`,
		`level=INFO msg="login failed" login="(no address)" remote=192.0.2.1 service=imap err="authentication credentials invalid: no such user"`,
		`login=eve@elsewhere.test`,
		`err="authentication credentials invalid: account is disabled"`,
		`err="authentication credentials invalid: may not act as somebody else"`,
		`err="too many failed logins, try again later"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, secret := range []string{"hunter2", "waxwing", "argon2id", "level=ERROR", "level=WARN"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

// Whole exchanges, through the mechanisms.
func TestMechanisms(t *testing.T) {
	a, _, _ := house(t, Options{})
	c, err := sasl.Start(sasl.Plain, sasl.Channel{Peer: elsewhere, PlaintextAllowed: true}, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, done, err := c.Next(t.Context(), []byte("\x00alice\x00waxwing")); !done || err != nil || c.Identity().Account != 1 {
		t.Errorf("PLAIN: %+v, %v", c.Identity(), err)
	}
}

// Many at once: no deadlock, no login refused that is right.
func TestManyAtOnce(t *testing.T) {
	a, _, _ := house(t, Options{Parallel: 2})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			password, want := "waxwing", error(nil)
			if i%10 == 0 {
				password, want = "wrong", sasl.ErrCredentials
			}
			if _, err := a.Password(context.Background(), from("127.0.0.1"), "", "alice", password); err != want {
				t.Errorf("login %d: %v, want %v", i, err, want)
			}
		})
	}
	wg.Wait()
}
