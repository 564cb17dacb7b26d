package policy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/flow/policy"
	"waxwing/mail"
	"waxwing/store/peers"
	"waxwing/trust/dnsbl"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func counts(of ...any) (c peers.Counts) {
	for i := 0; i < len(of); i += 2 {
		c[of[i].(peers.Kind)] = float64(of[i+1].(int))
	}
	return c
}

// stranger is a host about which nothing is known that speaks against it.
func stranger(change ...func(*policy.Host)) policy.Host {
	h := policy.Host{
		Addr: netip.MustParseAddr("192.0.2.7"), Name: policy.ReverseName{State: policy.NameConfirmed, Name: "mx.a.example"},
		Hello: policy.Hello{Name: "mx.a.example"},
	}
	for _, fn := range change {
		fn(&h)
	}
	return h
}

func with(of ...any) func(*policy.Host) {
	return func(h *policy.Host) { h.Peer.Counts = counts(of...) }
}

func nameless(h *policy.Host)   { h.Name = policy.ReverseName{State: policy.NameMissing} }
func unresolved(h *policy.Host) { h.Name = policy.ReverseName{} }
func allowed(h *policy.Host)    { h.Rule = &peers.Rule{Name: "192.0.2.7", Allow: true} }
func blocked(h *policy.Host)    { h.Rule = &peers.Rule{Name: "192.0.2.7", Reason: "spam"} }
func early(h *policy.Host)      { h.Early = true }
func local(h *policy.Host)      { h.Addr = netip.MustParseAddr("127.0.0.1") }
func private(h *policy.Host)    { h.Addr = netip.MustParseAddr("10.1.2.3") }
func impostor(h *policy.Host)   { h.Hello.State = policy.HelloOurs }

func listed(zones ...string) func(*policy.Host) {
	return func(h *policy.Host) { h.Lists = hits("192.0.2.7", zones...) }
}

func hits(about string, zones ...string) (all []dnsbl.Hit) {
	for _, z := range zones {
		all = append(all, dnsbl.Hit{
			List: dnsbl.List{Zone: z, Weight: 2, Allow: strings.HasPrefix(z, "allow")}, About: about, Answer: netip.MustParseAddr("127.0.0.2"),
		})
	}
	return all
}

func rules(change ...func(*policy.Rules)) policy.Rules {
	r := policy.Defaults()
	r.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, fn := range change {
		fn(&r)
	}
	return r
}

// says gives a verdict in short.
func says(v policy.Verdict) string {
	if v.Refusal == nil {
		return "yes"
	}
	s := v.Refusal.Reply().String()
	return strings.Join(strings.Fields(s)[:2], " ")
}

func TestConnect(t *testing.T) {
	for name, tt := range map[string]struct {
		host  policy.Host
		want  string
		delay time.Duration
	}{
		"a stranger waits":          {stranger(), "yes", 2 * time.Second},
		"a known one does not":      {stranger(with(peers.Delivered, 5)), "yes", 0},
		"one that guesses does":     {stranger(with(peers.Delivered, 5, peers.Unknown, 20)), "yes", 2 * time.Second},
		"one that sends spam does":  {stranger(with(peers.Delivered, 5, peers.Spam, 4)), "yes", 2 * time.Second},
		"allowed":                   {stranger(allowed, with(peers.Connections, 1000)), "yes", 0},
		"trusted":                   {stranger(local, blocked, with(peers.Connections, 1000)), "yes", 0},
		"blocked":                   {stranger(blocked), "554 5.7.1", 0},
		"too many connections":      {stranger(with(peers.Connections, 301)), "421 4.7.0", 0},
		"as many as it may":         {stranger(with(peers.Connections, 300, peers.Delivered, 9)), "yes", 0},
		"too many guesses":          {stranger(with(peers.Unknown, 101)), "421 4.7.0", 0},
		"guesses among many others": {stranger(with(peers.Unknown, 101, peers.Messages, 400, peers.Delivered, 400)), "yes", 0},
	} {
		v := rules().Connect(tt.host)
		if says(v) != tt.want || v.Delay != tt.delay {
			t.Errorf("%s: %s after %v, want %s after %v", name, says(v), v.Delay, tt.want, tt.delay)
		}
	}
	for _, tt := range []struct {
		host policy.Host
		want string
	}{{stranger(early), "554 5.5.1"}, {stranger(early, local), "yes"}, {stranger(), "yes"}} {
		if got := says(rules().Early(tt.host)); got != tt.want {
			t.Errorf("early: %s, want %s", got, tt.want)
		}
	}
}

func TestMail(t *testing.T) {
	for name, tt := range map[string]struct {
		host policy.Host
		want string
	}{
		"few":                 {stranger(with(peers.Messages, 10)), "yes"},
		"too many messages":   {stranger(with(peers.Messages, 10_001)), "451 4.7.1"},
		"too many recipients": {stranger(with(peers.Recipients, 50_001)), "451 4.7.1"},
		"allowed":             {stranger(allowed, with(peers.Messages, 10_001)), "yes"},
		"trusted":             {stranger(local, with(peers.Messages, 10_001)), "yes"},
	} {
		if got := says(rules().Mail(tt.host)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestRcpt(t *testing.T) {
	ann, bob := mail.Address{Local: "ann", Domain: "a.example"}, mail.Address{Local: "bob", Domain: "example.test"}
	to := func(change ...func(*policy.Transaction)) policy.Transaction {
		tx := policy.Transaction{From: ann, To: bob, Exists: true}
		for _, fn := range change {
			fn(&tx)
		}
		return tx
	}
	null := func(tx *policy.Transaction) { tx.From = mail.Address{} }
	second := func(tx *policy.Transaction) { tx.Recipients = 1 }
	postmaster := func(tx *policy.Transaction) { tx.To.Local = "Postmaster" }
	badSender := func(tx *policy.Transaction) { tx.SenderRule = &peers.Rule{Name: "a.example"} }
	sentBy := func(zones ...string) func(*policy.Transaction) {
		return func(tx *policy.Transaction) { tx.SenderLists = hits("a.example", zones...) }
	}
	asked := func(ago time.Duration) func(*policy.Transaction) {
		return func(tx *policy.Transaction) { tx.GreyAsked, tx.GreyFirst = true, now.Add(-ago) }
	}
	passed := func(tx *policy.Transaction) { tx.GreyAsked, tx.GreyFirst, tx.GreyPassed = true, now, true }
	unknown := func(tx *policy.Transaction) { tx.Exists = false }
	writtenTo := func(tx *policy.Transaction) { tx.WrittenTo = true }
	neighbours := func(h *policy.Host) { h.Near.Counts = counts(peers.Passed, 3) }

	strict := rules(func(r *policy.Rules) { r.ReverseName, r.Hello = policy.Refuse, policy.Refuse })
	lax := rules(func(r *policy.Rules) { r.ReverseName, r.Hello, r.ListScore = policy.Ignore, policy.Ignore, 0 })
	all := rules(func(r *policy.Rules) { r.Greylist = policy.GreyStrangers })
	heavy := rules(func(r *policy.Rules) { r.ListScore = 3 })

	for name, tt := range map[string]struct {
		rules policy.Rules
		host  policy.Host
		tx    policy.Transaction
		want  string
		delay time.Duration
		came  bool
	}{
		"a stranger":                    {rules(), stranger(), to(), "yes", 0, false},
		"a notification":                {rules(), stranger(), to(null), "yes", 0, false},
		"a notification to two":         {rules(), stranger(), to(null, second), "452 4.5.3", 0, false},
		"two recipients":                {rules(), stranger(), to(second), "yes", 0, false},
		"a guesser waits":               {rules(), stranger(with(peers.Unknown, 11)), to(unknown), "yes", 1200 * time.Millisecond, false},
		"... for good recipients too":   {rules(), stranger(with(peers.Unknown, 11)), to(), "yes", 1200 * time.Millisecond, false},
		"... not for ever":              {rules(), stranger(with(peers.Unknown, 90)), to(), "yes", 20 * time.Second, false},
		"... and has to go":             {rules(), stranger(with(peers.Unknown, 101)), to(), "421 4.7.0", 0, false},
		"... unless it is allowed":      {rules(), stranger(allowed, with(peers.Unknown, 101)), to(), "yes", 0, false},
		"blocked by name":               {rules(), stranger(blocked), to(), "550 5.7.1", 0, false},
		"... postmaster hears it":       {rules(), stranger(blocked), to(postmaster), "yes", 0, false},
		"blocked sender":                {rules(), stranger(), to(badSender), "550 5.7.1", 0, false},
		"... from an allowed host":      {rules(), stranger(allowed), to(badSender), "yes", 0, false},
		"on a list":                     {rules(), stranger(listed("bl")), to(), "550 5.7.1", 0, false},
		"... and nobody cares":          {lax, stranger(listed("bl")), to(), "yes", 0, false},
		"... and on an allow list":      {rules(), stranger(listed("bl", "allow")), to(), "yes", 0, false},
		"... and it is not enough":      {heavy, stranger(listed("bl")), to(), "yes", 0, false},
		"... but two are":               {heavy, stranger(listed("bl", "bl2")), to(), "550 5.7.1", 0, false},
		"... or one and the sender's":   {heavy, stranger(listed("bl")), to(sentBy("dbl")), "550 5.7.1", 0, false},
		"... and postmaster":            {rules(), stranger(listed("bl")), to(postmaster), "yes", 0, false},
		"no name":                       {strict, stranger(nameless), to(), "550 5.7.25", 0, false},
		"no answer about the name":      {strict, stranger(unresolved), to(), "yes", 0, false},
		"our name":                      {strict, stranger(impostor), to(), "550 5.7.1", 0, false},
		"... where that may be":         {lax, stranger(impostor, nameless), to(asked(0)), "yes", 0, false},
		"suspicious, not asked yet":     {rules(), stranger(nameless), to(), "yes", 0, false},
		"suspicious":                    {rules(), stranger(nameless), to(asked(0)), "451 4.7.1", 0, false},
		"... too soon":                  {rules(), stranger(nameless), to(asked(239 * time.Second)), "451 4.7.1", 0, false},
		"... back in time":              {rules(), stranger(nameless), to(asked(4 * time.Minute)), "yes", 0, true},
		"... has passed before":         {rules(), stranger(nameless), to(passed), "yes", 0, true},
		"... with a history":            {rules(), stranger(nameless, with(peers.Delivered, 5)), to(asked(0)), "yes", 0, false},
		"... from a known network":      {rules(), stranger(nameless, neighbours), to(asked(0)), "yes", 0, false},
		"... from a private network":    {rules(), stranger(nameless, private), to(asked(0)), "yes", 0, false},
		"... is answered":               {rules(), stranger(nameless), to(asked(0), writtenTo), "yes", 0, false},
		"... to one who does not exist": {rules(), stranger(nameless), to(asked(0), unknown), "yes", 0, false},
		"... for its logins":            {rules(), stranger(with(peers.FailedLogins, 6)), to(asked(0)), "451 4.7.1", 0, false},
		"not suspicious":                {rules(), stranger(), to(asked(0)), "yes", 0, false},
		"all strangers":                 {all, stranger(), to(asked(0)), "451 4.7.1", 0, false},
		"trusted":                       {strict, stranger(local, nameless, impostor, listed("bl"), blocked, with(peers.Unknown, 1000)), to(null, second, asked(0)), "yes", 0, false},
	} {
		v := tt.rules.Rcpt(tt.host, tt.tx, now)
		if says(v) != tt.want || v.Delay.Round(time.Millisecond) != tt.delay || v.Came != tt.came {
			t.Errorf("%s: %s after %v, %v; want %s after %v", name, says(v), v.Delay, v.Came, tt.want, tt.delay)
		}
		if v.Refusal != nil && v.Refusal.Err == nil {
			t.Errorf("%s: no reason for the log", name)
		}
	}
}

func TestCheckHello(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.25")
	for name, want := range map[string]policy.HelloState{
		"mx.a.example": policy.HelloFine, "MX.A.Example.": policy.HelloFine, "[192.0.2.7]": policy.HelloFine,
		"[IPv6:2001:db8::1]": policy.HelloFine, "[192.0.2.25]": policy.HelloOurs, "MX.Example.test": policy.HelloOurs,
		"192.0.2.7": policy.HelloBareIP, "2001:db8::1": policy.HelloBareIP, "localhost": policy.HelloMalformed, "friend": policy.HelloMalformed,
		"a..b": policy.HelloMalformed, "(oops)": policy.HelloMalformed, "[oops]": policy.HelloMalformed, "": policy.HelloMalformed,
		"my_pc.a.example": policy.HelloFine, "192.0.2.0/24": policy.HelloMalformed,
	} {
		if got := policy.CheckHello(name, at, "mx.example.test"); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}

func TestSubmit(t *testing.T) {
	account := func(recipients int, of ...any) policy.Account {
		return policy.Account{Addr: netip.MustParseAddr("192.0.2.7"), Peer: peers.Peer{Counts: counts(of...)}, Recipients: recipients}
	}
	paused := account(1)
	paused.Paused = &peers.Pause{Reason: "an administrator said so"}
	trusted := account(5000, peers.Messages, 5000, peers.SentToday, 9999)
	trusted.Addr = netip.MustParseAddr("::1")
	trustedPaused := paused
	trustedPaused.Addr = trusted.Addr
	for name, tt := range map[string]struct {
		account policy.Account
		want    string
		pause   bool
	}{
		"a few":                            {account(3), "yes", false},
		"the last of an hour":              {account(1, peers.Messages, 499), "yes", false},
		"too many messages":                {account(1, peers.Messages, 500), "451 4.7.1", false},
		"too many recipients":              {account(1, peers.Recipients, 1000, peers.SentToday, 200), "451 4.7.1", false},
		"too many in a day":                {account(1, peers.SentToday, 3000, peers.SentUsually, 20_000), "451 4.7.1", false},
		"suddenly many":                    {account(1, peers.SentToday, 500, peers.SentUsually, 510), "450 4.7.1", true},
		"... in one message":               {account(501), "450 4.7.1", true},
		"... as ever":                      {account(1, peers.SentToday, 600, peers.SentUsually, 2000), "yes", false},
		"... more than it ever did by far": {account(1, peers.SentToday, 2000, peers.SentUsually, 4000), "450 4.7.1", true},
		"paused":                           {paused, "450 4.7.1", false},
		"trusted":                          {trusted, "yes", false},
		"trusted, but paused":              {trustedPaused, "450 4.7.1", false},
	} {
		v := rules().Submit(tt.account, now)
		if says(v) != tt.want || (v.Pause != "") != tt.pause {
			t.Errorf("%s: %s, pause %q; want %s", name, says(v), v.Pause, tt.want)
		}
	}
}
