package imapserver

import (
	"context"
	"strings"

	"waxwing/proto/imap"
)

// A state of a connection, or a set of them. RFC 9051 §3
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated
	selected

	loggedIn = authenticated | selected
	anyState = notAuthenticated | loggedIn
)

// A news says what a command may tell about the selected mailbox before it is
// answered. RFC 9051 §7.5.1
type news uint8

const (
	newsNone    news = iota // nothing: the mailbox is changing, or there is none
	newsKeeping             // all but EXPUNGE, since sequence numbers are in use
	newsAll
)

// A command is one row: where it is allowed, what it may tell, what it does.
// A command that belongs to an extension names it, and is what makes the
// extension be announced.
type command struct {
	in         state
	news       news
	capability string
	run        func(*conn, context.Context, imap.Command) (reply, error)
}

// row makes a command of a method that takes the command's own type.
func row[C imap.Command](in state, n news, run func(*conn, context.Context, C) (reply, error)) command {
	return command{in: in, news: n, run: func(c *conn, ctx context.Context, cmd imap.Command) (reply, error) {
		return run(c, ctx, cmd.(C))
	}}
}

// of says which extension a command belongs to.
func (k command) of(capability string) command {
	k.capability = capability
	return k
}

// commandTable has every command. RFC 9051 §6, RFC 3501 §6
func commandTable() map[string]command {
	return map[string]command{
		"CAPABILITY": row(anyState, newsNone, (*conn).tellCapability),
		"NOOP":       row(anyState, newsAll, (*conn).noop),
		"LOGOUT":     row(anyState, newsNone, (*conn).logout),
		"ID":         row(anyState, newsNone, (*conn).id).of("ID"),

		"STARTTLS":     row(notAuthenticated, newsNone, (*conn).beginTLS),
		"AUTHENTICATE": row(notAuthenticated, newsNone, (*conn).authenticate),
		"LOGIN":        row(notAuthenticated, newsNone, (*conn).login),

		"UNAUTHENTICATE": row(loggedIn, newsNone, (*conn).unauthenticate).of("UNAUTHENTICATE"),
		"COMPRESS":       row(loggedIn, newsAll, (*conn).compress).of("COMPRESS=DEFLATE"),

		"ENABLE":      row(loggedIn, newsAll, (*conn).enable).of("ENABLE"),
		"SELECT":      row(loggedIn, newsNone, (*conn).selectMailbox),
		"EXAMINE":     row(loggedIn, newsNone, (*conn).selectMailbox),
		"CREATE":      row(loggedIn, newsAll, (*conn).create),
		"DELETE":      row(loggedIn, newsAll, (*conn).delete),
		"RENAME":      row(loggedIn, newsAll, (*conn).rename),
		"SUBSCRIBE":   row(loggedIn, newsAll, (*conn).subscribe),
		"UNSUBSCRIBE": row(loggedIn, newsAll, (*conn).subscribe),
		"LIST":        row(loggedIn, newsAll, (*conn).list),
		"LSUB":        row(loggedIn, newsAll, (*conn).lsub),
		"STATUS":      row(loggedIn, newsAll, (*conn).status),
		"NAMESPACE":   row(loggedIn, newsAll, (*conn).namespace).of("NAMESPACE"),
		"APPEND":      row(loggedIn, newsAll, (*conn).append).of("MULTIAPPEND"),
		"RESETKEY":    row(loggedIn, newsAll, (*conn).resetKey).of("URLAUTH"),
		"GENURLAUTH":  row(loggedIn, newsAll, (*conn).genURLAuth).of("URLAUTH"),
		"URLFETCH":    row(loggedIn, newsAll, (*conn).urlFetch).of("URLAUTH=BINARY"),
		"IDLE":        row(loggedIn, newsAll, (*conn).idle).of("IDLE"),

		"SETACL":       row(loggedIn, newsAll, (*conn).setACL).of("ACL"),
		"DELETEACL":    row(loggedIn, newsAll, (*conn).setACL).of("ACL"),
		"GETACL":       row(loggedIn, newsAll, (*conn).getACL).of("ACL"),
		"LISTRIGHTS":   row(loggedIn, newsAll, (*conn).listRights).of("ACL"),
		"MYRIGHTS":     row(loggedIn, newsAll, (*conn).myRights).of("ACL"),
		"GETQUOTA":     row(loggedIn, newsAll, (*conn).getQuota).of("QUOTA"),
		"GETQUOTAROOT": row(loggedIn, newsAll, (*conn).getQuotaRoot).of("QUOTA"),
		"SETQUOTA":     row(loggedIn, newsAll, (*conn).setQuota).of("QUOTASET"),
		"GETMETADATA":  row(loggedIn, newsAll, (*conn).getMetadata).of("METADATA"),
		"SETMETADATA":  row(loggedIn, newsAll, (*conn).setMetadata).of("METADATA"),
		"LANGUAGE":     row(anyState, newsAll, (*conn).language).of("LANGUAGE"),
		"RLIST":        row(loggedIn, newsAll, (*conn).list).of("MAILBOX-REFERRALS"),
		"RLSUB":        row(loggedIn, newsAll, (*conn).lsub).of("MAILBOX-REFERRALS"),

		"SORT":         row(selected, newsKeeping, (*conn).sort).of("SORT"),
		"THREAD":       row(selected, newsKeeping, (*conn).thread),
		"UID SORT":     row(selected, newsAll, (*conn).sort).of("SORT"),
		"UID THREAD":   row(selected, newsAll, (*conn).thread),
		"ESEARCH":      row(loggedIn, newsAll, (*conn).multiSearch).of("MULTISEARCH"),
		"COMPARATOR":   row(loggedIn, newsAll, (*conn).comparator).of("I18NLEVEL=2"),
		"CANCELUPDATE": row(selected, newsAll, (*conn).cancelUpdate).of("CONTEXT=SEARCH"),

		"UIDBATCHES":  row(selected, newsAll, (*conn).uidBatches).of("UIDBATCHES"),
		"NOTIFY":      row(loggedIn, newsNone, (*conn).notify).of("NOTIFY"),
		"CHECK":       row(selected, newsAll, (*conn).noop),
		"CLOSE":       row(selected, newsNone, (*conn).closeMailbox),
		"UNSELECT":    row(selected, newsNone, (*conn).unselect).of("UNSELECT"),
		"EXPUNGE":     row(selected, newsAll, (*conn).expunge),
		"UID EXPUNGE": row(selected, newsAll, (*conn).uidExpunge).of("UIDPLUS"),
		// Sequence numbers are in use in these three: no EXPUNGE while they
		// run, not even at their end. RFC 9051 §7.5.1
		"FETCH":       row(selected, newsKeeping, (*conn).fetch),
		"STORE":       row(selected, newsKeeping, (*conn).store),
		"SEARCH":      row(selected, newsKeeping, (*conn).search),
		"UID FETCH":   row(selected, newsAll, (*conn).fetch),
		"UID STORE":   row(selected, newsAll, (*conn).store),
		"UID SEARCH":  row(selected, newsAll, (*conn).search),
		"COPY":        row(selected, newsAll, (*conn).copy),
		"UID COPY":    row(selected, newsAll, (*conn).copy),
		"REPLACE":     row(selected, newsAll, (*conn).replace).of("REPLACE"),
		"UID REPLACE": row(selected, newsAll, (*conn).replace).of("REPLACE"),
		"MOVE":        row(selected, newsAll, (*conn).move).of("MOVE"),
		"UID MOVE":    row(selected, newsAll, (*conn).move).of("MOVE"),
	}
}

// run carries out one command. An error ends the connection.
func (c *conn) run(t *tagged) error {
	name := t.Name()
	k, ok := c.server.commands[name]
	switch {
	case !ok:
		return c.reject(t, "Unknown command")
	case c.state&k.in == 0:
		return c.reject(t, wrongState(c.state, k.in))
	}
	if c.uidOnly && numbered(t.Command) {
		return c.reject(t, uidRequired.Text)
	}
	c.tag = t.tag
	if k.in == selected {
		if err := c.recheck(c.work); err != nil {
			return err
		}
	}
	r, err := k.run(c, c.work, t.Command)
	if fatal(err) {
		return err
	}
	if k.news == newsAll && searchesNumbers(t.Command) { // RFC 7162 §3.2.10.2
		k.news = newsKeeping
	}
	if gone := c.tellNews(k.news, isUID(name), name); gone != nil {
		return gone
	}
	if r.highest && c.qresync && r.code == "" && c.view != nil {
		r.code = c.highestModSeq()
	}
	if r.limit != "" && err == nil {
		if r.code == "" {
			r.code, r.text = r.limit, name+" completed for the last of the messages"
		} else { // RFC 9738 §3.1, last paragraph but one
			c.remark("NO", r.limit, "Completed for the last of the messages")
		}
	}
	if fin := c.finish(t.tag, name, r, err); fin != nil || r.then == nil {
		return fin
	}
	if err := c.out.flush(); err != nil {
		return lost(err)
	}
	return r.then()
}

// searchesNumbers tells whether a command looks for messages by sequence
// numbers, whatever it finds them as.
func searchesNumbers(cmd imap.Command) bool {
	switch cmd := cmd.(type) {
	case imap.Search:
		return cmd.Program.Numbers()
	case imap.Sort:
		return cmd.Program.Numbers()
	case imap.Thread:
		return cmd.Program.Numbers()
	case imap.MultiSearch:
		return cmd.Program.Numbers()
	}
	return false
}

func isUID(name string) bool { return strings.HasPrefix(name, "UID ") }

// reject answers BAD to a command that will not be run; an APPEND's message
// may have to be skipped.
func (c *conn) reject(t *tagged, text string) error {
	if a, ok := t.Command.(*appending); ok && a.literal() != nil {
		return c.refuseLiteral(t.tag, *a.literal(), &imap.SyntaxError{Text: text})
	}
	c.blame(t.tag, text)
	return nil
}

func wrongState(now, in state) string {
	switch {
	case now == notAuthenticated:
		return "Log in first"
	case in == notAuthenticated:
		return "Already logged in"
	}
	return "Select a mailbox first"
}
