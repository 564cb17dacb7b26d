package recursor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

const (
	// udpSize is what travels unfragmented: DNS flag day 2020.
	udpSize = 1232
	// maxStray is how many datagrams that are no reply are read before the
	// query goes over TCP, since somebody seems to be guessing. RFC 5452 §9.3
	maxStray = 16
)

var errForged = errors.New("too many replies to something else")

// Network is the Exchanger that uses UDP and TCP. Every query has a socket,
// and so a random port, of its own. RFC 5452 §9.2
type Network struct{}

// Exchange implements Exchanger. Without a deadline it waits five seconds.
func (Network) Exchange(ctx context.Context, server netip.AddrPort, query *wire.Msg, overTCP bool) (*wire.Msg, error) {
	packed, err := query.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack the query: %w", err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(5 * time.Second)
	}
	if overTCP {
		return exchangeTCP(ctx, server, query, packed, deadline)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if n < 12 || binary.BigEndian.Uint16(buf) != query.Id {
			continue
		}
		reply := new(wire.Msg)
		// What cannot be read whole may still say that it was cut, or that the
		// server does not like the query.
		if err := reply.Unpack(buf[:n]); err != nil && !reply.Truncated && reply.Rcode == wire.RcodeSuccess {
			return nil, fmt.Errorf("unreadable reply: %w", err)
		}
		if Reply(query, reply) {
			return reply, nil
		}
	}
	return nil, errForged
}

// exchangeTCP asks over a connection of its own. RFC 7766 §5
func exchangeTCP(ctx context.Context, server netip.AddrPort, query *wire.Msg, packed []byte, deadline time.Time) (*wire.Msg, error) {
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	reply := new(wire.Msg)
	if err := reply.Unpack(buf); err != nil {
		return nil, fmt.Errorf("unreadable reply: %w", err)
	}
	if !Reply(query, reply) {
		return nil, errors.New("a reply to something else")
	}
	return reply, nil
}

// Reply tells whether a message is the reply to a query: the same number,
// question and cookie. RFC 5452 §3, RFC 7873 §5.3
func Reply(query, m *wire.Msg) bool {
	if m.Id != query.Id || !m.Response || m.Opcode != wire.OpcodeQuery {
		return false
	}
	switch len(m.Question) {
	case 0: // some errors come without
		if m.Rcode == wire.RcodeSuccess || m.Rcode == wire.RcodeNameError {
			return m.Truncated
		}
	case 1:
		q, a := query.Question[0], m.Question[0]
		if a.Qtype != q.Qtype || a.Qclass != q.Qclass {
			return false
		}
		// A name sent with capitals wants its letters back as they were.
		if a.Name != q.Name && (q.Name != strings.ToLower(q.Name) || !strings.EqualFold(a.Name, q.Name)) {
			return false
		}
	default:
		return false
	}
	sent, got := cookieOf(query), cookieOf(m)
	return sent == "" || got == "" || len(got) >= clientCookie && got[:clientCookie] == sent[:clientCookie]
}
