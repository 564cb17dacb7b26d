package report_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/flow/report"
	"waxwing/store/reports"
	"waxwing/trust/tlsrpt"
)

func zipped(t *testing.T, name string, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(data)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// attached makes a mail with attachments of some types.
func attached(list ...[2]string) string {
	var b strings.Builder
	b.WriteString("From: a@b.example\r\nSubject: report\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHello.\r\n")
	for _, one := range list {
		fmt.Fprintf(&b, "--x\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n", one[0], base64.StdEncoding.EncodeToString([]byte(one[1])))
	}
	b.WriteString("--x--\r\n")
	return b.String()
}

// Reports are found however they are packed and called.
func TestDocuments(t *testing.T) {
	const xml, json = "<?xml version=\"1.0\"?><feedback/>", "\xef\xbb\xbf {\"organization-name\":\"x\"}"
	bomb := [2]string{"application/gzip", gzipped(t, strings.Repeat("\x00", 2<<20))}
	many := make([][2]string, 60)
	for i := range many {
		many[i] = [2]string{"text/plain", xml}
	}
	for what, tt := range map[string]struct {
		mail string
		want int
		bad  bool
	}{
		"gzip":              {attached([2]string{"application/gzip", gzipped(t, xml)}), 1, false},
		"another type":      {attached([2]string{"application/octet-stream; name=x.xml.gz", gzipped(t, xml)}), 1, false},
		"zip":               {attached([2]string{"application/x-zip-compressed", zipped(t, "a.xml", []byte(xml))}), 1, false},
		"gzip in zip":       {attached([2]string{"application/zip", zipped(t, "a.xml.gz", []byte(gzipped(t, xml)))}), 1, false},
		"plain":             {attached([2]string{"text/xml", xml}), 1, false},
		"two":               {attached([2]string{"application/gzip", gzipped(t, xml)}, [2]string{"application/tlsrpt+gzip", gzipped(t, json)}), 2, false},
		"as the body":       {"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(gzipped(t, xml))), 1, false},
		"something else":    {attached([2]string{"application/pdf", "%PDF"}, [2]string{"application/gzip", gzipped(t, "hello")}), 0, false},
		"forwarded":         {attached([2]string{"message/rfc822", "Content-Type: text/xml\r\n\r\n" + xml}), 0, false},
		"a bomb":            {attached(bomb), 0, true},
		"a bomb and one":    {attached(bomb, [2]string{"text/xml", xml}), 1, true},
		"many":              {attached(many...), 20, true},
		"nothing":           {"", 0, false},
		"feedback":          {"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n--x--\r\n", 1, false},
		"cut in the middle": {attached([2]string{"application/gzip", gzipped(t, xml)[:20]}), 0, true},
	} {
		files, err := report.Documents([]byte(tt.mail))
		if len(files) != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s: %d files, %v", what, len(files), err)
		}
	}
}

// So are those in the published messages.
func TestPublishedMessages(t *testing.T) {
	for name, id := range map[string]string{"rpt01.eml": "5065427c-23d3-47ca-b6e0-946ea0e8c4be", "rpt02.eml": "2020-01-01T00:00:00Z_example.com"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "trust", "tlsrpt", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files, err := report.Documents(text)
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %d reports, %v", name, len(files), err)
		}
		if r, err := tlsrpt.ParseReport(files[0].Data); err != nil || r.ID != id {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(attached([2]string{"text/xml", "<feedback>"})))
	f.Add([]byte("Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n--x--\r\n"))
	f.Fuzz(func(t *testing.T, mail []byte) {
		files, _ := report.Documents(mail)
		if len(files) > 20 {
			t.Errorf("%d files", len(files))
		}
	})
}

func takeMail(t *testing.T, s *reports.Store, at time.Time, results, text string) {
	t.Helper()
	m := reports.Mail{Message: "id", Received: at, From: "a@b.example", To: "dmarc-reports@example.test", Results: results, Size: int64(len(text))}
	if err := s.Take(t.Context(), m, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// waiting counts the mail that waits.
func waiting(t *testing.T, s *reports.Store) (n int) {
	t.Helper()
	for after := uint64(0); ; n++ {
		m, _, err := s.Next(t.Context(), after)
		if errors.Is(err, reports.ErrNone) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		after = m.ID
	}
}

// What is proven of a mail decides whether it is believed.
func TestDeskBelieves(t *testing.T) {
	for results, want := range map[string]string{
		"": "-",
		"mx.example.test; dmarc=pass header.from=B.example":                                          "b.example",
		"mx.example.test; dkim=pass header.d=c.example; dmarc=none header.from=b.example":            "c.example",
		"mx.example.test; dkim=fail header.d=c.example; spf=none smtp.mailfrom=a@b.example":          "-",
		"mx.example.test; dkim=pass header.d=c.example; dmarc=fail (p=reject) header.from=b.example": "not read",
		"other.example; dmarc=fail header.from=b.example":                                            "-",
	} {
		s, got := openStore(t), "not read"
		desk := report.NewDesk(s, report.Readers{XML: func(_ context.Context, _ time.Time, d report.Document) (string, error) {
			if got = d.Proven; got == "" {
				got = "-"
			}
			return "read", nil
		}}, report.DeskOptions{Holder: "a", Server: "mx.example.test"})
		takeMail(t, s, noon, results, attached([2]string{"text/xml", "<feedback/>"}))
		if err := desk.Turn(t.Context(), noon); err != nil || got != want || waiting(t, s) != 0 {
			t.Errorf("%s: %s, want %s; %v", results, got, want, err)
		}
	}
}

// What cannot be read for now waits, does not keep others waiting, and is given
// up in the end; what ends the server is given up soon.
func TestDeskTrouble(t *testing.T) {
	s := openStore(t)
	trouble := errors.New("the DNS does not answer")
	var read []string
	bad := map[string]error{"<feedback>1": trouble, "<feedback>2": report.ErrUnread}
	desk := report.NewDesk(s, report.Readers{XML: func(_ context.Context, _ time.Time, d report.Document) (string, error) {
		read = append(read, string(d.Text))
		return "read", bad[string(d.Text)]
	}}, report.DeskOptions{Holder: "a", Server: "mx.example.test"})
	for i := range 4 {
		takeMail(t, s, noon.Add(time.Duration(i)*time.Second), "", attached([2]string{"text/xml", fmt.Sprint("<feedback>", i)}))
	}
	for range 10 {
		if err := desk.Turn(t.Context(), noon.Add(time.Minute)); !errors.Is(err, trouble) {
			t.Error(err)
		}
	}
	if got := strings.Join(read, " "); waiting(t, s) != 1 || !strings.HasPrefix(got, "<feedback>0 <feedback>1 <feedback>2 <feedback>3 <feedback>1 <feedback>1") {
		t.Error(got)
	}
	if err := desk.Turn(t.Context(), noon.Add(4*24*time.Hour)); err != nil || waiting(t, s) != 0 {
		t.Error(err)
	}

	takeMail(t, s, noon, "", attached([2]string{"text/xml", "<feedback>0"}))
	m, _, err := s.Next(t.Context(), 0)
	if err == nil {
		err = s.SetTries(t.Context(), m.ID, 3)
	}
	if err != nil {
		t.Fatal(err)
	}
	read = nil
	if err := desk.Turn(t.Context(), noon); err != nil || waiting(t, s) != 0 || read != nil {
		t.Error(read, err)
	}
}

// One server reads; another takes over when that has not been heard of.
func TestDeskTurns(t *testing.T) {
	s := openStore(t)
	n := 0
	readers := report.Readers{XML: func(context.Context, time.Time, report.Document) (string, error) { n++; return "", nil }}
	takeMail(t, s, time.Now(), "", attached([2]string{"text/xml", "<feedback>"}))
	if ours, err := s.Lease(t.Context(), time.Now(), "desk", "another", time.Now().Add(time.Hour)); err != nil || !ours {
		t.Fatal(err)
	}
	desk := report.NewDesk(s, readers, report.DeskOptions{Holder: "a"})
	if err := desk.Turn(t.Context(), time.Now()); err != nil || n != 0 {
		t.Error(n, err)
	}
	if _, err := s.Lease(t.Context(), time.Now(), "desk", "another", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := desk.Turn(t.Context(), time.Now()); err != nil || n != 1 {
		t.Error(n, err)
	}
}

// Reports about domains that are not ours are kept only if we have said that
// we want them.
func TestInboxConcerns(t *testing.T) {
	text, err := os.ReadFile("../../format/aggregate/testdata/google.xml")
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]bool{
		"example.test": true, "sub.example.test": true, "stranger.example": false, "agreed.example": true,
	} {
		w := newWorld(t, zoneOf("agreed.example._report._dmarc.example.test", "v=DMARC1"))
		inbox := report.NewInbox(w.store, w.zone, w.Directory.IsLocal)
		doc := report.Document{Mail: reports.Mail{To: "dmarc-reports@example.test"}, Text: bytes.ReplaceAll(text, []byte("example.org"), []byte(domain))}
		now := time.Unix(1760140799, 0).Add(time.Hour)
		_, err := inbox.Aggregate(t.Context(), now, doc)
		if (err == nil) != want || err != nil && !errors.Is(err, report.ErrUnread) {
			t.Errorf("%s: %v", domain, err)
		}
		if what, err := inbox.Aggregate(t.Context(), now, doc); want && (err != nil || !strings.Contains(what, "has come before")) {
			t.Errorf("%s: %s, %v", domain, what, err)
		}
	}
}
