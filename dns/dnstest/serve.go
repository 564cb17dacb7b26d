package dnstest

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	wire "github.com/miekg/dns"

	"waxwing/dns"
)

// Serve answers from the zone on a free port of 127.0.0.1, over UDP and TCP,
// until the test ends. It returns "127.0.0.1:port".
func Serve(t testing.TB, z Zone) string {
	t.Helper()
	udp, tcp := listenBoth(t)
	handler := wire.HandlerFunc(func(w wire.ResponseWriter, q *wire.Msg) {
		if err := w.WriteMsg(z.reply(q)); err != nil {
			t.Logf("dnstest: %v", err)
		}
	})
	for _, s := range []*wire.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started, done := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			if err := s.ActivateAndServe(); err != nil {
				t.Logf("dnstest: %v", err)
			}
		}()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Logf("dnstest: %v", err)
			}
			<-done
		})
	}
	return udp.LocalAddr().String()
}

// listenBoth finds a port that is free for UDP and TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp
		}
		_ = udp.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// presentation escapes what the library reads as an escape. RFC 1035 §5.1
var presentation = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// maxString is how long one string of a TXT record may be. RFC 1035 §3.3
const maxString = 255

// addressOf gives the address that a name is the reverse of, if PTR has it.
func (z Zone) addressOf(name string) netip.Addr {
	for address := range z.PTR {
		if reverse, err := wire.ReverseAddr(address); err == nil && strings.EqualFold(reverse, name) {
			ip, _ := netip.ParseAddr(address)
			return ip
		}
	}
	return netip.Addr{}
}

func (z Zone) reply(q *wire.Msg) *wire.Msg {
	m := new(wire.Msg)
	m.SetReply(q)
	if len(q.Question) != 1 {
		m.Rcode = wire.RcodeFormatError
		return m
	}
	name := q.Question[0].Name
	ctx := context.Background()
	head := wire.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: wire.ClassINET, Ttl: 60}
	var err error
	switch q.Question[0].Qtype {
	case wire.TypeMX:
		var all []dns.MX
		all, _, err = z.LookupMX(ctx, name)
		for _, mx := range all {
			m.Answer = append(m.Answer, &wire.MX{Hdr: head, Preference: mx.Preference, Mx: wire.Fqdn(mx.Host)})
		}
	case wire.TypeA, wire.TypeAAAA:
		var all []netip.Addr
		all, _, err = z.LookupAddr(ctx, name)
		for _, ip := range all {
			if ip.Is4() && head.Rrtype == wire.TypeA {
				m.Answer = append(m.Answer, &wire.A{Hdr: head, A: ip.AsSlice()})
			} else if ip.Is6() && head.Rrtype == wire.TypeAAAA {
				m.Answer = append(m.Answer, &wire.AAAA{Hdr: head, AAAA: ip.AsSlice()})
			}
		}
	case wire.TypeTXT:
		var all []string
		all, _, err = z.LookupTXT(ctx, name)
		for _, s := range all {
			var parts []string
			for ; len(s) > maxString; s = s[maxString:] {
				parts = append(parts, presentation.Replace(s[:maxString]))
			}
			m.Answer = append(m.Answer, &wire.TXT{Hdr: head, Txt: append(parts, presentation.Replace(s))})
		}
	case wire.TypePTR:
		var all []string
		all, _, err = z.LookupPTR(ctx, z.addressOf(name))
		for _, host := range all {
			m.Answer = append(m.Answer, &wire.PTR{Hdr: head, Ptr: wire.Fqdn(host)})
		}
	case wire.TypeTLSA:
		var all []dns.TLSA
		all, _, err = z.LookupTLSA(ctx, name)
		for _, r := range all {
			m.Answer = append(m.Answer, &wire.TLSA{
				Hdr: head, Usage: r.Usage, Selector: r.Selector, MatchingType: r.Matching, Certificate: hex.EncodeToString(r.Data),
			})
		}
	default:
		_, _, err = answer(z, map[string][]string{}, name, wire.TypeToString[head.Rrtype])
	}
	var failure *dns.Error
	if errors.As(err, &failure) {
		switch {
		case errors.Is(err, dns.ErrTemporary):
			m.Rcode = wire.RcodeServerFailure
		case failure.NoName && !z.has(strings.TrimSuffix(strings.ToLower(name), ".")):
			m.Rcode = wire.RcodeNameError
		}
	}
	return m
}
