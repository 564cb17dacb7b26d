package pop3server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"waxwing/obs"
	"waxwing/proto/pop3"
	"waxwing/proto/sasl"
)

// Why a connection ends, as readLine tells.
var (
	errDraining = errors.New("server is shutting down")
	errTooLong  = errors.New("line is too long")
	errBare     = errors.New("line does not end with CR LF")
)

// inputSize is the buffer of an idle connection. It holds two of the longest
// commands; an AUTH exchange borrows more.
const inputSize = 512

// A conn is one connection. It belongs to the goroutine that serves it; others
// may call wake and cut.
type conn struct {
	server *Server
	info   *Info
	in     *bufio.Reader // reads through Read, so that output goes out first
	out    output

	ctx     context.Context // of the server: ends when it drains
	work    context.Context // of commands: ends when they must
	expires time.Time       // when the client has waited too long
	ending  bool            // close after the next flush
	debug   bool            // somebody wants to read the dialog

	state       state
	utf8        bool
	language    pop3.Language
	user        string    // of USER, until PASS
	certificate []byte    // presented in the handshake, DER
	faults      int       // commands refused
	failures    int       // logins failed
	drop        *maildrop // nil before the login

	raw net.Conn // never changes: other goroutines wake and cut it
}

func newConn(s *Server, info *Info, nc net.Conn) *conn {
	c := &conn{server: s, info: info, raw: nc, state: authorization}
	c.debug = info.Log.Enabled(context.Background(), slog.LevelDebug)
	c.out = output{conn: nc, timeout: s.options.WriteTimeout}
	c.in = bufio.NewReaderSize(c, inputSize)
	return c
}

// serve runs the dialog. A panic, which is a bug of ours, ends this connection
// alone.
func (c *conn) serve(ctx, work context.Context) {
	c.ctx, c.work = ctx, work
	defer c.close()
	defer func() {
		if r := recover(); r != nil {
			c.info.Log.Error("panic in connection", obs.Err, fmt.Sprint(r), "stack", string(debug.Stack()))
			c.refuse(&pop3.Refusal{Code: pop3.SysTemp, Phrase: pop3.Trouble})
			_ = c.out.flush() // the connection ends in any case
		}
	}()
	c.expires = time.Now().Add(c.server.options.LoginTimeout)
	if c.server.options.ImplicitTLS {
		if err := c.startTLS(); err != nil {
			c.info.Log.Info("tls handshake failed", obs.Err, err)
			return
		}
	}
	c.ok(pop3.Greeting, c.server.options.Hostname)
	for !c.ending {
		if c.state == transaction {
			// The receipt of a command resets the timer. RFC 1939 §3
			c.expires = time.Now().Add(c.server.options.IdleTimeout)
		}
		line, err := c.readLine(sasl.MaxLine)
		if !c.goOn(err) {
			break
		}
		if err == nil {
			c.command(line)
		}
	}
	_ = c.out.flush() // whether the client hears it changes nothing any more
}

// goOn tells whether the dialog goes on after readLine gave err.
func (c *conn) goOn(err error) bool {
	switch {
	case err == nil:
	case errors.Is(err, errDraining):
		c.refuse(&pop3.Refusal{Code: pop3.SysTemp, Phrase: pop3.ShuttingDown})
		return false
	case errors.Is(err, errTooLong):
		c.blame(&pop3.Refusal{Phrase: pop3.LineTooLong})
	case errors.Is(err, errBare):
		c.blame(&pop3.Refusal{Phrase: pop3.BareNewline})
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Without any response, and without the UPDATE state. RFC 1939 §3
		c.info.Log.Debug("client was idle for too long")
		return false
	default:
		if !errors.Is(err, io.EOF) {
			c.info.Log.Debug("connection lost", obs.Err, err)
		}
		return false
	}
	return true
}

// Read reads from the client, for c.in. The client gets its answers before we
// wait for it.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.out.flush(); err != nil {
		return 0, err
	}
	if err := c.out.conn.SetReadDeadline(c.expires); err != nil {
		return 0, err
	}
	if c.ctx.Err() != nil {
		return 0, errDraining
	}
	n, err := c.out.conn.Read(b)
	if n == 0 && err != nil && c.ctx.Err() != nil {
		err = errDraining
	}
	return n, err
}

// readLine reads a line of at most limit octets and gives it without its CRLF.
// The rest of a longer line is skipped, up to a bound.
func (c *conn) readLine(limit int) (string, error) {
	part, err := c.in.ReadSlice('\n')
	if err == nil {
		return endLine(part)
	}
	var whole []byte
	for err == bufio.ErrBufferFull {
		whole = append(whole, part...)
		if len(whole) > limit {
			return "", c.skipLine()
		}
		part, err = c.in.ReadSlice('\n')
	}
	if err != nil {
		return "", err
	}
	return endLine(append(whole, part...))
}

// skipLine skips the rest of a line. A client that never ends it is not
// listened to for ever.
func (c *conn) skipLine() error {
	for skipped := 0; skipped < 64<<10; skipped += inputSize {
		if _, err := c.in.ReadSlice('\n'); err == nil {
			return errTooLong
		} else if err != bufio.ErrBufferFull {
			return err
		}
	}
	c.ending = true
	return errTooLong
}

func endLine(b []byte) (string, error) {
	if len(b) < 2 || b[len(b)-2] != '\r' {
		return "", errBare
	}
	return string(b[:len(b)-2]), nil
}

// ok sends a positive response.
func (c *conn) ok(p pop3.Phrase, args ...any) {
	c.out.line("+OK " + c.language.Text(p, args...))
}

// refuse sends a negative response. What is no *pop3.Refusal is logged, and
// the client learns no more than that we are in trouble.
func (c *conn) refuse(err error) {
	refusal, ok := errors.AsType[*pop3.Refusal](err)
	if !ok {
		refusal = &pop3.Refusal{Code: pop3.SysTemp, Phrase: pop3.Trouble, Err: err}
	}
	if refusal.Err != nil {
		c.info.Log.Error("command failed", obs.Err, err)
	}
	c.out.line(refusal.Line(c.language))
}

// blame refuses something that the client should not have sent; who does so
// too often is sent away.
func (c *conn) blame(err error) {
	if c.faults++; c.faults < c.server.options.MaxErrors {
		c.refuse(err)
		return
	}
	c.refuse(&pop3.Refusal{Phrase: pop3.TooManyErrors})
	c.ending = true
}

// startTLS runs the handshake. What the client sent before it is forgotten.
func (c *conn) startTLS() error {
	nc := c.out.conn
	if err := nc.SetDeadline(earlier(c.expires, time.Now().Add(time.Minute))); err != nil {
		return err
	}
	t, leaf, err := c.server.secure.Handshake(c.work, nc)
	if err != nil {
		return err
	}
	if err := nc.SetDeadline(c.expires); err != nil {
		return err
	}
	state := t.ConnectionState()
	c.info.TLS, c.certificate = &state, leaf
	c.out.conn = t
	c.in.Reset(c)
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wake ends a wait for the client's next command. It is called from another
// goroutine, when the server drains; who is not waiting finds out by itself.
func (c *conn) wake() { _ = c.raw.SetReadDeadline(time.Unix(1, 0)) } // fails on a closed one

// cut ends the connection under whatever is going on.
func (c *conn) cut() { _ = c.raw.Close() }

func (c *conn) close() {
	if c.drop != nil {
		c.drop.session.Close()
	}
	if err := c.out.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.info.Log.Debug("connection not closed cleanly", obs.Err, err)
	}
}
