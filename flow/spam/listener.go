package spam

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/milter"
	"waxwing/proto/milter/milterclient"
)

// A listener is one milter that follows a Dialogue.
type listener struct {
	Milter
	dialogue *Dialogue
	conn     *milterclient.Conn // nil if there is none

	down           error // why it could not be asked
	passConnection bool  // it does not want to hear more
	passMessage    bool  // of this message
}

func (l *listener) listens() bool {
	return l.conn != nil && !l.passConnection && !l.passMessage
}

// connect dials the milter, and tells of the connection.
func (l *listener) connect(ctx context.Context) (milter.Verdict, error) {
	conn, err := milterclient.Dial(ctx, milterclient.Options{
		Network: l.Network, Address: l.Address,
		ConnectTimeout: l.ConnectTimeout, CommandTimeout: l.CommandTimeout, ContentTimeout: l.ContentTimeout,
		MaxBody: int64(l.dialogue.filters.o.MaxMessage),
	}, l.dialogue.macro)
	if err != nil {
		return milter.Verdict{}, err
	}
	l.conn, l.down = conn, nil
	info := l.dialogue.info
	return conn.Connect(ctx, l.dialogue.clientName(), addrPort(info.Remote))
}

// revive dials again a milter that was down, so that a client which stays
// connected does not suffer longer than it must.
func (l *listener) revive(ctx context.Context) {
	if l.down == nil || l.passConnection {
		return
	}
	v, err := l.connect(ctx)
	if err == nil && v.Reply == milter.Continue && l.dialogue.info.Hello != "" {
		v, err = l.conn.Helo(ctx, l.dialogue.info.Hello)
	}
	switch {
	case err != nil:
		l.fail(err)
	case v.Reply == milter.Accept:
		l.passConnection = true
	case v.Reply != milter.Continue:
		// It is late for a word on the connection: it holds for the message.
		l.fail(refusalOf(v, aboutConnection))
	}
}

// found notes what the milter has said.
func (l *listener) found(what string) { l.dialogue.found("milter "+l.Address, what) }

// fail notes that the milter cannot be asked.
func (l *listener) fail(err error) {
	l.dialogue.filters.o.Log.Warn("milter does not answer", "milter", l.Address, "when_down", string(l.WhenDown), obs.Err, err)
	l.down = err
	l.found("does not answer: " + err.Error())
	if l.conn != nil {
		_ = l.conn.Close() // it is of no more use
		l.conn = nil
	}
}

// missed tells what it means that the milter was not asked: nothing if it did
// not want to be. A client is not turned away before it has said what it wants.
func (l *listener) missed(s scope) error {
	if l.passConnection || l.passMessage {
		return nil
	}
	if s == aboutConnection {
		return nil
	}
	if l.WhenDown == Quarantine {
		l.dialogue.setAside = true
	}
	if r := l.WhenDown.refusal(l.down); r != nil {
		return r
	}
	return nil
}

func (l *listener) close() {
	if l.conn != nil {
		_ = l.conn.Close() // the filter may be gone, which is the same
		l.conn = nil
	}
}

// clientName is the client's name, or its address in brackets.
func (d *Dialogue) clientName() string {
	if d.info.ReverseName != "" {
		return d.info.ReverseName
	}
	if addr := d.info.Addr(); addr.IsValid() {
		return mail.FormatLiteral(addr)
	}
	return "localhost"
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		at := t.AddrPort()
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return netip.AddrPort{}
}

// macro gives the value of a macro, by the names that Sendmail and Postfix
// know; empty if there is none now.
func (d *Dialogue) macro(name string) string {
	switch strings.Trim(name, "{}") {
	case "j":
		return d.filters.o.Hostname
	case "v":
		return "Waxwing " + d.filters.o.Version
	case "i":
		return d.id
	case "_":
		if addr := d.info.Addr(); addr.IsValid() {
			return d.clientName() + " [" + addr.String() + "]"
		}
	case "daemon_name":
		return d.filters.o.Hostname
	case "daemon_addr":
		if addr := d.info.LocalAddr(); addr.IsValid() {
			return addr.String()
		}
	case "daemon_port":
		return port(d.info.Local)
	case "client_addr":
		if addr := d.info.Addr(); addr.IsValid() {
			return addr.String()
		}
	case "client_name", "client_ptr":
		if d.info.ReverseName == "" {
			return "unknown"
		}
		return d.info.ReverseName
	case "client_port":
		return port(d.info.Remote)
	case "tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer":
		return d.tlsMacro(strings.Trim(name, "{}"))
	case "auth_type", "auth_authen", "auth_author":
		return d.authMacro(strings.Trim(name, "{}"))
	default:
		return d.pathMacro(strings.Trim(name, "{}"))
	}
	return ""
}

func port(a net.Addr) string {
	if at := addrPort(a); at.IsValid() {
		return strconv.Itoa(int(at.Port()))
	}
	return ""
}

func (d *Dialogue) tlsMacro(name string) string {
	state := d.info.TLS
	if state == nil {
		return ""
	}
	switch name {
	case "tls_version":
		return strings.ReplaceAll(tls.VersionName(state.Version), " ", "v")
	case "cipher":
		return tls.CipherSuiteName(state.CipherSuite)
	case "cipher_bits":
		if strings.Contains(tls.CipherSuiteName(state.CipherSuite), "128") {
			return "128"
		}
		return "256"
	}
	if len(state.PeerCertificates) == 0 {
		return ""
	}
	if name == "cert_issuer" {
		return state.PeerCertificates[0].Issuer.String()
	}
	return state.PeerCertificates[0].Subject.String()
}

func (d *Dialogue) authMacro(name string) string {
	if d.info.Identity == nil {
		return ""
	}
	switch name {
	case "auth_type":
		return d.info.Identity.Mechanism
	case "auth_authen":
		return d.info.Identity.Login.String()
	}
	return d.mail.Auth
}

// pathMacro gives what is known of the sender and the recipient. As Postfix
// does, a refused recipient has the mailer "error", its code for a host and the
// text for an address.
func (d *Dialogue) pathMacro(name string) string {
	switch name {
	case "mail_addr":
		return d.mail.From.String()
	case "mail_host":
		return d.mail.From.Domain
	case "mail_mailer", "rcpt_mailer":
		if name == "rcpt_mailer" && d.refused != nil {
			return "error"
		}
		return "smtp"
	case "rcpt_addr":
		if d.refused != nil {
			return strconv.Itoa(d.refused.Code) + " " + d.refused.Text
		}
		return d.rcpt.To.String()
	case "rcpt_host":
		if d.refused != nil {
			return d.refused.Enhanced.String()
		}
		return d.rcpt.To.Domain
	}
	return ""
}

// arguments gives the path and the parameters of MAIL or RCPT as a milter
// wants them.
func arguments(command string) []string {
	_, rest, _ := strings.Cut(strings.TrimSuffix(command, "\r\n"), ":")
	if at := strings.LastIndexByte(rest, '>'); at >= 0 {
		return append([]string{rest[:at+1]}, strings.Fields(rest[at+1:])...)
	}
	return strings.Fields(rest)
}
