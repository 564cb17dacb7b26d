package bench

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"testing"
	"time"

	"waxwing/app/config"
	"waxwing/dns/dnstest"
	"waxwing/trust/dkim"
)

// An author is the domain that all mail comes from: it has SPF, DMARC and a key
// of 2048 bits.
type author struct {
	zone dnstest.Zone
	key  dkim.SigningKey
}

func newAuthor(tb testing.TB) author {
	tb.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	a := author{key: dkim.SigningKey{Domain: "elsewhere.test", Selector: "s2026", Private: private}}
	record, err := a.key.Record()
	if err != nil {
		tb.Fatal(err)
	}
	a.zone.TXT = map[string][]string{
		"elsewhere.test":                  {"v=spf1 ip4:192.0.2.0/24 ip4:127.0.0.0/8 include:more.elsewhere.test -all", "another=record"},
		"bench.test":                      {"v=spf1 ip4:127.0.0.0/8 -all"},
		"_dmarc.elsewhere.test":           {"v=DMARC1; p=reject; rua=mailto:dmarc@elsewhere.test"},
		"s2026._domainkey.elsewhere.test": {record},
	}
	return a
}

// letter is one of the author's of about the size. Its Message-ID comes later
// and is not signed.
func (a author) letter(tb testing.TB, size int, sign bool) []byte {
	tb.Helper()
	text := []byte(payload(size))
	if !sign {
		return text
	}
	var head dkim.Head
	body := dkim.NewBody(dkim.Relaxed)
	rest, _ := head.Write(text)
	body.Write(rest)
	body.Finish()
	header := dkim.ParseHeader(head.Octets)
	names := slices.DeleteFunc(dkim.ToSign(header), func(name string) bool { return name == "message-id" })
	field, err := a.key.Sign("DKIM-Signature", []string{"v=1"}, header, body.Sum(), names, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return append(field, text...)
}

// BenchmarkProven sends signed mail that is verified, and mail that is taken as
// it is.
func BenchmarkProven(b *testing.B) {
	a := newAuthor(b)
	for _, size := range []int{4 << 10, 64 << 10} {
		for _, proven := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%dKiB/proven=%v", size>>10, proven), func(b *testing.B) {
				h := openWith(b, 64, func(c *config.Config) {
					c.DNS.Mode, c.DNS.Resolver = config.ResolveStub, dnstest.Serve(b, a.zone)
					if proven {
						c.Trust.Unverified = nil
					}
				})
				load := smtpLoad{connections: 16, messages: b.N, rcpt: h.user, addr: h.smtp, texts: [][]byte{a.letter(b, size, proven)}}
				b.ReportAllocs()
				b.ResetTimer()
				before := processorTime()
				r, err := load.run()
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64((processorTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
				b.ReportMetric(r.perSecond(), "msg/s")
			})
		}
	}
}
