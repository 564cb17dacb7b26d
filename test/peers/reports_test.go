//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/dns"
	"waxwing/dns/dnstest"
	"waxwing/serve/adminapi"
	"waxwing/store/kv/pebblekv"
	"waxwing/store/reports"
	"waxwing/test/engine"
	"waxwing/test/system"
)

// A day's mail at one server becomes a report to the domain that it claims to
// be from, whose server verifies it, reads it and tells what it says.
func TestDMARCReports(t *testing.T) {
	if engine.URL(t) != "" {
		t.Skip("the day is moved in the store's files")
	}
	zone := dnstest.Zone{
		TXT: map[string][]string{
			"sender.test":         {"v=spf1 ip4:127.0.0.1 -all"},
			"_dmarc.sender.test":  {"v=DMARC1; p=quarantine; rua=mailto:dmarc-reports@sender.test,mailto:reports@elsewhere.test"},
			"_dmarc.example.test": {"v=DMARC1; p=reject"},
		},
		MX: map[string][]dns.MX{"sender.test": {{Host: "mail.sender.test"}}},
		A:  map[string][]string{"mail.sender.test": {"127.0.0.1"}},
	}
	ours, _ := published(t, zone)
	theirs := bench{t, system.Start(t, "--hostname", "mail.sender.test", "--resolver", dnstest.Serve(t, zone)), t.TempDir()} // sees our keys
	theirs.run(theirs.Program(), "domain", "add", "sender.test", "--dir", theirs.Dir)

	for i, from := range []string{"ann@sender.test", "ann@sender.test", "eve@forger.test"} {
		ours.run("swaks", "--server", "127.0.0.1", "--port", fmt.Sprint(ours.Port(25)), "--helo", "mail.sender.test", "--from", from, "--to", system.Alice,
			"--h-From", "Ann <ann@sender.test>", "--h-Subject", fmt.Sprint("message ", i))
	}
	ours.Stop() // what is counted is written
	twoDaysAgo(t, ours.Dir)
	ours.Waxwing = system.StartIn(t, ours.Dir, "--resolver", dnstest.Serve(t, zone), "--smtp-out-port", fmt.Sprint(theirs.Port(25)))

	var sent []adminapi.SentReport
	ours.eventually("a report that was sent", func() bool {
		sent = nil
		out := ours.run(ours.Program(), "report", "sent", "--since", "5d", "--json", "--dir", ours.Dir)
		return json.Unmarshal([]byte(out), &sent) == nil && len(sent) > 1 && sent[0].Ended != nil // it may just be going
	})
	for _, wanted := range []string{
		"not sent to reports@elsewhere.test: its domain has no record sender.test._report._dmarc.elsewhere.test", "sent to dmarc-reports@sender.test",
	} {
		theirs.contains(sent[0].Outcome, wanted)
	}

	var all []adminapi.DMARCSummary
	theirs.eventually("a report that was read", func() bool {
		all = nil
		out := theirs.run(theirs.Program(), "report", "dmarc", "--json", "--dir", theirs.Dir)
		return json.Unmarshal([]byte(out), &all) == nil && len(all) == 1
	})
	got := all[0]
	if got.Domain != "sender.test" || got.Reports != 1 || got.Policy != "quarantine" || got.Total != (adminapi.DMARCCounts{Messages: 3, Passed: 2, SPF: 2, Quarantined: 1}) ||
		len(got.Reporters) != 1 || got.Reporters[0].Proven != system.Domain || len(got.Sources) != 1 || got.Sources[0].Address != "127.0.0.1" {
		t.Errorf("%+v", got)
	}
	theirs.contains(theirs.run(theirs.Program(), "report", "dmarc", "--dir", theirs.Dir), "sender.test", "3 messages, 67% proven to be yours", "127.0.0.1", "What to do:")
	if out := theirs.run(theirs.Program(), "queue", "list", "--dir", theirs.Dir); strings.Contains(out, "report") {
		t.Errorf("a report has caused something:\n%s", out)
	}
}

// twoDaysAgo moves what was counted today to a day that is over.
func twoDaysAgo(t *testing.T, dir string) {
	t.Helper()
	db, err := pebblekv.Open(filepath.Join(dir, "store"), pebblekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Now()
	store := reports.New(db, reports.Options{})
	waiting, err := store.Waiting(t.Context(), reports.DMARC, reports.DayOf(now)+1)
	if err != nil || len(waiting) == 0 {
		t.Fatalf("%v is counted, %v", waiting, err)
	}
	for _, subject := range waiting { // two, if it is midnight
		g, err := store.Gathered(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range g.Rows {
			store.Count(now.Add(-48*time.Hour), reports.DMARC, subject.Domain, g.About, row.Data, row.Count)
		}
		if err := store.End(t.Context(), now, subject, "moved"); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
