package smtpserver

import (
	"context"

	"waxwing/proto/smtp"
)

// A command is one row: what must hold and what is done.
type command struct {
	needs needs
	run   func(*conn, context.Context, smtp.Command)
	// idle marks what brings no message nearer; there is a limit to it.
	idle bool
	// closed marks what is still answered when the Session refused the
	// connection. RFC 5321 §3.1
	closed bool
	// offer is the extension that the command belongs to; where it is not
	// offered, the command is not known.
	offer smtp.Extensions
}

// The table of commands. RFC 5321 §4.1.1
//
// NOOP, HELP, EXPN, VRFY and RSET may come at any time, also before EHLO.
// RFC 5321 §4.1.4
var commands = map[string]command{
	"EHLO":     {run: (*conn).hello, idle: true},
	"HELO":     {run: (*conn).hello, idle: true},
	"LHLO":     {run: (*conn).hello, idle: true}, // RFC 2033 §4.1
	"MAIL":     {needs: privacy | greeted | login | noTransaction, run: (*conn).mail},
	"RCPT":     {needs: privacy | transaction, run: (*conn).rcpt},
	"DATA":     {needs: privacy | recipients, run: (*conn).data},
	"BDAT":     {needs: privacy | recipients, run: (*conn).bdat, offer: smtp.Chunking},
	"BURL":     {needs: privacy | recipients, run: (*conn).burl, offer: smtp.BURL},
	"XCLIENT":  {needs: noTransaction, run: (*conn).xclient, idle: true},
	"TURN":     {run: (*conn).turn, idle: true},
	"ETRN":     {run: (*conn).turn, idle: true},
	"ATRN":     {run: (*conn).turn, idle: true},
	"RSET":     {run: (*conn).rset, idle: true},
	"NOOP":     {run: (*conn).noop, idle: true},
	"QUIT":     {run: (*conn).goodbye, closed: true},
	"HELP":     {run: (*conn).help, idle: true},
	"VRFY":     {needs: privacy, run: (*conn).verify, idle: true},
	"EXPN":     {needs: privacy, run: (*conn).expand, idle: true},
	"STARTTLS": {needs: noTransaction, run: (*conn).startTLS, idle: true},
	"AUTH":     {needs: greeted | noTransaction, run: (*conn).auth, idle: true}, // RFC 4954 §4
}
