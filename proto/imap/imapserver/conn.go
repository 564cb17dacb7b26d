package imapserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/imap"
)

// A conn is one connection. It belongs to the goroutine that serves it; others
// may call in.wake and cut.
type conn struct {
	server *Server
	info   *Info
	log    *slog.Logger // before the login
	raw    net.Conn     // never changes: other goroutines cut it
	in     input
	out    output
	text   []byte // the command being read
	tag    string // of the command being run
	work   context.Context
	debug  bool // somebody wants to read the dialog

	state       state
	deadline    time.Time // of the login
	ending      bool      // close after the next flush
	parting     string    // what BYE then says, if it has not been said
	certificate []byte    // presented in the handshake, DER
	compressed  bool
	faults      int // malformed commands
	failures    int // logins that failed

	account Account // nil before the login
	who     mail.AccountID

	// What ENABLE has switched on.
	rev2      bool // IMAP4rev2
	utf8      bool // UTF8=ACCEPT, or IMAP4rev2, which includes it
	condstore bool // CONDSTORE, also by a command that implies it. RFC 7162 §3.1
	qresync   bool // QRESYNC: VANISHED is told in the place of EXPUNGE
	uidOnly   bool // UIDONLY: no sequence numbers. RFC 9586 §3

	german bool // what LANGUAGE has chosen

	view *view // of the selected mailbox, nil without one

	notifying *notifying // what NOTIFY has asked for, nil before it
}

func newConn(s *Server, info *Info, nc net.Conn) *conn {
	c := &conn{server: s, info: info, log: info.Log, raw: nc, state: notAuthenticated}
	c.debug = info.Log.Enabled(context.Background(), slog.LevelDebug)
	c.out = output{conn: nc, timeout: s.options.WriteTimeout}
	c.in = input{conn: nc, flush: c.out.flush, rest: c.out.rest}
	c.in.raw.Store(&nc)
	return c
}

// serve runs the dialog. A panic, which is a bug of ours, ends this connection
// alone.
func (c *conn) serve(ctx, work context.Context) {
	c.in.ctx, c.work = ctx, work
	defer c.close()
	defer func() {
		if r := recover(); r != nil {
			logPanic(c.info.Log, r)
			c.remark("BYE", imap.CodeServerBug, "Internal error")
			_ = c.out.flush() // the connection ends in any case
		}
	}()
	c.deadline = time.Now().Add(c.server.options.LoginTimeout)
	if c.server.options.ImplicitTLS {
		if err := c.startTLS(); err != nil {
			return
		}
	}
	c.out.line("* OK [CAPABILITY %s] %s ready", c.capability(), c.server.options.Hostname)
	for !c.ending {
		if err := c.next(); err != nil {
			c.farewell(err)
			break
		}
	}
	if c.parting != "" {
		c.out.line("* BYE %s", c.parting)
	}
	_ = c.out.flush() // whether the client hears it changes nothing any more
}

func logPanic(log *slog.Logger, r any) {
	log.Error("panic in connection", obs.Err, fmt.Sprint(r), "stack", string(debug.Stack()))
}

// next waits for a command and carries it out. An error ends the connection.
func (c *conn) next() error {
	until := c.deadline
	if c.state != notAuthenticated {
		// The inactivity timer. RFC 9051 §5.4
		until = time.Now().Add(c.server.options.IdleTimeout)
	}
	var err error
	if c.notifying != nil {
		err = c.awaitNews(until)
	} else {
		err = c.in.await(until, nil)
	}
	if err != nil {
		return err
	}
	cmd, err := c.readCommand()
	if err != nil {
		return err
	}
	if cmd != nil {
		return c.run(cmd)
	}
	return nil
}

// farewell says BYE where the client should hear why the connection ends.
func (c *conn) farewell(err error) {
	switch {
	case errors.Is(err, errDraining):
		c.bye(imap.CodeUnavailable, "Server is shutting down")
	case errors.Is(err, errIdle):
		c.bye("", "Autologout; idle for too long") // RFC 9051 §5.4
	case errors.Is(err, errTooLong):
		c.bye(imap.CodeTooBig, "Command is too long")
	case errors.Is(err, errSaid):
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		c.info.Log.Debug("connection lost", obs.Err, err)
	default:
		c.info.Log.Info("connection lost", obs.Err, err)
	}
}

// errSaid ends a connection whose client has been told why.
var errSaid = errors.New("connection ends")

// bye ends the connection; the client hears why after what it is being told.
func (c *conn) bye(code, text string) {
	if text = c.say(text); code != "" {
		text = "[" + code + "] " + text
	}
	c.ending, c.parting = true, text
}

// cut ends the connection under whatever is going on.
func (c *conn) cut() { _ = c.raw.Close() }

func (c *conn) close() {
	c.stopNotify()
	c.deselect()
	if c.account != nil {
		c.account.Close()
		c.server.exit(c.who)
	}
	if err := c.out.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.info.Log.Debug("connection not closed cleanly", obs.Err, err)
	}
	c.in.discard()
	c.in.release()
	c.out.b = c.out.b[:0]
	c.out.rest()
}

// A tagged response that is not a plain OK. RFC 9051 §7.1
type reply struct {
	code string // with its arguments, without brackets
	text string // empty for "NAME completed"
	// highest adds HIGHESTMODSEQ where QRESYNC wants it: after all that the
	// command has to tell. RFC 7162 §3.2.7
	highest bool
	// limit is the response code where only some messages have been worked
	// on. RFC 9738 §3.1
	limit string
	// then is done once the client has been answered; an error of it ends
	// the connection.
	then func() error
}

// finish answers a command.
func (c *conn) finish(tag, name string, r reply, err error) error {
	status, code, text := "OK", r.code, r.text
	if text == "" {
		text = name + " completed"
	}
	if err != nil {
		refusal, isRefusal := errors.AsType[*imap.Refusal](err)
		syntax, isSyntax := errors.AsType[*imap.SyntaxError](err)
		switch {
		case isRefusal:
			status, code, text = "NO", refusal.Code, refusal.Text
			if refusal.Err != nil {
				c.info.Log.Warn("command refused", "command", name, obs.Err, refusal.Err)
			}
		case isSyntax:
			c.blame(tag, syntax.Text)
			return nil
		case fatal(err):
			return err
		default:
			// What an error that nobody foresaw means to a client: trouble
			// here, try later. RFC 5530 §3
			status, code, text = "NO", imap.CodeUnavailable, "Server trouble, try again later"
			c.info.Log.Error("command failed", "command", name, obs.Err, err)
		}
	} else if c.state != notAuthenticated {
		c.faults = 0
	}
	text = c.say(text)
	c.out.tagged(tag, status, code, text)
	return nil
}

// A broken connection cannot be answered.
type broken struct{ err error }

func (b *broken) Error() string { return "connection broken: " + b.err.Error() }
func (b *broken) Unwrap() error { return b.err }

func fatal(err error) bool {
	_, ok := errors.AsType[*broken](err)
	return ok || errors.Is(err, errSaid)
}

// lost marks an error of the connection, after which there is nobody to
// answer to.
func lost(err error) error {
	if err == nil {
		return nil
	}
	return &broken{err}
}

// patience is how long a client may pause within a command.
func (c *conn) patience() time.Duration {
	if c.state == notAuthenticated {
		return min(c.server.options.ReadTimeout, time.Until(c.deadline))
	}
	return c.server.options.ReadTimeout
}

// blame answers BAD. Who earns it too often is sent away.
func (c *conn) blame(tag, text string) {
	c.out.line("%s BAD %s", tag, c.say(text))
	limit := c.server.options.MaxErrors
	if c.state != notAuthenticated {
		limit *= 3
	}
	if c.faults++; c.faults >= limit {
		c.bye(imap.CodeClientBug, "Too many bad commands")
	}
}
