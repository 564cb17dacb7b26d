package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// raceDelay is how long one address is waited for before the next is called,
// too. RFC 8305 §5
const raceDelay = 250 * time.Millisecond

// A race calls the addresses of one host, one after the other, without waiting
// for the first to fail: an address family that leads nowhere costs a moment
// and no more (RFC 8305). The addresses come in the order of preference, with
// the families in turn.
type race struct {
	d      *dialer
	host   string
	route  Route
	left   []netip.Addr // not called yet, or called in vain since another was faster
	called func(at netip.AddrPort, began time.Time, err error)
}

// A finish is how one call ended.
type finish struct {
	addr netip.Addr
	conn net.Conn
	err  error
}

// next gives the next connection. With none left it gives a nil connection
// and the trouble that there was.
func (r *race) next(ctx context.Context) (net.Conn, netip.AddrPort, answer) {
	calling, stop := context.WithCancel(ctx)
	finished := make(chan finish)
	underway := 0
	call := func() {
		addr := r.left[0]
		r.left = r.left[1:]
		underway++
		go func() {
			began := time.Now()
			conn, err := r.d.call(calling, r.host, r.d.at(addr, r.route), r.route)
			if err != nil && calling.Err() == nil {
				r.called(r.d.at(addr, r.route), began, err)
			}
			finished <- finish{addr, conn, err}
		}()
	}
	var first *finish
	var trouble answer
	delay := time.NewTimer(0)
	defer delay.Stop()
	for underway > 0 || len(r.left) > 0 && first == nil && ctx.Err() == nil {
		select {
		case <-delay.C:
			if len(r.left) > 0 && first == nil {
				call()
				delay.Reset(raceDelay)
			}
		case f := <-finished:
			underway--
			switch {
			case f.err == nil && first == nil:
				first = &f
				stop() // who is slower may be called again later
			case f.err == nil:
				_ = f.conn.Close()
				r.left = append(r.left, f.addr)
			case first != nil && errors.Is(f.err, context.Canceled):
				r.left = append(r.left, f.addr)
			default:
				at := r.d.at(f.addr, r.route)
				w := answer{err: f.err, remote: remote(r.host, at), network: true}
				trouble = graver(trouble, w)
				if ctx.Err() == nil {
					r.d.down.mark(at.String(), w, time.Now())
				}
				delay.Reset(0)
			}
		}
	}
	stop()
	if first == nil {
		return nil, netip.AddrPort{}, trouble
	}
	at := r.d.at(first.addr, r.route)
	r.d.down.clear(at.String())
	return first.conn, at, answer{}
}
