package directory

import (
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// What is damaged is told in these words; what is derived is mended.
func TestVerify(t *testing.T) {
	const first = mail.AccountID(idRate) // of the account, which is made at the first second
	ann := mail.Address{Local: "ann", Domain: "example.org"}
	info := mail.Address{Local: "info", Domain: "example.org"}
	for name, tt := range map[string]struct {
		damage func(kv.Txn)
		want   string
		left   int // findings that a person must see to
	}{
		"nothing":      {func(kv.Txn) {}, "", 0},
		"name":         {func(tx kv.Txn) { tx.Delete(nameKey(ann)) }, "account ann@example.org is not found by its name", 0},
		"bare name":    {func(tx kv.Txn) { tx.Delete(bareKey("ann", "example.org")) }, "account ann@example.org is not found by its name", 0},
		"name damaged": {func(tx kv.Txn) { tx.Put(nameKey(ann), []byte("x")) }, "what ann@example.org stands for cannot be read", 0},
		"account":      {func(tx kv.Txn) { tx.Put(idKey(keys.DirAccount, first), []byte("x")) }, "the record of account " + first.String() + " cannot be read", 1},
		"domain":       {func(tx kv.Txn) { tx.Put(domainKey("example.org"), []byte("x")) }, "the record of domain example.org cannot be read", 0},
		"no domain":    {func(tx kv.Txn) { tx.Delete(domainKey("example.org")) }, "account ann@example.org is in a domain that is not one of ours", 1},
		"next":         {func(tx kv.Txn) { tx.Delete(metaKey("next")) }, "the number of the next account is not above all that there are", 0},
		"admin":        {func(tx kv.Txn) { tx.Delete(idKey(keys.DirAdmin, first)) }, "account ann@example.org is an admin's by its record or by the list of admins, but not by both", 0},
		"pointer":      {func(tx kv.Txn) { tx.Delete(pointerKey(ann, info)) }, "info@example.org leads to ann@example.org, and that does not know it", 0},
		"old pointer": {func(tx kv.Txn) { tx.Put(pointerKey(ann, mail.Address{Local: "x", Domain: "example.org"}), nil) },
			"something is said to be led to by x@example.org, which is gone", 0},
		"alias to nowhere": {func(tx kv.Txn) {
			_ = put(tx, nameKey(info), nameRecord{Alias: &Alias{Address: info, Targets: []mail.Address{{Local: "who", Domain: "example.org"}}}})
		}, "alias info@example.org leads nowhere", 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			db := memkv.New()
			defer db.Close()
			d := New(db)
			if _, err := d.AddDomain(ctx, time.Now(), Domain{Name: "example.org"}); err != nil {
				t.Fatal(err)
			}
			if _, err := d.AddAccount(ctx, time.Unix(1, 0), Account{Address: ann, Admin: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := d.AddAlias(ctx, time.Now(), Alias{Address: info, Targets: []mail.Address{ann}}); err != nil {
				t.Fatal(err)
			}
			if err := kv.Apply(ctx, db, keys.Directory, func(tx kv.Txn) error { tt.damage(tx); return nil }); err != nil {
				t.Fatal(err)
			}
			check := func(repair bool) (list []Finding) {
				t.Helper()
				if err := d.Verify(ctx, repair, func(f Finding) { list = append(list, f) }); err != nil {
					t.Fatal(err)
				}
				return list
			}
			said := check(false)
			if (tt.want == "") != (len(said) == 0) || tt.want != "" && !slices.ContainsFunc(said, func(f Finding) bool { return strings.Contains(f.What, tt.want) }) {
				t.Errorf("said %+v", said)
			}
			for range 3 { // one mend may bring another to light
				check(true)
			}
			if left := check(false); (len(left) > 0) != (tt.left > 0) {
				t.Errorf("left %+v", left)
			}
		})
	}
}
