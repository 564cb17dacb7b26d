package peers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// maxRules is how many rules there may be: they all are in memory.
const maxRules = 10_000

// Errors that callers branch on.
var (
	ErrNoRule    = errors.New("no such rule")
	ErrName      = errors.New("neither an address nor a network nor a domain")
	ErrTooMany   = errors.New("too many rules")
	ErrNotPaused = errors.New("sending is not paused")
)

// A Rule is what an administrator has said of a network or a domain.
type Rule struct {
	Name    string // as Canonical has it
	Allow   bool   // else it is blocked
	Reason  string
	Created time.Time
	Until   time.Time // zero for always
}

// standing is everything that administrators have said: it is replaced, never
// changed.
type standing struct {
	networks map[netip.Prefix]Rule
	bits     [2][]int // the lengths of prefixes that occur, longest first; for IPv4 and IPv6
	domains  map[string]Rule
	pauses   map[mail.AccountID]Pause
}

// The stored forms.
type ruleRecord struct {
	Allow   bool   `cbor:"1,keyasint,omitempty"`
	Reason  string `cbor:"2,keyasint,omitempty"`
	Created int64  `cbor:"3,keyasint,omitempty"`
	Until   int64  `cbor:"4,keyasint,omitempty"`
}

type pauseRecord struct {
	Reason string `cbor:"1,keyasint,omitempty"`
	Since  int64  `cbor:"2,keyasint,omitempty"`
}

const recordVersion = 1

func encodeRecord(v any) ([]byte, error) {
	b, err := cbor.Marshal(v)
	return append([]byte{recordVersion}, b...), err
}

func decodeRecord(b []byte, v any) error {
	if len(b) == 0 || b[0] != recordVersion {
		return errRow
	}
	return cbor.Unmarshal(b[1:], v)
}

// reload reads rules and pauses again.
func (s *Store) reload(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	return s.reread(ctx)
}

// reread is reload for those who hold changing.
func (s *Store) reread(ctx context.Context) error {
	next := &standing{networks: map[netip.Prefix]Rule{}, domains: map[string]Rule{}, pauses: map[mail.AccountID]Pause{}}
	err := s.db.View(ctx, keys.Peers, func(r kv.Reader) error {
		return errors.Join(
			each(r, keys.PeerRule, func(key, value []byte) error { return next.addRule(string(key), value) }),
			each(r, keys.PeerPause, next.addPause))
	})
	if err != nil {
		return fmt.Errorf("read what is said of peers: %w", err)
	}
	for i := range next.bits {
		slices.Sort(next.bits[i])
		next.bits[i] = slices.Compact(next.bits[i])
		slices.Reverse(next.bits[i])
	}
	s.standing.Store(next)
	return nil
}

// each calls fn with what follows a prefix in the keys.
func each(r kv.Reader, prefix byte, fn func(key, value []byte) error) error {
	for item, err := range r.Scan([]byte{prefix}, kv.PrefixEnd([]byte{prefix}), kv.ScanOptions{}) {
		if err == nil {
			err = fn(item.Key[1:], item.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *standing) addRule(name string, value []byte) error {
	var record ruleRecord
	if err := decodeRecord(value, &record); err != nil {
		return fmt.Errorf("rule %q: %w", name, err)
	}
	rule := Rule{Name: name, Allow: record.Allow, Reason: record.Reason, Created: fromUnix(record.Created), Until: fromUnix(record.Until)}
	network, domain, ok := Canonical(name)
	switch {
	case !ok:
		return fmt.Errorf("rule %q: %w", name, ErrName)
	case domain != "":
		n.domains[domain] = rule
	default:
		n.networks[network] = rule
		family := familyOf(network.Addr())
		n.bits[family] = append(n.bits[family], network.Bits())
	}
	return nil
}

func (n *standing) addPause(key, value []byte) error {
	var record pauseRecord
	if err := decodeRecord(value, &record); err != nil || len(key) != 8 {
		return fmt.Errorf("pause of account %x: %w", key, errRow)
	}
	id := mail.AccountID(binary.BigEndian.Uint64(key))
	n.pauses[id] = Pause{Account: id, Reason: record.Reason, Since: fromUnix(record.Since)}
	return nil
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func fromUnix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func toUnix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func (r Rule) holds(now time.Time) bool { return r.Until.IsZero() || now.Before(r.Until) }

// RuleForAddress gives what has been said of an address: the rule about the
// smallest network that it is in.
func (s *Store) RuleForAddress(a netip.Addr, now time.Time) (Rule, bool) {
	standing := s.standing.Load()
	if len(standing.networks) == 0 || !a.IsValid() {
		return Rule{}, false
	}
	a = a.Unmap().WithZone("")
	for _, bits := range standing.bits[familyOf(a)] {
		network, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if rule, ok := standing.networks[network]; ok && rule.holds(now) {
			return rule, true
		}
	}
	return Rule{}, false
}

// RuleForDomain gives what has been said of a domain: the rule about it, or
// about the nearest domain above it.
func (s *Store) RuleForDomain(domain string, now time.Time) (Rule, bool) {
	standing := s.standing.Load()
	if len(standing.domains) == 0 {
		return Rule{}, false
	}
	for domain = strings.ToLower(strings.TrimSuffix(domain, ".")); domain != ""; {
		if rule, ok := standing.domains[domain]; ok && rule.holds(now) {
			return rule, true
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return Rule{}, false
}

// Rules gives all rules that still hold, in the order of their names.
func (s *Store) Rules(now time.Time) []Rule {
	standing := s.standing.Load()
	var all []Rule
	for _, r := range standing.networks {
		all = append(all, r)
	}
	for _, r := range standing.domains {
		all = append(all, r)
	}
	all = slices.DeleteFunc(all, func(r Rule) bool { return !r.holds(now) })
	slices.SortFunc(all, func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// SetRule keeps a rule, in the place of an older one about the same. It fails
// with ErrName for a name that is none, and with ErrTooMany.
func (s *Store) SetRule(ctx context.Context, rule Rule) (Rule, error) {
	network, domain, ok := Canonical(rule.Name)
	if !ok {
		return Rule{}, ErrName
	}
	if rule.Name = domain; domain == "" {
		rule.Name = Name(network)
	}
	value, err := encodeRecord(ruleRecord{Allow: rule.Allow, Reason: rule.Reason, Created: toUnix(rule.Created), Until: toUnix(rule.Until)})
	if err != nil {
		return Rule{}, err
	}
	return rule, s.say(ctx, func(tx kv.Txn) error {
		n := 0
		for _, err := range tx.Scan([]byte{keys.PeerRule}, []byte{keys.PeerRule + 1}, kv.ScanOptions{KeysOnly: true}) {
			if err != nil {
				return err
			}
			n++
		}
		if n >= maxRules {
			return ErrTooMany
		}
		tx.Put(ruleKey(rule.Name), value)
		return nil
	})
}

// DeleteRule takes a rule back. It fails with ErrNoRule if there is none.
func (s *Store) DeleteRule(ctx context.Context, name string) error {
	network, domain, ok := Canonical(name)
	if !ok {
		return ErrName
	}
	if name = domain; domain == "" {
		name = Name(network)
	}
	return s.remove(ctx, ruleKey(name), ErrNoRule)
}

func ruleKey(name string) []byte { return append([]byte{keys.PeerRule}, name...) }

// purgeRules removes rules whose time is over.
func (s *Store) purgeRules(ctx context.Context, now time.Time) error {
	standing := s.standing.Load()
	over := func(r Rule) bool { return !r.holds(now) }
	var names []string
	for _, r := range standing.networks {
		if over(r) {
			names = append(names, r.Name)
		}
	}
	for _, r := range standing.domains {
		if over(r) {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return s.say(ctx, func(tx kv.Txn) error {
		for _, name := range names {
			value, err := tx.Get(ruleKey(name))
			if errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			var record ruleRecord
			if decodeRecord(value, &record) == nil && record.Until != 0 && !now.Before(fromUnix(record.Until)) {
				tx.Delete(ruleKey(name))
			}
		}
		return nil
	})
}

func (s *Store) remove(ctx context.Context, key []byte, missing error) error {
	return s.say(ctx, func(tx kv.Txn) error {
		if _, err := tx.Get(key); errors.Is(err, kv.ErrNotFound) {
			return missing
		} else if err != nil {
			return err
		}
		tx.Delete(key)
		return nil
	})
}

// say changes rules or pauses; when it returns nil that is durable and holds.
func (s *Store) say(ctx context.Context, fn func(kv.Txn) error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := kv.Apply(ctx, s.db, keys.Peers, fn); err != nil {
		return err
	}
	return s.reread(ctx)
}
