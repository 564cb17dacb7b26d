package report

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"waxwing/format/aggregate"
	"waxwing/store/reports"
	"waxwing/test/engine"
)

// What a host is, and what to do about it, in words.
func TestWords(t *testing.T) {
	own := func(result string) aggregate.DKIM {
		return aggregate.DKIM{Domain: "example.org", Selector: "s1", Result: result}
	}
	foreign := aggregate.DKIM{Domain: "news.example.net", Selector: "x", Result: "pass"}
	for what, tt := range map[string]struct {
		ours    bool
		records []aggregate.Record
		want    string
	}{
		"ours":          {true, []aggregate.Record{{Count: 1, DKIM: true}}, "this server; all is well"},
		"ours, broken":  {true, []aggregate.Record{{Count: 1, AuthDKIM: []aggregate.DKIM{own("fail")}}}, "this server; its signatures are not good"},
		"ours, bare":    {true, []aggregate.Record{{Count: 1}, {Count: 5, SPF: true}}, "this server; not all of its mail is proven"},
		"signs":         {false, []aggregate.Record{{Count: 1, DKIM: true}, {Count: 5, DKIM: true, SPF: true}}, "proven to be yours by its signatures"},
		"SPF alone":     {false, []aggregate.Record{{Count: 1, SPF: true}}, "proven to be yours by SPF alone"},
		"both":          {false, []aggregate.Record{{Count: 1, SPF: true}, {Count: 1, DKIM: true}}, "proven to be yours"},
		"mostly":        {false, []aggregate.Record{{Count: 1}, {Count: 99, DKIM: true}}, "mostly proven"},
		"a list":        {false, []aggregate.Record{{Count: 1, Reasons: []aggregate.Reason{{Type: "mailing_list"}}}}, "forwards mail, or is a mailing list"},
		"arc":           {false, []aggregate.Record{{Count: 1, Reasons: []aggregate.Reason{{Type: "local_policy", Comment: "arc=pass"}}}}, "forwards mail, or is a mailing list"},
		"broken":        {false, []aggregate.Record{{Count: 1, AuthDKIM: []aggregate.DKIM{own("permerror")}}}, "carries signatures of yours that are not good (s1 of example.org)"},
		"partly broken": {false, []aggregate.Record{{Count: 1, AuthDKIM: []aggregate.DKIM{own("fail")}}, {Count: 1, DKIM: true}}, "partly proven; some mail is changed"},
		"a service":     {false, []aggregate.Record{{Count: 1, AuthDKIM: []aggregate.DKIM{foreign}}}, "sends in your name, proven only to be news.example.net: if you let it"},
		"a forger":      {false, []aggregate.Record{{Count: 1}}, "nothing proves that this is you"},
		"mixed":         {false, []aggregate.Record{{Count: 1}, {Count: 1, SPF: true}}, "partly proven: something there"},
	} {
		h := &Host{Ours: tt.ours}
		for _, r := range tt.records {
			h.add("example.org", r)
		}
		if got := h.words("example.org"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// What is said of a domain as a whole.
func TestAdvice(t *testing.T) {
	const forger, ours, list, service = "192.0.2.66", "192.0.2.25", "192.0.2.70", "192.0.2.80"
	for what, tt := range map[string]struct {
		p     string
		hosts map[string]aggregate.Record
		want  string
	}{
		"few":         {"none", map[string]aggregate.Record{ours: {Count: 3, DKIM: true}}, "too few"},
		"ready":       {"none", map[string]aggregate.Record{ours: {Count: 99, DKIM: true}}, "can become p=quarantine"},
		"forged":      {"none", map[string]aggregate.Record{ours: {Count: 99, DKIM: true}, forger: {Count: 50}}, "can become p=quarantine|50 messages had nothing"},
		"not ready":   {"none", map[string]aggregate.Record{ours: {Count: 50, DKIM: true}, service: {Count: 50, AuthSPF: []aggregate.SPF{{Domain: "x.example", Result: "pass"}}}}, "Find out who these are, and have those that are yours sign as example.org: 192.0.2.80|Keep p=none"},
		"stricter":    {"quarantine", map[string]aggregate.Record{ours: {Count: 99, DKIM: true}, list: {Count: 1, Reasons: []aggregate.Reason{{Type: "mailing_list"}}}}, "can become p=reject"},
		"our fault":   {"quarantine", map[string]aggregate.Record{ours: {Count: 99}}, "99 messages of this server"},
		"all is well": {"reject", map[string]aggregate.Record{ours: {Count: 99, DKIM: true}, forger: {Count: 999, Disposition: aggregate.Reject}}, ""},
	} {
		s := &summing{Summary: Summary{Domain: "example.org"}, reporters: map[string]*Reporter{}, sources: map[netip.Addr]*Host{}}
		r := &aggregate.Report{Policy: aggregate.Policy{P: tt.p}}
		for ip, record := range tt.hosts {
			record.Source = netip.MustParseAddr(ip)
			r.Records = append(r.Records, record)
		}
		s.add(reports.Report{Domain: "example.org", To: time.Unix(1, 0)}, r)
		got := s.end(func(ip netip.Addr) bool { return ip.String() == ours }).Advice
		var want []string
		if tt.want != "" {
			want = strings.Split(tt.want, "|")
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q", what, got)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: %q", what, got)
			}
		}
	}
}

// Many reports about several domains add up.
func TestSummarise(t *testing.T) {
	db := engine.New(t)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	store := reports.New(db, reports.Options{})
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i := range 120 {
		r := &aggregate.Report{Policy: aggregate.Policy{P: "none"}, Records: []aggregate.Record{
			{Source: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Count: uint64(i + 1), DKIM: true},
			{Source: netip.MustParseAddr("198.51.100.1"), Count: 1000, Disposition: aggregate.Quarantine},
		}}
		data, err := packReport(r)
		if err != nil {
			t.Fatal(err)
		}
		err = store.Keep(t.Context(), reports.Report{
			Kind: reports.DMARC, Domain: fmt.Sprintf("d%d.example", i%2), From: now.Add(-24 * time.Hour), To: now, Org: fmt.Sprint("org", i%3), ID: fmt.Sprint(i),
			Received: now, Data: data,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := Summarise(t.Context(), store, "", now.Add(-time.Hour), func(netip.Addr) bool { return false })
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	one := all[0]
	if one.Domain != "d0.example" || one.Reports != 60 || one.Total != (Counts{Messages: 60*1000 + 3600, Passed: 3600, DKIM: 3600, Quarantined: 60000}) ||
		len(one.Sources) != 50 || one.More != 11 || one.Sources[0].Messages != 60000 || len(one.Reporters) != 3 || one.Reporters[0].Reports != 20 {
		t.Errorf("%+v", one)
	}
	if all, err := Summarise(t.Context(), store, "d1.example", now.Add(time.Hour), nil); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}
