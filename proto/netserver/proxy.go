package netserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The PROXY protocol of HAProxy ("The PROXY protocol, Versions 1 & 2"): who a
// load balancer speaks for stands in front of everything else. It is read
// only from addresses that are trusted to tell the truth, and there it must
// be.

// proxyTimeout bounds the wait for the header.
const proxyTimeout = 10 * time.Second

const (
	maxProxyLine  = 107     // version 1, with CR LF
	maxProxyBlock = 4 << 10 // version 2, what follows the fixed part
)

var proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")

var errProxy = errors.New("malformed PROXY header")

// A proxied connection tells the addresses that its header has told.
type proxied struct {
	net.Conn
	remote, local net.Addr
}

func (p proxied) RemoteAddr() net.Addr { return p.remote }
func (p proxied) LocalAddr() net.Addr  { return p.local }

// trustsProxy tells whether the header is expected from an address.
func trustsProxy(proxies []netip.Prefix, a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := t.AddrPort().Addr().Unmap()
	for _, p := range proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// readProxy reads the header, and nothing behind it.
func readProxy(nc net.Conn) (net.Conn, error) {
	if err := nc.SetReadDeadline(time.Now().Add(proxyTimeout)); err != nil {
		return nil, err
	}
	remote, local, err := parseProxy(nc)
	if err != nil {
		return nil, err
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if !remote.IsValid() {
		return nc, nil // LOCAL or UNKNOWN: the proxy speaks for itself
	}
	return proxied{nc, net.TCPAddrFromAddrPort(remote), net.TCPAddrFromAddrPort(local)}, nil
}

// parseProxy reads a header of either version. A zero remote says that the
// connection's own addresses count.
func parseProxy(r io.Reader) (remote, local netip.AddrPort, err error) {
	start := make([]byte, len(proxySignature), maxProxyLine)
	if _, err := io.ReadFull(r, start); err != nil {
		return remote, local, fmt.Errorf("PROXY header: %w", err)
	}
	if bytes.Equal(start, proxySignature) {
		return parseProxy2(r)
	}
	for len(start) < 2 || string(start[len(start)-2:]) != "\r\n" {
		if len(start) == maxProxyLine || !bytes.HasPrefix(start, []byte("PROXY ")) {
			return remote, local, errProxy
		}
		// One octet at a time: what follows the line is not ours.
		next := start[len(start) : len(start)+1]
		if _, err := io.ReadFull(r, next); err != nil {
			return remote, local, fmt.Errorf("PROXY header: %w", err)
		}
		start = start[:len(start)+1]
	}
	return parseProxy1(string(start[:len(start)-2]))
}

// parseProxy1 reads "PROXY TCP4 source destination port port".
func parseProxy1(line string) (remote, local netip.AddrPort, err error) {
	fields := strings.Split(line, " ")
	if len(fields) >= 2 && fields[0] == "PROXY" && fields[1] == "UNKNOWN" {
		return remote, local, nil
	}
	if len(fields) != 6 || fields[0] != "PROXY" || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return remote, local, errProxy
	}
	if remote, err = endpoint(fields[2], fields[4], fields[1] == "TCP6"); err != nil {
		return netip.AddrPort{}, local, err
	}
	if local, err = endpoint(fields[3], fields[5], fields[1] == "TCP6"); err != nil {
		return netip.AddrPort{}, netip.AddrPort{}, err
	}
	return remote, local, nil
}

func endpoint(host, service string, six bool) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(host)
	port, portErr := strconv.ParseUint(service, 10, 16)
	if err != nil || portErr != nil || ip.Zone() != "" || ip.Is6() != six || len(service) > 1 && service[0] == '0' {
		return netip.AddrPort{}, errProxy
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

// parseProxy2 reads what follows the signature of version 2: version and
// command, family, length, addresses, and fields that we have no use for.
func parseProxy2(r io.Reader) (remote, local netip.AddrPort, err error) {
	var fixed [4]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return remote, local, fmt.Errorf("PROXY header: %w", err)
	}
	length := int(binary.BigEndian.Uint16(fixed[2:]))
	if fixed[0]>>4 != 2 || fixed[0]&15 > 1 || length > maxProxyBlock {
		return remote, local, errProxy
	}
	block := make([]byte, length)
	if _, err := io.ReadFull(r, block); err != nil {
		return remote, local, fmt.Errorf("PROXY header: %w", err)
	}
	if fixed[0]&15 == 0 {
		return remote, local, nil // LOCAL: a health check
	}
	size := 0
	switch fixed[1] {
	case 0x11: // TCP over IPv4
		size = 4
	case 0x21: // TCP over IPv6
		size = 16
	case 0x00:
		return remote, local, nil
	default:
		return remote, local, errProxy
	}
	if length < 2*size+4 {
		return remote, local, errProxy
	}
	at := func(address, port int) netip.AddrPort {
		ip, _ := netip.AddrFromSlice(block[address : address+size])
		return netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(block[port:]))
	}
	return at(0, 2*size), at(size, 2*size+2), nil
}
