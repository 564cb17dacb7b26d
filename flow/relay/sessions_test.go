package relay

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/dns"
)

// An issued certificate can issue others.
type issued struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue makes a certificate that is valid for a time; of by, or of itself.
func issue(t *testing.T, name string, valid time.Duration, by *issued) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	like := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid), IsCA: true, BasicConstraintsValid: true,
	}
	if by == nil {
		by = &issued{like, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, like, by.Certificate, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{c, key}
}

// A mailHost greets, and offers STARTTLS with the chain that it has.
type mailHost struct {
	t       *testing.T
	version uint16
	tickets [32]byte
	chain   []*issued // its own certificate first
}

// serve answers one client until it goes.
func (h *mailHost) serve(conn net.Conn) {
	defer conn.Close()
	cert := tls.Certificate{PrivateKey: h.chain[0].key}
	for _, c := range h.chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: h.version}
	config.SetSessionTicketKeys([][32]byte{h.tickets})
	io.WriteString(conn, "220 mx.test\r\n")
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		switch strings.TrimSpace(line) {
		case "STARTTLS":
			io.WriteString(conn, "220 go on\r\n")
			conn = tls.Server(conn, config)
			lines = bufio.NewReader(conn)
		case "QUIT":
			io.WriteString(conn, "221 bye\r\n")
			return
		default:
			io.WriteString(conn, "250-mx.test\r\n250 STARTTLS\r\n")
		}
	}
}

// A patient connection takes what is written to it at once, as the network does.
type patient struct {
	net.Conn
	out     chan []byte
	closing sync.Once
}

func newPatient(c net.Conn) *patient {
	p := &patient{Conn: c, out: make(chan []byte, 100)}
	go func() {
		for b := range p.out {
			if _, err := c.Write(b); err != nil {
				for range p.out {
				}
			}
		}
		c.Close()
	}()
	return p
}

func (p *patient) Write(b []byte) (int, error) {
	p.out <- append([]byte(nil), b...)
	return len(b), nil
}

func (p *patient) Close() error {
	p.closing.Do(func() { close(p.out) })
	return nil
}

// meet makes a connection, and says what became of it.
func (h *mailHost) meet(d *dialer, dm demand) string {
	h.t.Helper()
	ours, theirs := net.Pipe()
	go h.serve(newPatient(theirs))
	l, err := d.session(h.t.Context(), ours, "mx.test", netip.MustParseAddrPort("192.0.2.1:25"), Route{}, dm)
	var u *unmet
	switch {
	case errors.As(err, &u):
		return "unmet"
	case errors.Is(err, errOutlived):
		return "outlived"
	case err != nil:
		return err.Error()
	}
	defer l.Quit(h.t.Context())
	return fmt.Sprintf("resumed %v, proven %v", l.TLS().DidResume, l.found.proven)
}

func threeOneOne(c *issued) dns.TLSA {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: sum[:]}
}

// Sessions are resumed where the same is demanded, and there only; what they
// show is judged again.
func TestSessionsOfDemands(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			root := issue(t, "root", 1000*time.Hour, nil)
			between := issue(t, "between", time.Hour, root)
			first, second := issue(t, "mx.test", 100*time.Hour, between), issue(t, "mx.test", 100*time.Hour, root)
			roots := x509.NewCertPool()
			roots.AddCert(root.Certificate)
			h := &mailHost{t: t, version: version, chain: []*issued{first, between}}
			d := &dialer{hostname: "here.test", log: slog.New(slog.DiscardHandler), tls: &tls.Config{
				RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(10),
			}}
			pinned := func(records ...dns.TLSA) demand {
				return demand{must: authenticated, proof: byTLSA, server: "mx.test", names: []string{"mx.test"}, tlsa: records}
			}
			vouched := demand{must: authenticated, proof: byAuthority, server: "mx.test", names: []string{"mx.test"}}
			tried := vouched
			tried.must, tried.trial = opportunistic, true
			wants := func(what string, dm demand, want string) {
				t.Helper()
				if got := h.meet(d, dm); got != want {
					t.Errorf("%s: %s: %s, want %s", tls.VersionName(version), what, got, want)
				}
			}
			full, resumed := "resumed false, proven true", "resumed true, proven true"
			wants("nothing demanded", demand{must: opportunistic, server: "mx.test"}, "resumed false, proven false")
			wants("nothing demanded again", demand{must: opportunistic, server: "mx.test"}, "resumed true, proven false")
			wants("DANE", pinned(threeOneOne(first)), full)
			wants("DANE again", pinned(threeOneOne(first)), resumed)
			wants("with another record beside it", pinned(threeOneOne(first), threeOneOne(second)), full)
			wants("an authority", vouched, full)
			wants("an authority again", vouched, resumed)

			// A roll-over: the records go first.
			wants("the next record alone", pinned(threeOneOne(second)), "unmet")
			h.chain = []*issued{second}
			wants("the next certificate", pinned(threeOneOne(second)), full)
			wants("both records", pinned(threeOneOne(first), threeOneOne(second)), resumed)

			// The certificate of the authority between ends, and so does what it proves.
			time.Sleep(2 * time.Hour)
			wants("after the authority", vouched, "outlived")
			wants("what is not proven is forgotten", tried, full)
			wants("and again", vouched, resumed)
			vouched.afresh = true
			wants("afresh", vouched, full)
			tried.names = []string{"other.test"}
			for range 2 {
				wants("on trial, and in vain", tried, "resumed false, proven false")
			}
		})
	}
}
