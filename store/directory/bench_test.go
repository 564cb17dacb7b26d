package directory

import (
	"fmt"
	"testing"

	"waxwing/mail"
	"waxwing/store/kv/memkv"
)

// One Resolve for each RCPT, in a directory of a hundred thousand accounts.
func BenchmarkResolve(b *testing.B) {
	const accounts = 100_000
	d := New(memkv.New())
	for _, name := range []string{"example.test", "bücher.test"} {
		if _, err := d.AddDomain(b.Context(), epoch, Domain{Name: name}); err != nil {
			b.Fatal(err)
		}
	}
	some := make([]mail.Address, accounts)
	for i := range some {
		some[i] = addr(fmt.Sprintf("user%d@example.test", i))
		if _, err := d.AddAccount(b.Context(), epoch, Account{Address: some[i]}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := d.AddAlias(b.Context(), epoch, Alias{Address: addr("info@bücher.test"), Targets: some[:3]}); err != nil {
		b.Fatal(err)
	}
	run := func(name string, rcpt func(i int) mail.Address) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				d.Resolve(b.Context(), rcpt(i))
			}
		})
	}
	each := func(i int) mail.Address { return some[i*7919%accounts] }
	run("unwatched", each)
	watched(b, d)
	for _, a := range some {
		if _, err := d.Resolve(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	run("warm", each)
	run("one", func(int) mail.Address { return some[0] })
	run("detail", func(int) mail.Address { return addr("user1+x@example.test") })
	run("alias", func(int) mail.Address { return addr("info@bücher.test") })
	run("nobody", func(int) mail.Address { return addr("nobody@example.test") })
	run("not local", func(int) mail.Address { return addr("a@elsewhere.test") })
}
