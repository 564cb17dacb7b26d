package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Limits of one expansion, and of the targets of one alias.
const (
	maxDepth      = 10   // aliases that lead to aliases
	maxRecipients = 2000 // names met on the way, recipients among them
)

// Resolve tells where the mail for an address goes. Aliases and groups are
// followed to their ends, each account and each foreign address comes once.
// What a name in the domain does not take goes to the domain's catch-all;
// mail for postmaster and abuse that would then go nowhere, to the first
// admin account. RFC 5321 §4.5.1, RFC 2142 §4
//
// A bare "postmaster" without domain is ours too. Fails with ErrNotLocal,
// ErrNoUser or ErrTooMany.
func (d *Directory) Resolve(ctx context.Context, rcpt mail.Address) (Route, error) {
	var route Route
	err := d.ask(ctx, func(l lookup) (err error) {
		route, err = l.expand(rcpt, everybody)
		return err
	})
	return route, err
}

// MaySendAs tells whether an account may put an address into reverse-paths
// and From fields: its own, with any detail, and every other whose mail comes
// to it without passing through a group. RFC 6409 §6.1
func (d *Directory) MaySendAs(ctx context.Context, account mail.AccountID, from mail.Address) (bool, error) {
	var route Route
	err := d.ask(ctx, func(l lookup) (err error) {
		route, err = l.expand(from, notGroups)
		return err
	})
	switch {
	case errors.Is(err, ErrNotLocal), errors.Is(err, ErrNoUser), errors.Is(err, ErrTooMany):
		return false, nil
	case err != nil:
		return false, err
	}
	return slices.ContainsFunc(route.Accounts, func(t Target) bool { return t.Account == account }), nil
}

// How far expand follows aliases.
type reach bool

const (
	everybody reach = true
	notGroups reach = false
)

// A hop is an address on the way.
type hop struct {
	written mail.Address // as the peer or the alias has it
	name    mail.Address // folded
	detail  string       // of an earlier hop
}

// expand follows an address to where its mail goes.
func (l lookup) expand(rcpt mail.Address, whom reach) (Route, error) {
	e := expansion{lookup: l, whom: whom}
	return e.run(rcpt)
}

// An expansion follows one address, level by level, so that each level costs
// one round trip at most.
type expansion struct {
	lookup
	whom     reach
	route    Route
	next     []hop
	seen     map[mail.Address]struct{}   // folded, what has been in next
	accounts map[mail.AccountID]struct{} // in route, once they are many
}

func (e *expansion) run(rcpt mail.Address) (Route, error) {
	level := []hop{{written: rcpt, name: fold(rcpt)}}
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxDepth {
			return Route{}, fmt.Errorf("%s: %w", rcpt, ErrTooMany)
		}
		if err := e.warmHops(level); err != nil {
			return Route{}, err
		}
		e.next = nil
		for _, h := range level {
			if err := e.follow(h, depth == 0); err != nil {
				return Route{}, err
			}
		}
		level = e.next
	}
	if len(e.route.Accounts) == 0 && len(e.route.Forwards) == 0 {
		return Route{}, ErrNoUser
	}
	return e.route, nil
}

// follow adds to the route where a hop ends, or goes on to where it leads.
func (e *expansion) follow(h hop, first bool) error {
	if h.name == (mail.Address{Local: "postmaster"}) { // RFC 5321 §4.1.1.3
		return e.toAdmin()
	}
	domain, err := e.domain(h.name.Domain)
	switch {
	case err != nil:
		return err
	case domain == nil && first:
		return ErrNotLocal
	case domain == nil:
		e.route.Forwards = append(e.route.Forwards, h.written)
		return nil
	}
	n, at, err := e.behind(h.name)
	if err != nil {
		return err
	}
	detail := h.detail
	if n != nil && at != h.name {
		_, detail, _ = cutDetail(h.written.Local)
	}
	switch {
	case n == nil && !domain.CatchAll.IsNull():
		return e.goOn(h, "", domain.CatchAll)
	case n == nil && (h.name.Local == "postmaster" || h.name.Local == "abuse"):
		return e.toAdmin()
	case n == nil:
		return nil
	case n.Alias == nil:
		e.arrive(Target{Account: n.Account, Address: n.Address, Detail: detail})
		return nil
	case n.Alias.Group && e.whom == notGroups:
		return nil
	}
	return e.goOn(h, detail, n.Alias.Targets...)
}

// goOn puts addresses that have not been met before on the next level.
func (e *expansion) goOn(from hop, detail string, to ...mail.Address) error {
	if e.seen == nil {
		e.seen = map[mail.Address]struct{}{from.name: {}}
	}
	for _, a := range to {
		name := fold(a)
		if _, was := e.seen[name]; was {
			continue
		}
		e.seen[name] = struct{}{}
		if len(e.seen) > maxRecipients+1 {
			return fmt.Errorf("%s: %w", from.written, ErrTooMany)
		}
		e.next = append(e.next, hop{written: a, name: name, detail: detail})
	}
	return nil
}

// arrive adds an account to the route unless it is there.
func (e *expansion) arrive(t Target) {
	const few = 8
	if len(e.route.Accounts) < few {
		if slices.ContainsFunc(e.route.Accounts, func(o Target) bool { return o.Account == t.Account }) {
			return
		}
	} else {
		if e.accounts == nil {
			e.accounts = make(map[mail.AccountID]struct{})
			for _, o := range e.route.Accounts {
				e.accounts[o.Account] = struct{}{}
			}
		}
		if _, was := e.accounts[t.Account]; was {
			return
		}
		e.accounts[t.Account] = struct{}{}
	}
	e.route.Accounts = append(e.route.Accounts, t)
}

// behind gives what a folded address of one of our domains stands for, and
// the name under which it was found: the address itself, or without its
// detail. RFC 5233 §4
func (l lookup) behind(name mail.Address) (*nameRecord, mail.Address, error) {
	n, err := l.name(name)
	if err != nil || n != nil {
		return n, name, err
	}
	user, _, ok := cutDetail(name.Local)
	if !ok {
		return nil, name, nil
	}
	name.Local = user
	n, err = l.name(name)
	return n, name, err
}

func (l lookup) warmHops(level []hop) error {
	if l.reader == nil || len(level) < 2 {
		return nil
	}
	names := make([]mail.Address, 0, 2*len(level))
	for _, h := range level {
		names = appendNames(names, h.name)
	}
	return l.warm(names)
}

// toAdmin ends at the first admin account, if there is one.
func (e *expansion) toAdmin() error {
	n, known := e.cache.names.get(mail.Address{})
	if !known {
		if e.reader == nil {
			return errCold
		}
		var err error
		if n, err = firstAdmin(e.reader); err != nil {
			return err
		}
		e.cache.names.put(mail.Address{}, n)
	}
	if n != nil {
		e.arrive(Target{Account: n.Account, Address: n.Address})
	}
	return nil
}

// firstAdmin gives the admin account with the lowest ID, nil if there is none.
func firstAdmin(r kv.Reader) (*nameRecord, error) {
	prefix := []byte{keys.DirAdmin}
	for item, err := range r.Scan(prefix, kv.PrefixEnd(prefix), kv.ScanOptions{Limit: 1, KeysOnly: true}) {
		if err != nil {
			return nil, err
		}
		a, err := getAccount(r, idOf(item.Key))
		if err != nil {
			return nil, err
		}
		return &nameRecord{Account: a.ID, Address: a.Address}, nil
	}
	return nil, nil
}
