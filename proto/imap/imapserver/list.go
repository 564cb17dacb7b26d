package imapserver

import (
	"context"
	"errors"
	"slices"
	"strings"

	"waxwing/proto/imap"
)

// A lister knows all names of an account: of mailboxes, of subscriptions,
// and of the levels above them.
type lister struct {
	names []string // of mailboxes and subscriptions, INBOX first
	nodes map[string]*node
}

// A node is a name.
type node struct {
	info       Status
	exists     bool // there is a mailbox
	subscribed bool
	children   bool // there is a mailbox below
}

// A listEntry is one LIST response.
type listEntry struct {
	name       string
	attributes []string
	childInfo  []string // RFC 5258 §3.5
	forChild   bool     // not selected itself, only something below it is
	selectable bool
	info       Status
}

// newLister reads what LIST chooses from.
func (c *conn) newLister(ctx context.Context) (*lister, error) {
	boxes, err := c.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	subscriptions, err := c.account.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	l := &lister{nodes: make(map[string]*node, len(boxes))}
	for _, b := range boxes {
		l.nodes[b.Name] = &node{info: b, exists: true}
		l.names = append(l.names, b.Name)
	}
	for _, b := range boxes {
		for parent := range parents(b.Name) {
			l.level(parent).children = true
		}
	}
	extra := len(l.names)
	for _, name := range subscriptions {
		n := l.nodes[name]
		if n == nil {
			n = &node{}
			l.nodes[name] = n
		}
		if !n.exists {
			l.names = append(l.names, name)
		}
		n.subscribed = true
		for parent := range parents(name) {
			l.level(parent)
		}
	}
	slices.Sort(l.names[extra:])
	return l, nil
}

// level gives the node of a name that stands above others.
func (l *lister) level(name string) *node {
	n := l.nodes[name]
	if n == nil {
		n = &node{}
		l.nodes[name] = n
	}
	return n
}

// parents gives the levels above a name, the nearest first.
func parents(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := len(name) - 1; i > 0; i-- {
			if name[i] == imap.Delimiter && !yield(name[:i]) {
				return
			}
		}
	}
}

// entry makes the response for a name.
func (l *lister) entry(name string, want imap.ListReturn) listEntry {
	n := l.nodes[name]
	if n == nil {
		n = &node{}
	}
	e := listEntry{name: name, info: n.info, selectable: n.exists && !n.info.NoSelect}
	switch {
	case !n.exists:
		e.attributes = append(e.attributes, `\NonExistent`)
	case n.info.NoSelect:
		e.attributes = append(e.attributes, `\Noselect`)
	}
	if want&imap.ReturnSubscribed != 0 && n.subscribed {
		e.attributes = append(e.attributes, `\Subscribed`)
	}
	if want&imap.ReturnChildren != 0 {
		if n.children {
			e.attributes = append(e.attributes, `\HasChildren`)
		} else {
			e.attributes = append(e.attributes, `\HasNoChildren`)
		}
	}
	if a := imap.RoleAttribute(n.info.Role); a != "" && want&imap.ReturnSpecialUse != 0 {
		e.attributes = append(e.attributes, a)
	}
	return e
}

// maxWildcards is how many wildcards the patterns of one LIST may have.
const maxWildcards = 64

// matcher makes the patterns of a LIST from its reference and patterns.
func (c *conn) matcher(reference string, patterns []string) (func(name string) bool, error) {
	ref, err := c.patternText(reference)
	if err != nil {
		return nil, err
	}
	var compiled []imap.Pattern
	wild := 0
	for _, p := range patterns {
		text, err := c.patternText(p)
		if err != nil {
			return nil, err
		}
		// What a LIST costs grows with them, and with the length of all names.
		if wild += strings.Count(ref+text, "*") + strings.Count(ref+text, "%"); wild > maxWildcards {
			return nil, &imap.Refusal{Code: imap.CodeLimit, Text: "Too many wildcards"}
		}
		if text == "" {
			continue
		}
		compiled = append(compiled, imap.CompilePattern(ref+text))
	}
	return func(name string) bool {
		return slices.ContainsFunc(compiled, func(p imap.Pattern) bool { return p.Match(name) })
	}, nil
}

// patternText reads a pattern, or a reference, in the form that the session
// speaks. What is not a name in it matches nothing, which is no error.
func (c *conn) patternText(raw string) (string, error) {
	if len(raw) > 2048 {
		return "", &imap.Refusal{Code: imap.CodeLimit, Text: "Pattern is too long"}
	}
	if c.utf8 {
		return raw, nil
	}
	text, err := imap.DecodeUTF7(raw)
	if err != nil {
		return raw, nil
	}
	return text, nil
}

// list is LIST. RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154
func (c *conn) list(ctx context.Context, cmd imap.List) (reply, error) {
	if !cmd.Extended && cmd.Patterns[0] == "" {
		// Asks for the delimiter and the root of the reference.
		c.out.line(`* LIST (\Noselect) "%c" ""`, imap.Delimiter)
		return reply{}, nil
	}
	match, err := c.matcher(cmd.Reference, cmd.Patterns)
	if err != nil {
		return reply{}, err
	}
	l, err := c.newLister(ctx)
	if err != nil {
		return reply{}, err
	}
	want := cmd.Return
	if !cmd.Extended {
		want |= imap.ReturnChildren | imap.ReturnSpecialUse // RFC 6154 §2: may be told unasked
	}
	if slices.Contains(cmd.Status, imap.StatusHighestModSeq) {
		c.useModSeq() // as STATUS does. RFC 7162 §3.1, RFC 5819 §2
	}
	if cmd.Select&imap.SelectSubscribed != 0 {
		want |= imap.ReturnSubscribed // RFC 5258 §3.1
	}
	if cmd.Select&imap.SelectSpecialUse != 0 {
		want |= imap.ReturnSpecialUse // RFC 6154 §4
	}
	for _, e := range l.choose(cmd.Select, match, want) {
		c.tellList(e, "")
		if err := c.tellBeside(ctx, e, cmd); err != nil {
			return reply{}, err
		}
		if c.out.room() != nil {
			break
		}
	}
	return reply{}, nil
}

// tellBeside writes what a LIST asks for besides. What of one mailbox cannot be
// had keeps nobody from hearing of the others; of one that is only listed for
// the sake of those below it nothing is told. RFC 5819 §2, §3, RFC 8440 §3, §4,
// RFC 9590 §3
func (c *conn) tellBeside(ctx context.Context, e listEntry, cmd imap.List) error {
	if e.forChild {
		return nil
	}
	there := e.info.Name != ""
	if cmd.Return&imap.ReturnMyRights != 0 && there {
		c.tellMyRights(e.name, e.info.Rights)
	}
	if cmd.Return&imap.ReturnMetadata != 0 && there {
		all, err := c.account.Annotations(ctx, e.name)
		if _, refused := errors.AsType[*imap.Refusal](err); err != nil && !refused {
			return err
		}
		if err == nil {
			c.tellMetadata(e.name, chosen(all, cmd.Entries))
		}
	}
	if cmd.Return&imap.ReturnStatus != 0 && e.selectable {
		return c.tellStatus(ctx, e.name, e.info, cmd.Status)
	}
	return nil
}

// selects tells whether a node meets the selection options.
func (n *node) selects(options imap.ListSelect) bool {
	if options&imap.SelectSubscribed != 0 && !n.subscribed {
		return false
	}
	if options&imap.SelectSpecialUse != 0 && imap.RoleAttribute(n.info.Role) == "" {
		return false
	}
	return n.exists || options&imap.SelectSubscribed != 0
}

// choose gives the responses of a LIST: names that match and are selected;
// with RECURSIVEMATCH also names that match above selected ones that do not.
// RFC 5258 §3.4, §3.5
func (l *lister) choose(options imap.ListSelect, match func(string) bool, want imap.ListReturn) []listEntry {
	var out []listEntry
	at := map[string]int{}
	for _, name := range l.names {
		if l.nodes[name].selects(options) && match(name) {
			at[name] = len(out)
			out = append(out, l.entry(name, want))
		}
	}
	if options&imap.SelectRecursive == 0 {
		return out
	}
	var info []string
	if options&imap.SelectSubscribed != 0 {
		info = append(info, "SUBSCRIBED")
	}
	if options&imap.SelectSpecialUse != 0 {
		info = append(info, "SPECIAL-USE")
	}
	for _, name := range l.names {
		if !l.nodes[name].selects(options) {
			continue
		}
		told := match(name)
		for parent := range parents(name) {
			if !match(parent) {
				continue
			}
			i, listed := at[parent]
			if !listed && told {
				continue // only to say of it what its child says: §3.5
			}
			if !listed {
				i = len(out)
				at[parent] = i
				e := l.entry(parent, want)
				e.forChild = true
				out = append(out, e)
			}
			out[i].childInfo = info
		}
	}
	return out
}

// tellList writes a LIST response. old is the name that the client knows,
// told when it is another. RFC 9051 §7.3.1
func (c *conn) tellList(e listEntry, old string) {
	c.out.begin()
	b := c.appendListed(append(c.out.b, "* LIST ("...), e)
	switch {
	case len(e.childInfo) > 0:
		b = append(b, ` ("CHILDINFO" ("`...)
		b = append(b, strings.Join(e.childInfo, `" "`)...)
		b = append(b, `"))`...)
	case old != "" && old != e.name:
		b = append(b, ` ("OLDNAME" (`...)
		b = imap.AppendMailbox(b, old, c.utf8)
		b = append(b, "))"...)
	}
	c.out.b = append(b, '\r', '\n')
}

func (c *conn) appendListed(b []byte, e listEntry) []byte {
	b = append(b, strings.Join(e.attributes, " ")...)
	b = append(b, `) "`...)
	b = append(b, imap.Delimiter)
	b = append(b, `" `...)
	return imap.AppendMailbox(b, e.name, c.utf8)
}

// lsub is LSUB. RFC 3501 §6.3.9
func (c *conn) lsub(ctx context.Context, cmd imap.Lsub) (reply, error) {
	match, err := c.matcher(cmd.Reference, []string{cmd.Pattern})
	if err != nil {
		return reply{}, err
	}
	l, err := c.newLister(ctx)
	if err != nil {
		return reply{}, err
	}
	told := map[string]bool{}
	tell := func(name string, e listEntry) {
		if !told[name] {
			told[name] = true
			c.out.begin()
			c.out.b = append(c.appendListed(append(c.out.b, "* LSUB ("...), e), '\r', '\n')
		}
	}
	for _, name := range l.names {
		n := l.nodes[name]
		if !n.subscribed {
			continue
		}
		if match(name) {
			e := listEntry{name: name}
			if !n.exists || n.info.NoSelect {
				e.attributes = []string{`\Noselect`}
			}
			tell(name, e)
			continue
		}
		// A "%" that stops above a subscribed name shows the level there.
		for parent := range parents(name) {
			if p := l.nodes[parent]; match(parent) && !p.subscribed {
				tell(parent, listEntry{name: parent, attributes: []string{`\Noselect`}})
				break
			}
		}
	}
	return reply{}, nil
}
