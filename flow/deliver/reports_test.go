package deliver_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/proto/smtp"
	"waxwing/store/directory"
	"waxwing/store/reports"
	"waxwing/test/engine"
	"waxwing/test/house"
)

// Mail to an address for reports waits to be read, whether the address leads to
// somebody or not; people get it besides.
func TestReportAddresses(t *testing.T) {
	h := house.New(t)
	db := engine.New(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	store := reports.New(db, reports.Options{MaxMail: 6 * 60 << 10})
	d := deliver.New(h.Directory, h.Mailboxes, h.Queue, h.Blobs, deliver.Options{
		Hostname: house.Hostname, Reports: store, ReportsTo: []string{"dmarc-reports", "tls-reports"},
	})
	h.Alias("tls-reports@example.test", "bob@example.test")
	send := func(text string, to ...string) error {
		t.Helper()
		var all []deliver.Recipient
		for _, address := range to {
			r, err := d.Resolve(t.Context(), mail.Recipient{Address: house.Address(address)})
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		a, err := deliver.Stage(t.Context(), h.Blobs, time.Now(), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		a.Results = "mx; dmarc=pass"
		return errors.Join(d.Deliver(t.Context(), time.Now(), a, mail.Envelope{From: house.Address("x@elsewhere.example")}, nil, all), a.Close())
	}
	if err := send("Subject: 1\r\n\r\n", "DMARC-reports@example.test"); err != nil {
		t.Fatal(err)
	}
	if err := send("Subject: 2\r\n\r\n", "tls-reports@example.test", "alice@example.test"); err != nil {
		t.Fatal(err)
	}
	if err := send("Subject: 3\r\n\r\n", "alice@example.test"); err != nil {
		t.Fatal(err)
	}
	if len(h.Inbox(h.Bob)) != 1 || len(h.Inbox(h.Alice)) != 2 || len(h.Queued()) != 0 {
		t.Errorf("%d, %d, %d", len(h.Inbox(h.Bob)), len(h.Inbox(h.Alice)), len(h.Queued()))
	}
	var got []string
	for after := uint64(0); ; {
		m, text, err := store.Next(t.Context(), after)
		if errors.Is(err, reports.ErrNone) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		after = m.ID
		got = append(got, m.To+" "+m.From+" "+m.Results+" "+string(text))
	}
	if s := strings.Join(got, "|"); len(got) != 2 || !strings.Contains(s, "DMARC-reports@example.test x@elsewhere.example mx; dmarc=pass Subject: 1") ||
		!strings.Contains(s, "tls-reports@example.test x@elsewhere.example mx; dmarc=pass Subject: 2") {
		t.Error(s)
	}

	// Too many, and nobody has got it: the sender comes again.
	if err := send("Subject: 4\r\n\r\n"+strings.Repeat("x", 200<<10), "tls-reports@example.test"); !temporary(err) {
		t.Error(err)
	}
	if len(h.Inbox(h.Bob)) != 1 {
		t.Error("it has come in part")
	}
	// Too large for a program; people get it.
	large := "Subject: 5\r\n\r\n" + strings.Repeat("x\r\n", reports.MaxSize/3)
	if err := send(large, "dmarc-reports@example.test"); err == nil || temporary(err) {
		t.Error(err)
	}
	if err := send(large, "tls-reports@example.test"); err != nil || len(h.Inbox(h.Bob)) != 2 {
		t.Error(err)
	}
	if err := send("", "nobody@example.test"); err == nil {
		t.Error("an unknown address is taken")
	}
	r, err := d.Resolve(t.Context(), mail.Recipient{Address: house.Address("dmarc-reports@elsewhere.example")})
	if err != nil || r.Reports || r.Local() {
		t.Errorf("%+v, %v", r, err)
	}
	if deliver.ForReports(nil) || deliver.ForReports([]deliver.Recipient{{Reports: true}, {Route: directory.Route{}}}) || !deliver.ForReports([]deliver.Recipient{{Reports: true}}) {
		t.Error("what is for reports")
	}
}

func temporary(err error) bool {
	refusal, ok := errors.AsType[*smtp.Refusal](err)
	return ok && refusal.Temporary()
}
