package smtpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// maxRefusedRecipients is how many recipients may be refused between two
// messages; that many are a list of guesses. Lists with some dead addresses
// in them pass.
const maxRefusedRecipients = 100

// flushAt bounds the replies that wait while a client pipelines.
const flushAt = 8 << 10

// A conn is one connection. All of it belongs to its one goroutine, but for
// drainBy.
type conn struct {
	server  *Server
	options *Options
	raw     net.Conn
	nc      net.Conn // raw, or TLS over it
	in      input
	out     []byte
	failed  error // what made writing impossible

	info    Info
	leaf    []byte // the certificate that we presented, in DER
	log     *slog.Logger
	session Session
	refused bool // the Session refused the connection
	state   state

	// What the limits look at; but for failedLogins it is forgotten with
	// every message that is accepted.
	errors, idle, rcpts, refusedRecipients, failedLogins int

	messages int                 // how many transactions have begun
	domains  map[string]struct{} // of the recipients, where they are limited

	// instead is a command that came where a piece of a message was awaited,
	// and is still to be carried out.
	instead smtp.Command

	// quit says that nothing more is to be read.
	quit bool
	// deadline is when the client must have sent what we wait for.
	deadline time.Time
	// readBy and writeBy are the deadlines that the connection has; zero for none
	// of ours.
	readBy, writeBy time.Time

	drainBy atomic.Int64 // unix nanoseconds; zero while we do not drain
}

var errDraining = errors.New("server is shutting down")

// serve speaks with the client until one of the two has enough. The context
// ends when even a draining server waits no longer.
func (c *conn) serve(ctx context.Context) {
	defer c.end()
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic in smtp session", obs.Err, fmt.Sprint(p), "stack", string(debug.Stack()))
			c.reply(smtp.Reply{Code: 421, Enhanced: smtp.Enhanced{4, 3, 0}, Text: localTrouble})
			c.flush()
		}
	}()
	if !c.greet(ctx) {
		return
	}
	for !c.quit && c.failed == nil {
		if c.drainBy.Load() != 0 && !c.state.mail {
			c.readFailed(errDraining)
			break
		}
		c.deadline = c.commandDeadline()
		line, err := c.in.line(smtp.MaxLine)
		if err != nil {
			c.readFailed(err)
			continue
		}
		c.handle(ctx, line)
	}
	c.flush()
}

// commandDeadline is when the line that we wait for must be there, whole.
// RFC 5321 §4.5.3.2.7
func (c *conn) commandDeadline() time.Time { return time.Now().Add(c.options.CommandTimeout) }

// handle carries out one command line.
func (c *conn) handle(ctx context.Context, line []byte) {
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.Debug("smtp command", "line", redact(line))
	}
	cmd, err := smtp.Parse(line)
	if err != nil {
		c.overheard(line, err)
		c.unparsed(line, c.unknown(ctx, line, err))
		return
	}
	c.run(ctx, cmd)
	if cmd := c.instead; cmd != nil {
		c.instead = nil
		c.run(ctx, cmd)
	}
}

// unknown lets the Session hear of a command that is none, and gives what to
// answer.
func (c *conn) unknown(ctx context.Context, line []byte, err error) error {
	l, ok := c.session.(Listener)
	if refusal, is := errors.AsType[*smtp.Refusal](err); !ok || !is || refusal.Code != 500 {
		return err
	}
	if said := l.Unknown(ctx, string(line)); said != nil {
		return said
	}
	return err
}

// unparsed answers a line that is no command.
func (c *conn) unparsed(line []byte, err error) {
	c.refuse(err)
	// After BDAT with a size that cannot be read nobody knows where the next
	// command begins.
	if isOtherProtocol(line) || errors.Is(err, smtp.ErrChunk) {
		c.quit = true
	}
}

// notImplemented refuses what we know and do not do. RFC 5321 §4.2.4
var notImplemented = refuse(502, 5, 5, 1, "Command not implemented")

// run carries out one command, if it may come now.
func (c *conn) run(ctx context.Context, cmd smtp.Command) {
	row, known := commands[cmd.Verb()]
	var r *smtp.Refusal
	switch {
	case !known || row.offer != 0 && !c.offers(row.offer):
		r = notImplemented
	case c.refused && !row.closed:
		r = refuse(503, 5, 5, 1, "Only QUIT is possible here") // RFC 5321 §3.1
	default:
		r = c.state.check(row.needs, c.options)
	}
	if chunk, ok := cmd.(smtp.Bdat); ok && r != nil {
		c.refuseChunk(chunk, r)
		return
	}
	if r != nil {
		c.refuse(r)
		return
	}
	if row.idle && !c.mayIdle() {
		return
	}
	row.run(c, ctx, cmd)
}

// mayIdle counts a command that brings no message nearer, and hangs up when
// there are too many.
func (c *conn) mayIdle() bool {
	if c.idle++; c.idle > c.options.MaxIdleCommands {
		c.hangUp(refuse(421, 4, 7, 0, "Too many commands without a message"))
		return false
	}
	return true
}

// reply queues a reply. It is sent when input is waited for: all replies to
// a group of commands go together. RFC 2920 §3.2
func (c *conn) reply(r smtp.Reply) {
	if c.log.Enabled(context.Background(), slog.LevelDebug) {
		c.log.Debug("smtp reply", obs.Reply, r.String())
	}
	c.out = r.Append(c.out)
	if len(c.out) >= flushAt {
		c.flush()
	}
}

// late is how much later than it should a wait may end. To move the deadline of
// the connection for each line would cost as much as some of the lines do.
const late = time.Second / 2

// flush sends what is queued.
func (c *conn) flush() {
	if len(c.out) == 0 || c.failed != nil {
		return
	}
	if by := time.Now().Add(c.options.WriteTimeout); by.After(c.writeBy) {
		c.writeBy = by.Add(late)
		_ = c.nc.SetWriteDeadline(c.writeBy) // the write fails as well then
	}
	_, c.failed = c.nc.Write(c.out)
	c.out = c.out[:0]
	if cap(c.out) > 2*flushAt {
		c.out = nil
	}
}

// refuse says what err tells the client, and counts it.
func (c *conn) refuse(err error, about ...any) {
	if !c.say(err, about...) {
		return
	}
	if c.errors++; c.errors >= c.options.MaxErrors {
		c.hangUp(refuse(421, 4, 7, 0, "Too many errors"))
	}
}

// say says what err tells the client and whether it is the client's fault.
// Whatever is not a Refusal is our own trouble. What is about mail, and not
// only about the dialog, is logged with the attributes that tell which.
func (c *conn) say(err error, about ...any) (fault bool) {
	var r *smtp.Refusal
	if !errors.As(err, &r) || r.Code < 400 || r.Code > 599 {
		c.log.Error("smtp command failed", obs.Err, err)
		c.reply(smtp.Trouble(localTrouble, err).Reply())
		return false
	}
	if r.Code == 421 {
		c.hangUp(r)
		return false
	}
	if r.Err != nil || len(about) > 0 { // else the dialog at Debug tells all there is
		c.log.Info("smtp command refused", append(about, obs.Reply, r.Error())...)
	}
	c.reply(r.Reply())
	return !r.Temporary()
}

// hangUp says a last word and closes.
func (c *conn) hangUp(r *smtp.Refusal) {
	c.log.Info("smtp connection ended by us", obs.Reply, r)
	c.reply(r.Reply())
	c.quit = true
}

// localTrouble tells nothing about our insides.
const localTrouble = "Local trouble, try later"

// readFailed answers what kept a line from coming.
func (c *conn) readFailed(err error) {
	switch {
	case errors.Is(err, errLineTooLong):
		c.refuse(refuse(500, 5, 5, 2, "Line too long")) // RFC 5321 §4.5.3.1.4
	case errors.Is(err, errBareLF):
		// RFC 5321 §2.3.8
		c.refuse(refuse(500, 5, 5, 2, "Bare LF received; a line ends with CR LF"))
		c.quit = c.quit || isOtherProtocol(c.in.buffered())
	case errors.Is(err, errTLSHello):
		c.refuse(refuse(500, 5, 5, 2, "This port does not begin with TLS"))
		c.quit = true
	case errors.Is(err, errEndless):
		c.hangUp(refuse(421, 4, 5, 2, "Line never ends"))
	case errors.Is(err, errDraining):
		c.hangUp(refuse(421, 4, 3, 2, "Shutting down")) // RFC 5321 §3.8
	case isTimeout(err):
		c.hangUp(refuse(421, 4, 4, 2, "Timeout")) // RFC 5321 §4.5.3.2
	default:
		if !errors.Is(err, io.EOF) {
			c.log.Debug("smtp connection lost", obs.Err, err)
		}
		c.quit = true
	}
}

// fill reads from the connection until c.deadline. What is queued is sent
// first, so that neither side waits for the other.
func (c *conn) fill(p []byte) (int, error) {
	c.flush()
	for {
		if c.failed != nil {
			return 0, c.failed
		}
		by := c.deadline
		if d := c.drainBy.Load(); d != 0 && time.Unix(0, d).Before(by) {
			by = time.Unix(0, d)
		}
		if err := c.readUntil(by); err != nil {
			return 0, err
		}
		// Looked at after the deadline is set: drain either is seen here or
		// cuts the read short.
		draining := c.drainBy.Load() != 0
		if draining && !c.state.mail {
			return 0, errDraining
		}
		n, err := c.nc.Read(p)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
		case !isTimeout(err):
			return 0, err
		case !draining && c.drainBy.Load() == 0:
			return 0, err
		case !time.Now().Before(by):
			return 0, errDraining
		}
	}
}

// readUntil gives the connection a deadline for reading, unless the one that it
// has will do. Once the server stops drain has moved that.
func (c *conn) readUntil(by time.Time) error {
	if !by.After(c.readBy) && c.readBy.Sub(by) <= late && c.drainBy.Load() == 0 {
		return nil
	}
	c.readBy = by.Add(late)
	return c.nc.SetReadDeadline(c.readBy)
}

// drain tells the connection that the server stops: when it is idle at once,
// else when its transaction ends or the time has come. Safe to call from
// another goroutine.
func (c *conn) drain(by time.Time) {
	c.drainBy.Store(by.UnixNano())
	_ = c.raw.SetReadDeadline(time.Unix(1, 0)) // a closed connection needs no waking
}

// end closes everything, whatever happened.
func (c *conn) end() {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("panic at the end of smtp session", obs.Err, fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	defer c.in.release()
	defer func() { _ = c.raw.Close() }() // nobody is left to tell
	if c.nc != c.raw && c.failed == nil {
		// close_notify, not waited for. RFC 8446 §6.1
		_ = c.raw.SetWriteDeadline(time.Now().Add(time.Second))
		_ = c.nc.Close()
	}
	if c.session == nil {
		return
	}
	defer c.session.Close()
	c.reset()
}

// reset ends the transaction.
func (c *conn) reset() {
	if c.state.mail {
		c.forget()
		c.session.Reset()
	}
}

// forget ends the transaction where the Session knows it.
func (c *conn) forget() {
	c.state.mail, c.state.utf8, c.state.binary, c.state.recipients = false, false, false, 0
	c.domains = nil
	c.info.UTF8 = false
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
