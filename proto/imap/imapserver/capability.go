package imapserver

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"waxwing/proto/imap"
	"waxwing/proto/sasl"
)

// Extensions without a command of their own; those with one are announced by
// the command's row. Each name stands where what makes it true lives.
var (
	// input.go, read.go. LITERAL+ includes what LITERAL- permits, and only
	// one of the two may be announced. RFC 7888 §5
	earlyCapabilities = []string{"LITERAL+", "LOGIN-REFERRALS", "SASL-IR"}
	// fetch.go, search.go, list.go, status.go, append.go, simple.go
	lateCapabilities = []string{
		// search.go, sort.go, thread.go, context.go, fuzzy.go
		"CONTEXT=SORT", "ESORT", "FILTERS", "I18NLEVEL=1", "PARTIAL", "SEARCH=FUZZY", "SORT=DISPLAY",
		"THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "THREAD=REFS", "WITHIN",
		"BINARY", "CHILDREN", "CREATE-SPECIAL-USE", "ESEARCH", "LIST-EXTENDED", "LIST-STATUS",
		"SEARCHRES", "SPECIAL-USE", "STATUS=SIZE", "UTF8=ACCEPT",
		// url.go
		"CATENATE", "URL-PARTIAL",
		// modseq.go
		"CONDSTORE", "QRESYNC",
		// acl.go, quota.go, list.go, auth.go
		"ACL", "RIGHTS=texk", "QUOTA=RES-ANNOTATION-STORAGE", "QUOTA=RES-MAILBOX", "QUOTA=RES-MESSAGE", "QUOTA=RES-STORAGE",
		"LIST-METADATA", "LIST-MYRIGHTS",
		// fetch.go
		"OBJECTID", "PREVIEW", "PREVIEW=FUZZY", "SAVEDATE", "SNIPPET=FUZZY",
		// uidonly.go, searcher.go
		"UIDONLY", "INPROGRESS",
	}
	revisions = []string{"IMAP4rev1", "IMAP4rev2"}
)

// capabilities are the lists that do not depend on the connection.
type capabilities struct{ early, late string }

func newCapabilities(commands map[string]command, o *Options) capabilities {
	early := append([]string{}, earlyCapabilities...)
	late := append(append([]string{}, earlyCapabilities...), lateCapabilities...)
	late = append(late,
		"APPENDLIMIT="+strconv.FormatInt(int64(o.MaxMessage), 10), // RFC 7889 §2
		"MESSAGELIMIT="+strconv.Itoa(o.MessageLimit),              // RFC 9738 §3
	)
	for _, k := range commands {
		if k.capability == "" {
			continue
		}
		late = append(late, k.capability)
		if k.in&notAuthenticated != 0 || k.capability == "ENABLE" {
			early = append(early, k.capability)
		}
	}
	list := func(names []string) string {
		slices.Sort(names)
		return strings.Join(append(append([]string{}, revisions...), slices.Compact(names)...), " ")
	}
	return capabilities{early: list(early), late: list(late)}
}

// capability gives what is announced to this connection now.
func (c *conn) capability() string {
	if c.state != notAuthenticated {
		return c.server.capabilities.late
	}
	var b strings.Builder
	b.WriteString(c.server.capabilities.early)
	if c.server.options.TLS != nil && c.info.TLS == nil {
		b.WriteString(" STARTTLS")
	}
	if !c.plaintextAllowed() {
		b.WriteString(" LOGINDISABLED") // RFC 9051 §6.2.3
	}
	for _, m := range sasl.Mechanisms(c.channel()) {
		b.WriteString(" AUTH=")
		b.WriteString(m)
	}
	return b.String()
}

// tellCapability is CAPABILITY. RFC 9051 §6.1.1
func (c *conn) tellCapability(context.Context, imap.Bare) (reply, error) {
	c.out.line("* CAPABILITY %s", c.capability())
	return reply{}, nil
}
