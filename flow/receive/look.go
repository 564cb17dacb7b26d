package receive

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/dns"
	"waxwing/flow/policy"
	"waxwing/mail"
	"waxwing/trust/dnsbl"
)

// patience is how long the DNS may take, from when it is asked: what is not
// known by then is not known, and held against nobody.
const patience = 5 * time.Second

// maxNames is how many of the names of an address are looked at.
const maxNames = 5

// An answer is being looked up while the dialog goes on.
type answer[T any] struct {
	done  chan struct{}
	value T // once done is closed
}

// look begins to look something up.
func look[T any](v *Visit, find func(context.Context) T) *answer[T] {
	a := &answer[T]{done: make(chan struct{})}
	v.lookups.Go(func() {
		defer close(a.done)
		ctx, cancel := context.WithTimeout(v.ctx, patience)
		defer cancel()
		a.value = find(ctx)
	})
	return a
}

// wait gives what has been found out; the zero value where nothing is looked
// up, or ctx ends first.
func (a *answer[T]) wait(ctx context.Context) (value T) {
	if a == nil {
		return value
	}
	select {
	case <-a.done:
		return a.value
	case <-ctx.Done():
		return value
	}
}

// reverseName finds the name of an address that leads back to it.
func reverseName(ctx context.Context, r dns.Resolver, ip netip.Addr) policy.ReverseName {
	names, _, err := r.LookupPTR(ctx, ip)
	switch {
	case errors.Is(err, dns.ErrNotFound), err == nil && len(names) == 0:
		return policy.ReverseName{State: policy.NameMissing}
	case err != nil:
		return policy.ReverseName{}
	}
	known := true
	for _, name := range names[:min(len(names), maxNames)] {
		addrs, _, err := r.LookupFamily(ctx, name, dns.FamilyOf(ip)) // RFC 8601 §3
		if slices.Contains(addrs, ip) {
			return policy.ReverseName{State: policy.NameConfirmed, Name: strings.TrimSuffix(name, ".")}
		}
		known = known && (err == nil || errors.Is(err, dns.ErrNotFound))
	}
	if !known {
		return policy.ReverseName{}
	}
	return policy.ReverseName{State: policy.NameMismatch, Name: strings.TrimSuffix(names[0], ".")}
}

// noSuchName tells whether the DNS says that a name has neither addresses nor
// mail exchangers.
func noSuchName(ctx context.Context, r dns.Resolver, name string) bool {
	if _, _, err := r.LookupAddr(ctx, name); !errors.Is(err, dns.ErrNotFound) {
		return false
	}
	_, _, err := r.LookupMX(ctx, name)
	return errors.Is(err, dns.ErrNotFound)
}

// lookAtHost begins to look up what the DNS knows of the host. A proxy may have
// told its name.
func (v *Visit) lookAtHost(told string) {
	switch {
	case told != "":
		v.host.Name = policy.ReverseName{State: policy.NameConfirmed, Name: told}
	case v.r.o.Resolver != nil && policy.Public(v.host.Addr):
		v.name = look(v, func(ctx context.Context) policy.ReverseName {
			return reverseName(ctx, v.r.o.Resolver, v.host.Addr)
		})
	}
	if v.r.o.Lists.Any(false) && policy.Public(v.host.Addr) {
		v.lists = look(v, func(ctx context.Context) []dnsbl.Hit {
			return v.r.o.Lists.Address(ctx, v.host.Addr, time.Now())
		})
	}
}

// lookAtHello begins to look up what the host calls itself.
func (v *Visit) lookAtHello() {
	v.helloMissing = nil
	_, literal := mail.Address{Domain: v.host.Hello.Name}.Literal()
	if v.host.Hello.State != policy.HelloFine || literal || v.r.o.Resolver == nil || v.r.o.Rules.Hello == policy.Ignore ||
		!policy.Public(v.host.Addr) {
		return
	}
	name := v.host.Hello.Name
	v.helloMissing = look(v, func(ctx context.Context) bool { return noSuchName(ctx, v.r.o.Resolver, name) })
}

// lookAtSender begins to look up the sender's domain.
func (v *Visit) lookAtSender(from mail.Address) {
	v.senderLists = nil
	if _, literal := from.Literal(); literal || from.Domain == "" || !v.r.o.Lists.Any(true) || !policy.Public(v.host.Addr) {
		return
	}
	v.senderLists = look(v, func(ctx context.Context) []dnsbl.Hit {
		return v.r.o.Lists.Domain(ctx, from.Domain, time.Now())
	})
}

// gather waits for what has been asked, and brings the facts up to date.
func (v *Visit) gather(ctx context.Context) {
	if v.name != nil {
		v.host.Name = v.name.wait(ctx)
	}
	if v.helloMissing.wait(ctx) {
		v.host.Hello.State = policy.HelloNoSuchName
	}
	v.host.Lists = v.lists.wait(ctx)
	if v.host.Rule == nil && v.host.Name.State == policy.NameConfirmed {
		if rule, ok := v.r.o.Peers.RuleForDomain(v.host.Name.Name, time.Now()); ok {
			v.host.Rule = &rule
		}
	}
}
