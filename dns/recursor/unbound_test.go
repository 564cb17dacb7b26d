package recursor_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/miekg/dns"

	"waxwing/dns"
	"waxwing/dns/recursor"
)

// The scripts in testdata/unbound are those of unbound's own tests of its
// validator (BSD licence, beside them): what the servers of a little internet
// answer, what is asked, and what is to come out.

// A play is one script.
type play struct {
	anchors []string
	now     time.Time
	hints   []netip.AddrPort
	forward []netip.AddrPort
	skip    string
	ranges  []scene
	steps   []playStep
}

// A scene says what one server answers from one step to another.
type scene struct {
	from, to int
	addrs    []netip.Addr
	entries  []*playEntry
}

type playEntry struct {
	match map[string]bool
	flags map[string]bool // of REPLY
	rcode int
	// sections are the answer, authority and additional ones.
	question wire.Question
	sections [3][]wire.RR
	copyName bool
}

type playStep struct {
	number  int
	kind    string
	entry   *playEntry
	elapsed time.Duration
}

// skipped are scripts about something that we do not have, or mean to do
// otherwise.
var skipped = map[string]string{
	"val_ta_algo_missing":    "wants signatures of all algorithms; RFC 6840 §5.11 has any one do",
	"val_scrub_rr_length":    "has records of a wrong length, which the library does not pass on",
	"val_rrsig":              "asks for signatures by themselves",
	"iter_dname_insec":       "begins in the middle",
	"iter_scrub_dname_insec": "begins in the middle",

	"val_anchor_nx_nosig": "has an anchor for a zone that is not there: insecure to unbound, bogus to us",
	"val_cnametooptin":    "has the proof of an unsigned zone in another answer only, and none for DS",
	"val_cnametooptout":   "has the proof of an unsigned zone in another answer only, and none for DS",
	"val_cnametonsec":     "has the proof of an unsigned zone in another answer only, and none for DS",
	"val_cnametoinsecure": "has a parent answer for an unsigned zone below it",
	"val_noadwhennodo":    "is about the bit AD in answers to clients",
	"val_faildnskey_ok":   "is about unbound's harden-dnssec-stripped",
	"val_dnametoolong":    "wants YXDOMAIN, which is a failure to us",
	"val_referd":          "asks for a referral",
	"val_referglue":       "asks for a referral",
	"val_refer_unsignadd": "asks for a referral",
	"val_cnameqtype":      "counts on what unbound keeps, which could not be asked for",
	"val_cnameqtype_qmin": "counts on what unbound keeps, which could not be asked for",
	"val_dnameqtype":      "wants the DNAMEs on the way to a DNAME",
	"val_dnameqtype_qmin": "wants the DNAMEs on the way to a DNAME",
}

func TestUnboundScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/unbound/*.rpl")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".rpl")
		t.Run(name, func(t *testing.T) {
			if why := skipped[name]; why != "" {
				t.Skip(why)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := readPlay(t, string(text))
			if slices.ContainsFunc(p.steps, func(s playStep) bool { return s.entry != nil && s.entry.question.Qtype == wire.TypeANY }) {
				p.skip = "asks for all types, which nobody here does"
			}
			if p.skip != "" {
				t.Skip(p.skip)
			}
			newKeys(t, p)
			synctest.Test(t, func(t *testing.T) { p.perform(t) })
		})
	}
}

// perform asks what the script asks, at the time when it plays.
func (p *play) perform(t *testing.T) {
	time.Sleep(time.Until(p.now))
	stage := &stage{play: p}
	o := recursor.Options{Hints: p.hints, Anchors: strings.Join(p.anchors, "\n"), Exchanger: stage}
	if len(p.anchors) == 0 {
		o.Anchors = recursor.NoAnchors
	}
	if len(p.forward) > 0 {
		o.Forward = map[string][]netip.AddrPort{".": p.forward}
	}
	r, err := recursor.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var asked *playEntry
	for _, s := range p.steps {
		stage.step = s.number
		switch s.kind {
		case "QUERY":
			asked = s.entry
		case "TIME_PASSES":
			time.Sleep(s.elapsed)
		case "CHECK_ANSWER":
			if asked.flags["CD"] {
				continue
			}
			stage.log = nil
			a, err := r.Resolve(t.Context(), wire.CanonicalName(asked.question.Name), asked.question.Qtype)
			if got, want := outcomeOf(a, err), s.entry.outcome(asked); got != want {
				t.Errorf("step %d, %s %s:\n got %s\nwant %s\nasked:\n%s", s.number, asked.question.Name, wire.Type(asked.question.Qtype),
					got, want, strings.Join(stage.log, "\n"))
				if a != nil {
					t.Logf("finding: %+v", a.Finding)
				}
			}
		}
	}
}

// outcomeOf and outcome say in the same words what came out, and what should.
func outcomeOf(a *dns.Answer, err error) string {
	if err != nil || a.Finding.Security == dns.Bogus {
		return "SERVFAIL"
	}
	rcode := "NOERROR"
	if a.NoName {
		rcode = "NXDOMAIN"
	}
	security := "insecure"
	if a.Finding.Security == dns.Secure {
		security = "secure"
	}
	return fmt.Sprintf("%s %s %s", rcode, security, content(a.Records))
}

func (e *playEntry) outcome(asked *playEntry) string {
	if e.rcode == wire.RcodeServerFailure {
		return "SERVFAIL"
	}
	security := "insecure"
	if e.flags["AD"] {
		security = "secure"
	}
	var records []wire.RR
	for _, rr := range e.sections[0] {
		if rr.Header().Rrtype == asked.question.Qtype {
			records = append(records, rr)
		}
	}
	return fmt.Sprintf("%s %s %s", wire.RcodeToString[e.rcode], security, content(records))
}

func content(records []wire.RR) string {
	var all []string
	for _, rr := range records {
		all = append(all, strings.ToLower(rr.Header().Name+strings.TrimPrefix(rr.String(), rr.Header().String())))
	}
	slices.Sort(all)
	return strings.Join(all, ";")
}

// A stage is the network as the script has it.
type stage struct {
	play *play
	step int
	log  []string
}

func (s *stage) Exchange(_ context.Context, server netip.AddrPort, q *wire.Msg, overTCP bool) (*wire.Msg, error) {
	s.log = append(s.log, fmt.Sprintf("  %s %s %s", server.Addr(), q.Question[0].Name, wire.Type(q.Question[0].Qtype)))
	for _, scene := range s.play.ranges {
		if s.step < scene.from || s.step > scene.to || !slices.Contains(scene.addrs, server.Addr()) {
			continue
		}
		for _, e := range scene.entries {
			if e.matches(q.Question[0], overTCP) {
				return e.reply(q), nil
			}
		}
	}
	return nil, errors.New("nobody answers")
}

func (e *playEntry) matches(q wire.Question, overTCP bool) bool {
	switch {
	case e.match["qtype"] && e.question.Qtype != q.Qtype,
		e.match["qname"] && !strings.EqualFold(e.question.Name, q.Name),
		e.match["subdomain"] && !wire.IsSubDomain(e.question.Name, q.Name),
		e.match["TCP"] && !overTCP, e.match["UDP"] && overTCP:
		return false
	}
	return true
}

func (e *playEntry) reply(q *wire.Msg) *wire.Msg {
	m := new(wire.Msg)
	m.SetReply(q)
	m.Rcode = e.rcode
	m.Authoritative, m.Truncated = e.flags["AA"], e.flags["TC"]
	m.Answer, m.Ns, m.Extra = e.sections[0], e.sections[1], e.sections[2]
	return m
}

// readPlay reads a script.
func readPlay(t *testing.T, text string) *play {
	p := &play{now: time.Date(2007, 9, 16, 13, 42, 26, 0, time.UTC)}
	config, script, ok := strings.Cut(text, "CONFIG_END")
	if !ok {
		t.Fatal("no CONFIG_END")
	}
	p.readConfig(t, config)
	var lines []string
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, ";")
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	for i := 0; i < len(lines); i++ {
		f := strings.Fields(lines[i])
		switch f[0] {
		case "RANGE_BEGIN":
			s := scene{from: number(t, f[1]), to: number(t, f[2])}
			for i++; lines[i] != "RANGE_END"; i++ {
				switch f := strings.Fields(lines[i]); f[0] {
				case "ADDRESS":
					s.addrs = append(s.addrs, netip.MustParseAddr(f[1]))
				case "ENTRY_BEGIN":
					var e *playEntry
					e, i = readEntry(t, lines, i+1)
					s.entries = append(s.entries, e)
				}
			}
			p.ranges = append(p.ranges, s)
		case "STEP":
			s := playStep{number: number(t, f[1]), kind: f[2]}
			if s.kind == "TIME_PASSES" {
				seconds, err := strconv.ParseFloat(f[len(f)-1], 64)
				if err != nil {
					t.Fatal(err)
				}
				s.elapsed = time.Duration(seconds * float64(time.Second))
			}
			if i+1 < len(lines) && lines[i+1] == "ENTRY_BEGIN" {
				s.entry, i = readEntry(t, lines, i+2)
			}
			p.steps = append(p.steps, s)
		}
	}
	return p
}

func (p *play) readConfig(t *testing.T, config string) {
	zone, section := "", ""
	for line := range strings.Lines(config) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, ";") || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if strings.HasPrefix(value, `"`) {
			value, _, _ = strings.Cut(value[1:], `"`)
		} else {
			value, _, _ = strings.Cut(value, "#")
			value = strings.TrimSpace(value)
		}
		switch key {
		case "server", "stub-zone", "forward-zone", "auth-zone":
			section = key
		case "trust-anchor":
			p.anchors = append(p.anchors, value)
		case "val-override-date":
			at, err := time.Parse("20060102150405", value)
			if err != nil {
				p.skip = "plays at no certain time"
			}
			p.now = at
		case "name":
			zone = value
			if zone != "." {
				p.skip = "has servers of its own for " + zone
			}
		case "stub-addr", "forward-addr":
			addr, err := netip.ParseAddr(value)
			if err != nil {
				t.Fatal(err)
			}
			if section == "stub-zone" {
				p.hints = append(p.hints, netip.AddrPortFrom(addr, 53))
			} else {
				p.forward = append(p.forward, netip.AddrPortFrom(addr, 53))
			}
		case "domain-insecure", "module-config", "serve-expired", "local-zone", "val-nsec3-keysize-iterations", "max-global-quota":
			p.skip = "is about unbound's " + key
		}
	}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// readEntry reads a message, from the line after ENTRY_BEGIN on. It gives the
// line of ENTRY_END.
func readEntry(t *testing.T, lines []string, i int) (*playEntry, int) {
	e := &playEntry{match: make(map[string]bool), flags: make(map[string]bool)}
	section := -1
	for ; lines[i] != "ENTRY_END"; i++ {
		f := strings.Fields(lines[i])
		switch f[0] {
		case "MATCH":
			for _, w := range f[1:] {
				e.match[w] = true
			}
		case "ADJUST":
			e.copyName = slices.Contains(f, "copy_query")
		case "REPLY":
			for _, w := range f[1:] {
				e.flags[w] = true
				if rcode, ok := wire.StringToRcode[w]; ok {
					e.rcode = rcode
				}
			}
		case "SECTION":
			section = slices.Index([]string{"ANSWER", "AUTHORITY", "ADDITIONAL"}, f[1])
		default:
			if section < 0 {
				e.question = wire.Question{Name: wire.Fqdn(f[0]), Qtype: wire.StringToType[f[len(f)-1]], Qclass: wire.ClassINET}
				continue
			}
			rr, err := wire.NewRR("$TTL 3600\n$ORIGIN .\n" + lines[i])
			if err != nil {
				t.Skipf("a record that cannot be read: %v", err)
			}
			switch rr := rr.(type) { // the library wants types in order
			case *wire.NSEC:
				slices.Sort(rr.TypeBitMap)
			case *wire.NSEC3:
				slices.Sort(rr.TypeBitMap)
			}
			if rr != nil {
				e.sections[section] = append(e.sections[section], rr)
			}
		}
	}
	e.gather()
	return e, i
}

// gather brings signatures to their records: unbound looks for them in all
// sections, and some scripts have them in another one.
func (e *playEntry) gather() {
	home := func(sig *wire.RRSIG) int {
		for i, s := range e.sections {
			if len(setOf(s, sig)) > 0 {
				return i
			}
		}
		return -1
	}
	var sections [3][]wire.RR
	for i, s := range e.sections {
		for _, rr := range s {
			to := i
			if sig, ok := rr.(*wire.RRSIG); ok && len(setOf(s, sig)) == 0 {
				to = max(home(sig), 0)
			}
			sections[to] = append(sections[to], rr)
		}
	}
	e.sections = sections
}
