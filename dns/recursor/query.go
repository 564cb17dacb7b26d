package recursor

import (
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"

	wire "github.com/miekg/dns"
)

// clientCookie is the length of the client's part of a cookie, in hexadecimal
// digits as the library has it. RFC 7873 §4.1
const clientCookie = 16

// cookies makes our part of cookies: different for every server, the same for
// one until the program ends, so that a server's part can be used again.
// RFC 7873 §4.1
type cookies struct{ secret [32]byte }

func newCookies() cookies {
	var c cookies
	_, _ = crand.Read(c.secret[:]) // never fails
	return c
}

func (c *cookies) of(server netip.AddrPort) string {
	mac := hmac.New(sha256.New, c.secret[:])
	b, _ := server.MarshalBinary()
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil)[:clientCookie/2])
}

// cookieOf gives a message's cookie in hexadecimal digits, "" for none.
func cookieOf(m *wire.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*wire.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// newQuery makes a query with a random number. cookie is "" for none; without
// edns the server is one of those that do not know it.
func newQuery(name string, qtype uint16, recursive, edns bool, cookie string) *wire.Msg {
	q := new(wire.Msg)
	q.Id = uint16(rand.Uint32()) // ChaCha8, seeded by the system
	q.RecursionDesired = recursive
	q.Question = []wire.Question{{Name: name, Qtype: qtype, Qclass: wire.ClassINET}}
	if !edns {
		return q
	}
	// RFC 4035 §4.9.2: we judge for ourselves, whatever the forwarder thinks.
	q.CheckingDisabled = recursive
	opt := &wire.OPT{Hdr: wire.RR_Header{Name: ".", Rrtype: wire.TypeOPT}}
	opt.SetUDPSize(udpSize)
	opt.SetDo()
	if cookie != "" {
		opt.Option = append(opt.Option, &wire.EDNS0_COOKIE{Code: wire.EDNS0COOKIE, Cookie: cookie})
	}
	q.Extra = []wire.RR{opt}
	return q
}

// mixCase gives the letters of a name random cases.
func mixCase(name string) string {
	b := []byte(name)
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\\': // an escape, whose next octet is no letter of the name's own
			i++
		case 'a' <= c && c <= 'z' && rand.Uint32()&1 == 0:
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
