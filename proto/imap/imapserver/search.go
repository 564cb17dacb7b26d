package imapserver

import (
	"context"
	"slices"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// search is SEARCH and UID SEARCH. RFC 9051 §6.4.4, RFC 4731, RFC 5182
func (c *conn) search(ctx context.Context, cmd imap.Search) (reply, error) {
	if cmd.Charset != "" && c.utf8 && !c.rev2 {
		// SORT and THREAD, which cannot do without one, may have it.
		return reply{}, &imap.SyntaxError{Text: "No CHARSET after ENABLE UTF8=ACCEPT"} // RFC 6855 §3
	}
	if err := c.checkTag(&cmd); err != nil {
		return reply{}, err
	}
	r, err := c.runSearch(ctx, c.view, &cmd)
	if err := c.save(r, cmd.Return, err); err != nil {
		return reply{}, err
	}
	if cmd.Extended || c.rev2 {
		c.tellESearch(r, &cmd, "")
	} else {
		c.tellSearch("SEARCH", r, &cmd)
	}
	return reply{}, c.beginUpdates(r, &cmd, nil)
}

// checkTag refuses to follow two results by one tag.
func (c *conn) checkTag(cmd *imap.Search) error {
	if cmd.Return&imap.ReturnUpdate != 0 && c.view != nil && c.view.context(c.tag) != nil {
		return &imap.SyntaxError{Text: "Tag reuse"} // RFC 5267 §4.3
	}
	return nil
}

// A result is what a search has found, in the order that was asked for.
type result struct {
	view  *view
	found []match

	// What the program has asked for, its filters with it. RFC 5466 §3.1
	fuzzy, modseq bool
}

// runSearch gives the messages that match, in the mailbox's order.
func (c *conn) runSearch(ctx context.Context, v *view, cmd *imap.Search) (result, error) {
	s, err := c.newSearcher(ctx, v, &cmd.Program, cmd.Charset)
	if err != nil {
		return result{}, err
	}
	first := cmd.Return&^imap.ReturnSave == imap.ReturnMin // the first is enough
	found, err := s.run([]span{{0, v.told.Len()}}, first)
	if err == nil && cmd.Return&imap.ReturnRelevancy != 0 && s.fuzzy == 0 {
		err = errNotFuzzy
	}
	return result{v, found, s.fuzzy > 0, s.modseq}, err
}

// errNotFuzzy is of a program that nothing can be relevant to. RFC 6203 §4, §6
var errNotFuzzy = &imap.SyntaxError{Text: "RELEVANCY needs FUZZY"}

// save keeps what was found for "$", and passes an error on: nothing is kept
// after a NO. RFC 5182 §2.1
func (c *conn) save(r result, options imap.SearchReturn, err error) error {
	if options&imap.ReturnSave != 0 {
		if _, bad := err.(*imap.SyntaxError); !bad {
			c.view.saved = nil
		}
	}
	return err
}

// keep sets what "$" stands for from now on. RFC 5182 §2.4, RFC 9394 §3.2
func (r *result) keep(cmd *imap.Search) {
	if cmd.Return&imap.ReturnSave == 0 {
		return
	}
	some := r.found
	if n := len(r.found); n > 0 && cmd.Return&(imap.ReturnAll|imap.ReturnCount) == 0 &&
		cmd.Return&(imap.ReturnMin|imap.ReturnMax|imap.ReturnPartial) != 0 {
		some = nil
		if cmd.Return&imap.ReturnPartial != 0 {
			some = append(some, r.page(cmd)...)
		}
		if cmd.Return&imap.ReturnMin != 0 {
			some = append(some, r.found[0])
		}
		if cmd.Return&imap.ReturnMax != 0 {
			some = append(some, r.found[n-1])
		}
	}
	uids := make([]mail.UID, len(some))
	for i, m := range some {
		uids[i] = m.uid
	}
	slices.Sort(uids)
	r.view.saved = slices.Compact(uids)
}

// page gives the part of the result that PARTIAL asks for. RFC 9394 §3.1
func (r *result) page(cmd *imap.Search) []match {
	from, to := cmd.Page.Places(len(r.found))
	if from >= to {
		return nil
	}
	return r.found[from:to]
}

func (m match) number(uid bool) uint64 {
	if uid {
		return uint64(m.uid)
	}
	return uint64(m.place) + 1
}

// tellSearch writes a SEARCH or a SORT response. RFC 3501 §7.2.5, RFC 5256 §4
func (c *conn) tellSearch(word string, r result, cmd *imap.Search) {
	r.keep(cmd)
	c.out.begin()
	c.out.b = append(append(c.out.b, "* "...), word...)
	for _, m := range r.found {
		c.out.b = append(c.out.b, ' ')
		c.out.b = appendUint(c.out.b, m.number(cmd.UID))
		if c.out.room() != nil {
			return
		}
	}
	if len(r.found) > 0 && r.modseq { // RFC 7162 §3.1.6
		c.out.b = append(appendUint(append(c.out.b, " (MODSEQ "...), r.view.highestOf(r.found)), ')')
	}
	c.out.b = append(c.out.b, '\r', '\n')
}

// tellESearch writes an ESEARCH response; where are the correlators behind
// the tag. RFC 9051 §7.3.4
func (c *conn) tellESearch(r result, cmd *imap.Search, where string) {
	r.keep(cmd)
	options := cmd.Return
	if !cmd.Extended {
		options = imap.ReturnAll
	}
	if options&^(imap.ReturnSave|imap.ReturnContext|imap.ReturnUpdate) == 0 {
		return // nothing was asked for. RFC 5182 §2.1
	}
	c.out.begin()
	b := append(c.out.b, "* ESEARCH (TAG "...)
	b = append(imap.AppendString(b, c.tag, false), where...)
	b = append(b, ')')
	if cmd.UID {
		b = append(b, " UID"...)
	}
	found := r.found
	named := found // those that the response is about
	if n := len(found); n > 0 {
		if options&imap.ReturnMin != 0 {
			b = appendUint(append(b, " MIN "...), found[0].number(cmd.UID))
		}
		if options&imap.ReturnMax != 0 {
			b = appendUint(append(b, " MAX "...), found[n-1].number(cmd.UID))
		}
		if options&imap.ReturnAll != 0 {
			b = appendMatches(append(b, " ALL "...), found, cmd.UID)
		}
	}
	if options&imap.ReturnPartial != 0 {
		named = r.page(cmd)
		b = append(append(append(b, " PARTIAL ("...), cmd.Page.String()...), ' ')
		if len(named) == 0 {
			b = append(b, "NIL"...)
		}
		b = append(appendMatches(b, named, cmd.UID), ')')
	}
	if options&imap.ReturnCount != 0 {
		b = appendUint(append(b, " COUNT "...), uint64(len(found)))
	}
	if options&imap.ReturnRelevancy != 0 { // RFC 6203 §4
		b = append(b, " RELEVANCY ("...)
		for i, m := range named {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendUint(b, uint64(m.score))
		}
		b = append(b, ')')
	}
	if len(found) > 0 && r.modseq {
		switch {
		case options&(imap.ReturnAll|imap.ReturnCount) != 0 || options&(imap.ReturnMin|imap.ReturnMax) != 0:
			named = told(found, options)
		}
		if len(named) > 0 {
			b = appendUint(append(b, " MODSEQ "...), r.view.highestOf(named))
		}
	}
	c.out.b = append(b, '\r', '\n')
	_ = c.out.room() // the failure sticks
}

// appendMatches writes messages as a sequence set that keeps their order:
// ranges only where numbers follow each other. RFC 5267 §3.2
func appendMatches(b []byte, list []match, uid bool) []byte {
	for i := 0; i < len(list); {
		first := list[i].number(uid)
		n := 1
		for i+n < len(list) && list[i+n].number(uid) == first+uint64(n) {
			n++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendUint(b, first)
		if n > 1 {
			b = appendUint(append(b, ':'), first+uint64(n)-1)
		}
		i += n
	}
	return b
}
