package recursor

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/dnssec"
)

// A task is what one question may still cost, with all the questions inside
// it. One goroutine uses it.
type task struct {
	r         *Resolver
	now       time.Time
	exchanges int // that may still be made
	names     int // of servers that may still be looked up
	depth     int
	work      *dnssec.Work
	// looking has the servers' names that are being looked up, so that zones
	// that wait for each other are noticed.
	looking map[string]bool
	// avoid has servers whose answers were bogus; others are asked first.
	avoid map[netip.AddrPort]bool
	say   func(format string, args ...any)
}

func (r *Resolver) newTask(now time.Time, say func(format string, args ...any)) *task {
	if say == nil {
		say = func(string, ...any) {}
	}
	return &task{
		r: r, now: now, exchanges: maxExchanges, names: maxServerNames, work: dnssec.NewWork(),
		looking: make(map[string]bool), avoid: make(map[netip.AddrPort]bool), say: say,
	}
}

func (t *task) check() *dnssec.Check {
	return &dnssec.Check{Now: t.now, Work: t.work, SHA1: t.r.options.SHA1}
}

var (
	errSpent = errors.New("the question takes too many queries")
	errDeep  = errors.New("the servers' names lead too deep")
)

// failed makes the error of a question that has no answer.
func failed(name string, qtype uint16, code uint16, format string, args ...any) error {
	return &dns.Error{
		Name: name, Type: wire.Type(qtype).String(), Detail: fmt.Sprintf(format, args...), Code: code, Err: dns.ErrTemporary,
	}
}
