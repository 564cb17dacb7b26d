// Package dnsbl asks lists of hosts and domains that are published in the DNS:
// block lists, and allow lists. RFC 5782
//
// A list says with 127.0.0.0/8 addresses what it holds of somebody; which of
// them count is configured as patterns. Lists go wrong: some that have closed
// list everybody, some answer those who ask too much with a code of their own.
// So each is tested with the entries that it must and must not have, and one
// that fails is not believed until it passes again.
//
// What weight a list has in a decision is for others to say.
package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"waxwing/dns"
)

// A List is one list.
type List struct {
	// Zone is where it is published, such as "zen.example.org".
	Zone string
	// Domains says that it lists domains; else it lists addresses.
	Domains bool
	// Codes are the answers that count; without any, all of 127.0.0.0/8 do.
	Codes []Code
	// Weight is what being listed counts for.
	Weight int
	// Allow says that it lists those who are to be trusted.
	Allow bool
}

// A Hit is a list that holds somebody.
type Hit struct {
	List   List
	Answer netip.Addr // the first one that counted
	About  string     // the address or domain that is listed
}

// String says who is listed where, for the log.
func (h Hit) String() string {
	return fmt.Sprintf("%s is listed by %s (%s)", h.About, h.List.Zone, h.Answer)
}

// A Code is a pattern for answers: four parts with dots between them, of which
// each is a number, a range ("2-11"), "*", or "&" and bits that have to be set
// ("&4"). RFC 5782 §2.3 has lists that use bits.
type Code struct {
	parts [4]part
	text  string
}

// A part matches one octet.
type part struct {
	low, high, mask byte // mask is not zero where bits count
}

// ParseCode reads a Code.
func ParseCode(s string) (Code, error) {
	c := Code{text: s}
	fields := strings.Split(s, ".")
	if len(fields) != 4 {
		return Code{}, fmt.Errorf("%q is not an answer of a list, such as \"127.0.0.2\" or \"127.0.0.2-11\"", s)
	}
	for i, field := range fields {
		var err error
		if c.parts[i], err = parsePart(field); err != nil {
			return Code{}, fmt.Errorf("%q: %q is neither a number nor a range such as \"2-11\" nor \"*\" nor bits such as \"&4\"", s, field)
		}
	}
	return c, nil
}

func parsePart(s string) (part, error) {
	if s == "*" {
		return part{high: 255}, nil
	}
	if bits, ok := strings.CutPrefix(s, "&"); ok {
		n, err := strconv.ParseUint(bits, 10, 8)
		if n == 0 && err == nil {
			err = strconv.ErrRange
		}
		return part{mask: byte(n)}, err
	}
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	low, err := strconv.ParseUint(from, 10, 8)
	high, highErr := strconv.ParseUint(to, 10, 8)
	if err == nil && highErr == nil && high < low {
		err = strconv.ErrRange
	}
	return part{low: byte(low), high: byte(high)}, errors.Join(err, highErr)
}

// String gives the pattern as it was written.
func (c Code) String() string { return c.text }

func (c Code) matches(a netip.Addr) bool {
	for i, octet := range a.As4() {
		p := c.parts[i]
		if p.mask != 0 && octet&p.mask == 0 || p.mask == 0 && (octet < p.low || octet > p.high) {
			return false
		}
	}
	return true
}

// How long it is believed how a list has stood its test.
const (
	healthyLasts = time.Hour
	brokenLasts  = 10 * time.Minute
	unknownLasts = time.Minute
)

// A Checker asks lists. It is safe for concurrent use.
type Checker struct {
	resolver dns.Resolver
	lists    []*watched
	broken   func(l List, why error) // told when a list turns bad; may be nil
}

// A watched list is one with how it has stood its test.
type watched struct {
	List
	mu      sync.Mutex // guards what follows; held during a test, for which others wait
	until   time.Time
	healthy bool
}

// New makes a Checker. Broken, which may be nil, is told of lists that fail
// their test.
func New(resolver dns.Resolver, lists []List, broken func(List, error)) *Checker {
	c := &Checker{resolver: resolver, broken: broken}
	for _, l := range lists {
		c.lists = append(c.lists, &watched{List: l})
	}
	return c
}

// Any tells whether there are lists of addresses, or of domains.
func (c *Checker) Any(domains bool) bool {
	return c != nil && slices.ContainsFunc(c.lists, func(w *watched) bool { return w.Domains == domains })
}

// Address gives the lists that hold an address. What cannot be found out before
// ctx ends is as if it were not listed.
func (c *Checker) Address(ctx context.Context, a netip.Addr, now time.Time) []Hit {
	return c.ask(ctx, false, reversed(a), a.String(), now)
}

// Domain gives the lists that hold a domain.
func (c *Checker) Domain(ctx context.Context, domain string, now time.Time) []Hit {
	return c.ask(ctx, true, domain, domain, now)
}

// ask asks all lists of a kind at once.
func (c *Checker) ask(ctx context.Context, domains bool, name, about string, now time.Time) []Hit {
	var (
		asking sync.WaitGroup
		hits   = make([]*Hit, len(c.lists))
	)
	for i, w := range c.lists {
		if w.Domains != domains {
			continue
		}
		asking.Go(func() {
			if w.isBroken(now) {
				return
			}
			answer, err := c.listed(ctx, w, name, now)
			if err == nil && answer.IsValid() && c.stands(ctx, w, now) {
				hits[i] = &Hit{List: w.List, Answer: answer, About: about}
			}
		})
	}
	asking.Wait()
	var found []Hit
	for _, h := range hits {
		if h != nil {
			found = append(found, *h)
		}
	}
	return found
}

// errRefused is what a list says that does not answer us: a code that lists use
// for those who ask too much, or through a public resolver.
var errRefused = errors.New("list refuses to answer")

// errors of lists stand in this network, by the custom of the large ones.
var refusals = netip.MustParsePrefix("127.255.255.0/24")

// answers are where the values of lists lie. RFC 5782 §2.3
var answers = netip.MustParsePrefix("127.0.0.0/8")

// listed gives the answer of a list that counts; the zero Addr for none.
func (c *Checker) listed(ctx context.Context, w *watched, name string, now time.Time) (netip.Addr, error) {
	all, _, err := c.resolver.LookupFamily(ctx, strings.TrimSuffix(name, ".")+"."+w.Zone, dns.IPv4) // RFC 5782 §2.1
	if err != nil {
		if errors.Is(err, dns.ErrNotFound) {
			err = nil
		}
		return netip.Addr{}, err
	}
	for _, a := range all {
		if refusals.Contains(a) {
			w.mu.Lock()
			defer w.mu.Unlock()
			c.fail(w, now, brokenLasts, fmt.Errorf("%w: %s", errRefused, a))
			return netip.Addr{}, errRefused
		}
	}
	for _, a := range all {
		if !answers.Contains(a) {
			continue // a parked domain points to a web server
		}
		if len(w.Codes) == 0 || slices.ContainsFunc(w.Codes, func(code Code) bool { return code.matches(a) }) {
			return a, nil
		}
	}
	return netip.Addr{}, nil
}

// stands tells whether a list can be believed. It is asked only about lists
// that hold somebody: an empty answer does no harm.
func (c *Checker) stands(ctx context.Context, w *watched, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Before(w.until) {
		return w.healthy
	}
	// RFC 5782 §5
	must, mustNot := "2.0.0.127", "1.0.0.127"
	if w.Domains {
		must, mustNot = "test", "invalid"
	}
	there, err := c.holds(ctx, w, must)
	everybody, err2 := c.holds(ctx, w, mustNot)
	switch err := errors.Join(err, err2); {
	case err != nil:
		w.healthy, w.until = false, now.Add(unknownLasts)
	case everybody:
		c.fail(w, now, brokenLasts, fmt.Errorf("it lists %s.%s, which no list may", mustNot, w.Zone))
	case !there:
		c.fail(w, now, brokenLasts, fmt.Errorf("it lacks %s.%s, which every list must have", must, w.Zone))
	default:
		w.healthy, w.until = true, now.Add(healthyLasts)
	}
	return w.healthy
}

// isBroken tells whether a list has failed its test lately, so that there is
// nothing to ask it.
func (w *watched) isBroken(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.healthy && now.Before(w.until)
}

// holds tells whether a list has any entry for a name.
func (c *Checker) holds(ctx context.Context, w *watched, name string) (bool, error) {
	all, _, err := c.resolver.LookupFamily(ctx, name+"."+w.Zone, dns.IPv4)
	if errors.Is(err, dns.ErrNotFound) {
		return false, nil
	}
	return len(all) > 0, err
}

// fail notes that a list is not to be believed, and tells of it once. w.mu is
// held.
func (c *Checker) fail(w *watched, now time.Time, lasts time.Duration, why error) {
	if (w.healthy || w.until.IsZero() || now.After(w.until)) && c.broken != nil {
		c.broken(w.List, why)
	}
	w.healthy, w.until = false, now.Add(lasts)
}

// reversed gives an address as lists have it: octets, or nibbles of IPv6,
// backwards. RFC 5782 §2.1, §2.4
func reversed(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	var parts []string
	if a.Is4() {
		for _, octet := range a.As4() {
			parts = append(parts, strconv.Itoa(int(octet)))
		}
	} else {
		for _, octet := range a.As16() {
			parts = append(parts, strconv.FormatUint(uint64(octet>>4), 16), strconv.FormatUint(uint64(octet&15), 16))
		}
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}
