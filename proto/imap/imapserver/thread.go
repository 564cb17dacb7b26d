package imapserver

import (
	"context"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// algorithms are those of THREAD, each announced as THREAD=name.
var algorithms = map[string]abstract.Algorithm{
	"ORDEREDSUBJECT": abstract.OrderedSubject,
	"REFERENCES":     abstract.References,
	"REFS":           abstract.Refs,
}

// thread is THREAD and UID THREAD. RFC 5256 §3
func (c *conn) thread(ctx context.Context, cmd imap.Thread) (reply, error) {
	by, ok := algorithms[cmd.Algorithm]
	if !ok {
		return reply{}, &imap.SyntaxError{Text: "Unknown threading algorithm"}
	}
	search := imap.Search{UID: cmd.UID, Charset: cmd.Charset, Program: cmd.Program}
	r, err := c.runSearch(ctx, c.view, &search)
	if err != nil {
		return reply{}, err
	}
	var roots []*abstract.Node
	if len(r.found) > 0 {
		if roots, err = c.view.mailbox.Threaded(ctx, c.view.told, placesOf(r.found), by); err != nil {
			return reply{}, err
		}
	}
	uids := make(map[int32]mail.UID)
	if cmd.UID {
		uids = make(map[int32]mail.UID, len(r.found))
		for _, m := range r.found {
			uids[int32(m.place)] = m.uid
		}
	}
	c.out.begin()
	c.out.b = append(c.out.b, "* THREAD"...)
	if len(roots) > 0 {
		c.out.b = append(c.out.b, ' ')
	}
	for _, root := range roots {
		c.tellThread(root, func(place int32) uint64 {
			if cmd.UID {
				return uint64(uids[place])
			}
			return uint64(place) + 1
		})
		if c.out.room() != nil {
			break
		}
	}
	c.out.b = append(c.out.b, '\r', '\n')
	return reply{}, nil
}

// tellThread writes one thread: messages of which each is the only answer to
// the one before in a row, those of which there are several each in
// parentheses. It does not call itself: threads may be deep. RFC 5256 §4
func (c *conn) tellThread(root *abstract.Node, number func(place int32) uint64) {
	type step struct {
		node  *abstract.Node // nil: close a parenthesis
		alone bool           // goes on in the row of its parent
	}
	stack := []step{{node: root}}
	b := c.out.b
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.node == nil {
			b = append(b, ')')
			continue
		}
		if s.alone {
			b = append(b, ' ')
		} else {
			b = append(b, '(')
			stack = append(stack, step{})
		}
		n := s.node
		if n.Place >= 0 {
			b = appendUint(b, number(n.Place))
		}
		if len(n.Children) == 1 && n.Place >= 0 {
			stack = append(stack, step{n.Children[0], true})
			continue
		}
		if len(n.Children) > 0 && n.Place >= 0 {
			b = append(b, ' ')
		}
		for i := len(n.Children) - 1; i >= 0; i-- {
			stack = append(stack, step{node: n.Children[i]})
		}
	}
	c.out.b = b
}
