package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/test/engine"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func addrs(list ...string) []mail.Address {
	var out []mail.Address
	for _, s := range list {
		out = append(out, addr(s))
	}
	return out
}

// house is a directory with two domains, and some who live there.
func house(t testing.TB) (*Directory, map[string]mail.AccountID) {
	t.Helper()
	d := New(engine.New(t))
	for _, name := range []string{"example.test", "bücher.test", "empty.test"} {
		if _, err := d.AddDomain(t.Context(), epoch, Domain{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	ids := make(map[string]mail.AccountID)
	for _, a := range []Account{
		{Address: addr("alice@example.test"), Name: "Alice"},
		{Address: addr("Bob@example.test"), Admin: true},
		{Address: addr("carol@example.test"), Disabled: true, Quota: 1 << 20},
		{Address: addr("bob@bücher.test")},
		{Address: addr("Jürgen@bücher.test"), Admin: true},
	} {
		made, err := d.AddAccount(t.Context(), epoch, a)
		if err != nil {
			t.Fatal(err)
		}
		ids[a.Address.String()] = made.ID
	}
	for _, a := range []Alias{
		{Address: addr("info@example.test"), Targets: addrs("alice@example.test")},
		{Address: addr("help@example.test"), Targets: addrs("info@example.test", "Alice+help@example.test", "eve@elsewhere.test")},
		{Address: addr("all@example.test"), Targets: addrs("alice@example.test", "bob@example.test", "help@example.test", "EVE@Elsewhere.test"), Group: true},
		{Address: addr("alice+shop@example.test"), Targets: addrs("carol@example.test")},
	} {
		if _, err := d.AddAlias(t.Context(), epoch, a); err != nil {
			t.Fatal(err)
		}
	}
	return d, ids
}

// watched runs the directory's Run for as long as the test.
func watched(t testing.TB, d *Directory) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	for d.current.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// describe writes a route as "alice@example.test(detail) >eve@elsewhere.test".
func describe(r Route) string {
	var parts []string
	for _, t := range r.Accounts {
		s := t.Address.String()
		if t.Detail != "" {
			s += "(" + t.Detail + ")"
		}
		parts = append(parts, s)
	}
	for _, f := range r.Forwards {
		parts = append(parts, ">"+f.String())
	}
	return strings.Join(parts, " ")
}

func TestResolve(t *testing.T) {
	tests := []struct {
		rcpt, want string
		err        error
	}{
		{"alice@example.test", "alice@example.test", nil},
		{"ALICE@Example.Test", "alice@example.test", nil},
		{"alice+Lists/Go@example.test", "alice@example.test(Lists/Go)", nil},
		{"alice+a+b@example.test", "alice@example.test(a+b)", nil},
		{"alice+@example.test", "alice@example.test", nil},
		{"alice+shop@example.test", "carol@example.test", nil},
		{"alice+SHOP+x@example.test", "alice@example.test(SHOP+x)", nil},
		{"bob@example.test", "Bob@example.test", nil},
		{"bob@bücher.test", "bob@xn--bcher-kva.test", nil},
		{"bob@BÜCHER.test", "bob@xn--bcher-kva.test", nil},
		{"bob@xn--bcher-kva.test", "bob@xn--bcher-kva.test", nil},
		{"bob@XN--BCHER-KVA.test", "bob@xn--bcher-kva.test", nil},
		{"JÜRGEN@bücher.test", "Jürgen@xn--bcher-kva.test", nil},
		{"ju\u0308rgen@bücher.test", "Jürgen@xn--bcher-kva.test", nil},
		{"carol@example.test", "carol@example.test", nil}, // disabled accounts still receive
		{"info@example.test", "alice@example.test", nil},
		{"info+x@example.test", "alice@example.test(x)", nil},
		{"help@example.test", "alice@example.test(help) >eve@elsewhere.test", nil},
		{"all@example.test", "alice@example.test Bob@example.test >EVE@elsewhere.test", nil},
		{"postmaster@example.test", "Bob@example.test", nil},
		{"Abuse@empty.test", "Bob@example.test", nil},
		{"postmaster+x@example.test", "", ErrNoUser},
		{"nobody@example.test", "", ErrNoUser},
		{"+alice@example.test", "", ErrNoUser},
		{"alice@sub.example.test", "", ErrNotLocal},
		{"alice@elsewhere.test", "", ErrNotLocal},
		{"alice@[192.0.2.1]", "", ErrNotLocal},
	}
	d, _ := house(t)
	check := func(t *testing.T) {
		for _, tt := range tests {
			got, err := d.Resolve(t.Context(), addr(tt.rcpt))
			if describe(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s -> %q, %v; want %q, %v", tt.rcpt, describe(got), err, tt.want, tt.err)
			}
		}
		got, err := d.Resolve(t.Context(), mail.Address{Local: "PostMaster"})
		if describe(got) != "Bob@example.test" || err != nil {
			t.Errorf("bare postmaster -> %q, %v", describe(got), err)
		}
	}
	t.Run("unwatched", check)
	watched(t, d)
	t.Run("cold", check)
	t.Run("warm", check)
}

func TestCatchAll(t *testing.T) {
	d, ids := house(t)
	set := func(to string) error {
		_, err := d.UpdateDomain(t.Context(), "EXAMPLE.test", func(dom *Domain) error {
			dom.CatchAll = mail.Address{}
			if to != "" {
				dom.CatchAll = addr(to)
			}
			return nil
		})
		return err
	}
	if err := set("nobody@example.test"); !errors.Is(err, ErrNoUser) {
		t.Errorf("a catch-all that leads nowhere: %v", err)
	}
	if err := set("alice+caught@example.test"); err != nil {
		t.Fatal(err)
	}
	for rcpt, want := range map[string]string{
		"nobody@example.test":     "alice@example.test(caught)",
		"nobody+x@example.test":   "alice@example.test(caught)",
		"postmaster@example.test": "alice@example.test(caught)",
		"bob@example.test":        "Bob@example.test",
		"postmaster@empty.test":   "Bob@example.test",
	} {
		if got, err := d.Resolve(t.Context(), addr(rcpt)); describe(got) != want {
			t.Errorf("%s -> %q, %v; want %q", rcpt, describe(got), err, want)
		}
	}
	if may, err := d.MaySendAs(t.Context(), ids["alice@example.test"], addr("anything@example.test")); !may || err != nil {
		t.Errorf("who gets all may send as all: %v, %v", may, err)
	}
	alice := ids["alice@example.test"]
	for _, a := range []string{"all@example.test", "help@example.test", "info@example.test"} {
		if err := d.DeleteAlias(t.Context(), addr(a)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DeleteAccount(t.Context(), alice); !errors.Is(err, ErrInUse) {
		t.Errorf("deleting the catch-all's account: %v", err)
	}
	if err := set("eve@elsewhere.test"); err != nil {
		t.Fatal(err)
	}
	if got, _ := d.Resolve(t.Context(), addr("nobody@example.test")); describe(got) != ">eve@elsewhere.test" {
		t.Errorf("foreign catch-all: %q", describe(got))
	}
	if err := set(""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Resolve(t.Context(), addr("nobody@example.test")); !errors.Is(err, ErrNoUser) {
		t.Errorf("without catch-all: %v", err)
	}
	if err := d.DeleteAccount(t.Context(), alice); err != nil {
		t.Errorf("deleting what nothing points to: %v", err)
	}

	// A domain can come with its catch-all, who is elsewhere then.
	for _, nobody := range []string{"bob@new.test", "nobody@example.test"} {
		if _, err := d.AddDomain(t.Context(), epoch, Domain{Name: "new.test", CatchAll: addr(nobody)}); !errors.Is(err, ErrNoUser) {
			t.Errorf("%s: %v", nobody, err)
		}
	}
	if made, err := d.AddDomain(t.Context(), epoch, Domain{Name: "new.test", CatchAll: addr("bob@example.test")}); err != nil || made.CatchAll != addr("bob@example.test") {
		t.Errorf("%+v, %v", made, err)
	}
	if got, err := d.Resolve(t.Context(), addr("anybody@new.test")); describe(got) != "Bob@example.test" {
		t.Errorf("%q, %v", describe(got), err)
	}
	if err := d.DeleteAccount(t.Context(), ids["Bob@example.test"]); !errors.Is(err, ErrInUse) {
		t.Errorf("deleting the catch-all of a new domain: %v", err)
	}
}

func TestMaySendAs(t *testing.T) {
	d, ids := house(t)
	alice, bob := ids["alice@example.test"], ids["Bob@example.test"]
	tests := []struct {
		account mail.AccountID
		from    string
		want    bool
	}{
		{alice, "alice@example.test", true},
		{alice, "Alice+anything@example.test", true},
		{alice, "info@example.test", true},
		{alice, "help@example.test", true},
		{alice, "all@example.test", false}, // a group
		{alice, "bob@example.test", false},
		{alice, "alice+shop@example.test", false}, // carol's
		{alice, "eve@elsewhere.test", false},
		{alice, "nobody@example.test", false},
		{alice, "postmaster@example.test", false},
		{bob, "postmaster@example.test", true},
		{bob, "bob@bücher.test", false},
		{99, "alice@example.test", false},
	}
	for _, tt := range tests {
		if got, err := d.MaySendAs(t.Context(), tt.account, addr(tt.from)); got != tt.want || err != nil {
			t.Errorf("%v as %s: %v, %v; want %v", tt.account, tt.from, got, err, tt.want)
		}
	}
	if may, err := d.MaySendAs(t.Context(), alice, mail.Address{}); may || err != nil {
		t.Errorf("as nobody: %v, %v", may, err)
	}
}

func TestRefusals(t *testing.T) {
	d, ids := house(t)
	ctx := t.Context()
	second := func(_ any, err error) error { return err }
	many := make([]mail.Address, maxRecipients+1)
	for i := range many {
		many[i] = addr(fmt.Sprintf("u%d@elsewhere.test", i))
	}
	alice := ids["alice@example.test"]
	rename := func(id mail.AccountID, to string) error {
		return second(d.UpdateAccount(ctx, id, func(a *Account) error { a.Address = addr(to); return nil }))
	}
	tests := []struct {
		name string
		got  error
		want error
	}{
		{"domain twice", second(d.AddDomain(ctx, epoch, Domain{Name: "XN--BCHER-KVA.test"})), ErrExists},
		{"domain literal", second(d.AddDomain(ctx, epoch, Domain{Name: "[192.0.2.1]"})), ErrInvalid},
		{"domain underscore", second(d.AddDomain(ctx, epoch, Domain{Name: "a_b.test"})), ErrInvalid},
		{"domain empty", second(d.AddDomain(ctx, epoch, Domain{})), ErrInvalid},
		{"domain bad A-label", second(d.AddDomain(ctx, epoch, Domain{Name: "xn--zz.test"})), ErrInvalid},
		{"unknown domain", second(d.Domain(ctx, "other.test")), ErrNotFound},
		{"rename domain", second(d.UpdateDomain(ctx, "example.test", func(d *Domain) error { d.Name = "x.test"; return nil })), ErrInvalid},
		{"delete domain with accounts", d.DeleteDomain(ctx, "example.test"), ErrInUse},
		{"delete unknown domain", d.DeleteDomain(ctx, "other.test"), ErrNotFound},
		{"account twice", second(d.AddAccount(ctx, epoch, Account{Address: addr("ALICE@example.test")})), ErrExists},
		{"account over alias", second(d.AddAccount(ctx, epoch, Account{Address: addr("info@example.test")})), ErrExists},
		{"account elsewhere", second(d.AddAccount(ctx, epoch, Account{Address: addr("a@other.test")})), ErrNotLocal},
		{"account with id", second(d.AddAccount(ctx, epoch, Account{ID: 9, Address: addr("a@example.test")})), ErrInvalid},
		{"account without address", second(d.AddAccount(ctx, epoch, Account{})), ErrInvalid},
		{"account with a ligature", second(d.AddAccount(ctx, epoch, Account{Address: addr("\ufb01n@example.test")})), ErrInvalid},
		{"account with a line break", second(d.AddAccount(ctx, epoch, Account{Address: mail.Address{Local: "a\r\nb", Domain: "example.test"}})), ErrInvalid},
		{"account with a huge setting", second(d.UpdateAccount(ctx, alice, func(a *Account) error {
			a.Settings = map[string]string{"k": strings.Repeat("x", maxSettingValue+1)}
			return nil
		})), ErrInvalid},
		{"unknown account", second(d.Account(ctx, 99)), ErrNotFound},
		{"unknown account's password", d.SetPassword(ctx, 99, "x"), ErrNotFound},
		{"unknown account's no password", d.SetPassword(ctx, 99, ""), ErrNotFound},
		{"password with control character", d.SetPassword(ctx, alice, "a\x00b"), ErrInvalid},
		{"long password", d.SetPassword(ctx, alice, strings.Repeat("x", maxPassword+1)), ErrInvalid},
		{"alias as account", second(d.AccountByAddress(ctx, addr("info@example.test"))), ErrNotFound},
		{"account as alias", second(d.Alias(ctx, addr("alice@example.test"))), ErrNotFound},
		{"rename to taken", rename(ids["carol@example.test"], "bob@example.test"), ErrInUse},
		{"rename pointed to", rename(alice, "alicia@example.test"), ErrInUse},
		{"rename to alias", rename(ids["bob@bücher.test"], "info@example.test"), ErrExists},
		{"delete pointed to", d.DeleteAccount(ctx, alice), ErrInUse},
		{"delete alias pointed to", d.DeleteAlias(ctx, addr("info@example.test")), ErrInUse},
		{"alias without targets", second(d.AddAlias(ctx, epoch, Alias{Address: addr("x@example.test")})), ErrInvalid},
		{"alias to nobody", second(d.AddAlias(ctx, epoch, Alias{Address: addr("x@example.test"), Targets: addrs("nobody@example.test")})), ErrNoUser},
		{"alias to itself", second(d.AddAlias(ctx, epoch, Alias{Address: addr("x@example.test"), Targets: addrs("X@example.test", "alice@example.test")})), ErrLoop},
		{"alias to itself with detail", second(d.AddAlias(ctx, epoch, Alias{Address: addr("x@example.test"), Targets: addrs("x+y@example.test")})), ErrLoop},
		{"alias around", second(d.UpdateAlias(ctx, addr("info@example.test"), func(a *Alias) error {
			a.Targets = addrs("all@example.test")
			return nil
		})), ErrLoop},
		{"alias to many", second(d.AddAlias(ctx, epoch, Alias{Address: addr("x@example.test"), Targets: many})), ErrTooMany},
		{"unknown alias", d.DeleteAlias(ctx, addr("x@example.test")), ErrNotFound},
	}
	for _, tt := range tests {
		if !errors.Is(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

// What was refused has left nothing behind, and what was deleted neither.
func TestNothingIsLeft(t *testing.T) {
	d, ids := house(t)
	ctx := t.Context()
	if err := d.SetPassword(ctx, ids["alice@example.test"], "waxwing"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"all@example.test", "help@example.test", "info@example.test", "alice+shop@example.test"} {
		if err := d.DeleteAlias(ctx, addr(a)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		if err := d.DeleteAccount(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"example.test", "bücher.test", "empty.test"} {
		if err := d.DeleteDomain(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	err := d.db.View(ctx, keys.Directory, func(r kv.Reader) error {
		for item, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if string(item.Key) != string(metaKey("next")) {
				t.Errorf("left behind: %q", item.Key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// An ID is never given out again.
	if _, err := d.AddDomain(ctx, epoch, Domain{Name: "example.test"}); err != nil {
		t.Fatal(err)
	}
	a, err := d.AddAccount(ctx, epoch, Account{Address: addr("alice@example.test")})
	if err != nil || a.ID <= slices.Max(slices.Collect(maps.Values(ids))) {
		t.Errorf("new account has ID %d, %v", a.ID, err)
	}
	if c, err := d.Login(ctx, "alice"); err != nil || c.Hash != "" {
		t.Errorf("the new alice has the old password: %+v, %v", c, err)
	}
}

func TestUpdateAccount(t *testing.T) {
	d, ids := house(t)
	watched(t, d)
	ctx := t.Context()
	id := ids["bob@bücher.test"]
	if _, err := d.Login(ctx, "bob"); !errors.Is(err, ErrAmbiguous) {
		t.Fatalf("two bobs: %v", err)
	}
	a, err := d.UpdateAccount(ctx, id, func(a *Account) error {
		a.ID, a.Created = 77, time.Time{}
		a.Address, a.Name, a.Admin = addr("Rob@bücher.test"), "Rob", true
		a.Settings = map[string]string{"language": "de"}
		return nil
	})
	if err != nil || a.ID != id || !a.Created.Equal(epoch) {
		t.Fatalf("%+v, %v", a, err)
	}
	got, err := d.AccountByAddress(ctx, addr("rob@xn--bcher-kva.test"))
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v; want %+v", got, err, a)
	}
	if _, err := d.Resolve(ctx, addr("bob@bücher.test")); !errors.Is(err, ErrNoUser) {
		t.Errorf("the old address: %v", err)
	}
	if c, err := d.Login(ctx, "bob"); err != nil || c.Account != ids["Bob@example.test"] {
		t.Errorf("one bob is left: %+v, %v", c, err)
	}
	if c, err := d.Login(ctx, "ROB"); err != nil || c.Account != id {
		t.Errorf("rob: %+v, %v", c, err)
	}
	stop := errors.New("stop")
	if _, err := d.UpdateAccount(ctx, id, func(a *Account) error { a.Name = "x"; return stop }); !errors.Is(err, stop) {
		t.Errorf("the function's error: %v", err)
	}
	if got, _ := d.Account(ctx, id); got.Name != "Rob" {
		t.Errorf("changed in spite of the error: %+v", got)
	}
}

func TestLists(t *testing.T) {
	d, ids := house(t)
	ctx := t.Context()
	for i := range 2*pageSize + 3 {
		if _, err := d.AddAccount(ctx, epoch, Account{Address: addr(fmt.Sprintf("u%04d@empty.test", i))}); err != nil {
			t.Fatal(err)
		}
	}
	var last mail.AccountID
	n := 0
	for a, err := range d.Accounts(ctx, 0) {
		if err != nil || a.ID <= last {
			t.Fatalf("%+v after %v: %v", a, last, err)
		}
		last = a.ID
		n++
	}
	if want := len(ids) + 2*pageSize + 3; n != want {
		t.Errorf("%d accounts, want %d", n, want)
	}
	for a, err := range d.Accounts(ctx, last-1) {
		if err != nil || a.ID != last {
			t.Errorf("after the last but one: %v, %v", a.ID, err)
		}
	}
	var names []string
	for dom, err := range d.Domains(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, dom.Name)
	}
	if want := []string{"empty.test", "example.test", "xn--bcher-kva.test"}; !slices.Equal(names, want) {
		t.Errorf("domains %q", names)
	}
	if some, err := d.SomeDomains(ctx); err != nil || !slices.Equal(some, names) {
		t.Errorf("some domains %q, %v", some, err)
	}
	var aliases []string
	for a, err := range d.Aliases(ctx, mail.Address{}) {
		if err != nil {
			t.Fatal(err)
		}
		aliases = append(aliases, a.Address.Local)
		if len(aliases) == 3 {
			break
		}
	}
	for a := range d.Aliases(ctx, addr("help@example.test")) {
		aliases = append(aliases, a.Address.Local)
	}
	if want := []string{"alice+shop", "all", "help", "info"}; !slices.Equal(aliases, want) {
		t.Errorf("aliases %q", aliases)
	}
}

func TestJSON(t *testing.T) {
	d, _ := house(t)
	a, err := d.AccountByAddress(t.Context(), addr("carol@example.test"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(a)
	want := fmt.Sprintf(`{"id":%d,"address":"carol@example.test","disabled":true,"quota":1048576,"created":"2026-01-02T03:04:05Z"}`, a.ID)
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	al, err := d.Alias(t.Context(), addr("info@example.test"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ = json.Marshal(al)
	if want := `{"address":"info@example.test","targets":["alice@example.test"],"created":"2026-01-02T03:04:05Z"}`; string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	got, _ = json.Marshal(Domain{Name: "x.test", Created: epoch})
	if want := `{"name":"x.test","created":"2026-01-02T03:04:05Z"}`; string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Aliases that lead around in a circle, as they can when a domain becomes
// ours after them, end; so do those that lead too far.
func TestExpansionEnds(t *testing.T) {
	d := New(memkv.New())
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(d.AddDomain(ctx, epoch, Domain{Name: "a.test"}))
	must(d.AddAccount(ctx, epoch, Account{Address: addr("ann@a.test")}))
	must(d.AddAlias(ctx, epoch, Alias{Address: addr("x@a.test"), Targets: addrs("y@b.test", "ann@a.test")}))
	must(d.AddAlias(ctx, epoch, Alias{Address: addr("only@a.test"), Targets: addrs("only@b.test")}))
	must(d.AddDomain(ctx, epoch, Domain{Name: "b.test"}))
	// Written past the checks, as two transactions a moment ago could have.
	err := d.update(ctx, func(tx kv.Txn) error {
		for from, to := range map[string]string{"y@b.test": "x@a.test", "only@b.test": "only@a.test"} {
			a := Alias{Address: addr(from), Targets: addrs(to)}
			if err := put(tx, nameKey(fold(a.Address)), nameRecord{Alias: &a}); err != nil {
				return err
			}
		}
		for i := range maxDepth + 2 {
			a := Alias{Address: addr(fmt.Sprintf("d%d@b.test", i)), Targets: addrs(fmt.Sprintf("d%d@b.test", i+1))}
			if err := put(tx, nameKey(fold(a.Address)), nameRecord{Alias: &a}); err != nil {
				return err
			}
		}
		var wide Alias
		wide.Address = addr("wide0@b.test")
		for i := range 1500 {
			wide.Targets = append(wide.Targets, addr(fmt.Sprintf("w%d@c.test", i)))
		}
		wide.Targets = append(wide.Targets, addr("wide1@b.test"))
		if err := put(tx, nameKey(wide.Address), nameRecord{Alias: &wide}); err != nil {
			return err
		}
		for i := range wide.Targets {
			wide.Targets[i].Local += "x"
		}
		return put(tx, nameKey(addr("wide1@b.test")), nameRecord{Alias: &wide})
	})
	must(nil, err)
	for rcpt, want := range map[string]string{"x@a.test": "ann@a.test", "y@b.test": "ann@a.test"} {
		if got, err := d.Resolve(ctx, addr(rcpt)); describe(got) != want || err != nil {
			t.Errorf("%s -> %q, %v", rcpt, describe(got), err)
		}
	}
	for rcpt, want := range map[string]error{"only@a.test": ErrNoUser, "d0@b.test": ErrTooMany, "wide0@b.test": ErrTooMany} {
		if got, err := d.Resolve(ctx, addr(rcpt)); !errors.Is(err, want) {
			t.Errorf("%s -> %q, %v; want %v", rcpt, describe(got), err, want)
		}
	}
}

// A group may be large, and everybody gets one copy.
func TestLargeGroup(t *testing.T) {
	d := New(memkv.New())
	ctx := t.Context()
	if _, err := d.AddDomain(ctx, epoch, Domain{Name: "a.test"}); err != nil {
		t.Fatal(err)
	}
	g := Alias{Address: addr("g@a.test"), Group: true}
	for i := range 500 {
		a, err := d.AddAccount(ctx, epoch, Account{Address: addr(fmt.Sprintf("u%d@a.test", i))})
		if err != nil {
			t.Fatal(err)
		}
		g.Targets = append(g.Targets, a.Address, addr(fmt.Sprintf("u%d+twice@a.test", i)))
	}
	if _, err := d.AddAlias(ctx, epoch, g); err != nil {
		t.Fatal(err)
	}
	watched(t, d)
	for range 2 {
		r, err := d.Resolve(ctx, g.Address)
		if err != nil || len(r.Accounts) != 500 {
			t.Fatalf("%d accounts, %v", len(r.Accounts), err)
		}
	}
}

// What one directory changes another on the same store shows, as two
// processes would.
func TestChangesAreHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New()
		here, there := New(db), New(db)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- here.Run(ctx) }()
		synctest.Wait()
		is := func(rcpt, want string, wantErr error) {
			t.Helper()
			for range 2 { // cold and warm
				got, err := here.Resolve(ctx, addr(rcpt))
				if describe(got) != want || !errors.Is(err, wantErr) {
					t.Errorf("%s -> %q, %v; want %q, %v", rcpt, describe(got), err, want, wantErr)
				}
			}
		}
		is("ann@a.test", "", ErrNotLocal)
		if _, err := there.AddDomain(ctx, epoch, Domain{Name: "a.test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		is("ann@a.test", "", ErrNoUser)
		a, err := there.AddAccount(ctx, epoch, Account{Address: addr("ann@a.test")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		is("ann@a.test", "ann@a.test", nil)
		// One's own changes show at once.
		if err := here.DeleteAccount(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		is("ann@a.test", "", ErrNoUser)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if here.current.Load() != nil {
			t.Error("believes its memory though nobody watches")
		}
	})
}

func TestRunEndsWithStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New()
		d := New(db)
		done := make(chan error, 1)
		go func() { done <- d.Run(t.Context()) }()
		synctest.Wait()
		db.Close()
		if err := <-done; !errors.Is(err, kv.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestSecret(t *testing.T) {
	db := memkv.New()
	one, err := New(db).Secret(t.Context())
	if err != nil || len(one) != 32 {
		t.Fatalf("%x, %v", one, err)
	}
	two, err := New(db).Secret(t.Context())
	if err != nil || !slices.Equal(one, two) {
		t.Errorf("%x, then %x, %v", one, two, err)
	}
}

// A directory that has been brought back to an older state does not give out
// again what it has given out since.
func TestBroughtBack(t *testing.T) {
	ctx := t.Context()
	older, since := New(memkv.New()), New(memkv.New())
	given := make(map[mail.AccountID]bool)
	for _, d := range []*Directory{older, since} {
		if _, err := d.AddDomain(ctx, epoch, Domain{Name: "example.test"}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := d.AddAccount(ctx, epoch, Account{Address: addr(fmt.Sprintf("first%d@example.test", i))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 1000 { // all within a second
		a, err := since.AddAccount(ctx, epoch.Add(time.Hour), Account{Address: addr(fmt.Sprintf("later%d@example.test", i))})
		if err != nil {
			t.Fatal(err)
		}
		given[a.ID] = true
	}
	if len(given) != 1000 {
		t.Errorf("%d ids", len(given))
	}
	a, err := older.AddAccount(ctx, epoch.Add(time.Hour+time.Second), Account{Address: addr("new@example.test")})
	if err != nil || given[a.ID] {
		t.Errorf("id %v was another's, %v", a.ID, err)
	}
	// A clock that is wrong does no harm to those that come next.
	b, err := older.AddAccount(ctx, time.Time{}, Account{Address: addr("newer@example.test")})
	if err != nil || b.ID != a.ID+1 {
		t.Errorf("id %v after %v, %v", b.ID, a.ID, err)
	}
}
