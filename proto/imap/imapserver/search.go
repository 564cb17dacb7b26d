package imapserver

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/format/charset"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// searchBatch is how many messages have their facts read in one round trip.
const searchBatch = 256

// sayAlive is after how long a SEARCH that still runs says so. It keeps the
// client from giving up, and finds out when there is no client any more.
const sayAlive = 10 * time.Second

// A match is a message found.
type match struct {
	place int
	uid   mail.UID
}

// search is SEARCH and UID SEARCH. RFC 9051 §6.4.4, RFC 4731, RFC 5182
func (c *conn) search(ctx context.Context, cmd imap.Search) (reply, error) {
	if cmd.Charset != "" && c.utf8 && !c.rev2 {
		return reply{}, &imap.SyntaxError{Text: "No CHARSET after ENABLE UTF8=ACCEPT"} // RFC 6855 §3
	}
	found, err := c.runSearch(ctx, cmd)
	if cmd.Return&imap.ReturnSave != 0 {
		if _, bad := err.(*imap.SyntaxError); !bad {
			c.view.saved = saved(found, cmd.Return) // nothing, after a NO. RFC 5182 §2.1
		}
	}
	if err != nil {
		return reply{}, err
	}
	if cmd.Extended || c.rev2 {
		c.tellESearch(found, cmd)
	} else {
		c.tellSearch(found, cmd)
	}
	return reply{}, nil
}

// saved gives what "$" stands for afterwards. RFC 5182 §2.4
func saved(found []match, options imap.SearchReturn) []mail.UID {
	if len(found) > 0 && options&(imap.ReturnAll|imap.ReturnCount) == 0 && options&(imap.ReturnMin|imap.ReturnMax) != 0 {
		first, last := found[0], found[len(found)-1]
		switch {
		case options&imap.ReturnMax == 0:
			found = []match{first}
		case options&imap.ReturnMin == 0 || first == last:
			found = []match{last}
		default:
			found = []match{first, last}
		}
	}
	uids := make([]mail.UID, len(found))
	for i, m := range found {
		uids[i] = m.uid
	}
	return uids
}

// tellSearch writes a SEARCH response. RFC 3501 §7.2.5
func (c *conn) tellSearch(found []match, cmd imap.Search) {
	c.out.begin()
	c.out.b = append(c.out.b, "* SEARCH"...)
	for _, m := range found {
		c.out.b = append(c.out.b, ' ')
		c.out.b = appendUint(c.out.b, m.number(cmd.UID))
		if c.out.room() != nil {
			return
		}
	}
	if len(found) > 0 && cmd.Program.Asks(imap.SearchModSeq) { // RFC 7162 §3.1.6
		c.out.b = append(appendUint(append(c.out.b, " (MODSEQ "...), c.view.highestOf(found)), ')')
	}
	c.out.b = append(c.out.b, '\r', '\n')
}

func (m match) number(uid bool) uint64 {
	if uid {
		return uint64(m.uid)
	}
	return uint64(m.place) + 1
}

// tellESearch writes an ESEARCH response. RFC 9051 §7.3.4
func (c *conn) tellESearch(found []match, cmd imap.Search) {
	options := cmd.Return
	if !cmd.Extended {
		options = imap.ReturnAll
	}
	if options == imap.ReturnSave {
		return // nothing was asked for. RFC 5182 §2.1
	}
	c.out.begin()
	b := append(c.out.b, "* ESEARCH (TAG "...)
	b = imap.AppendString(b, c.tag, false)
	b = append(b, ')')
	if cmd.UID {
		b = append(b, " UID"...)
	}
	if len(found) > 0 {
		if options&imap.ReturnMin != 0 {
			b = appendUint(append(b, " MIN "...), found[0].number(cmd.UID))
		}
		if options&imap.ReturnMax != 0 {
			b = appendUint(append(b, " MAX "...), found[len(found)-1].number(cmd.UID))
		}
		if options&imap.ReturnAll != 0 {
			numbers := make([]uint32, len(found))
			for i, m := range found {
				numbers[i] = uint32(m.number(cmd.UID))
			}
			b = imap.AppendNumbers(append(b, " ALL "...), numbers)
		}
	}
	if options&imap.ReturnCount != 0 {
		b = appendUint(append(b, " COUNT "...), uint64(len(found)))
	}
	if len(found) > 0 && cmd.Program.Asks(imap.SearchModSeq) {
		b = appendUint(append(b, " MODSEQ "...), c.view.highestOf(told(found, options)))
	}
	c.out.b = append(b, '\r', '\n')
}

// searchText gives a search string in UTF-8.
func searchText(text, label string) (string, error) {
	switch strings.ToLower(label) {
	case "", "utf-8", "us-ascii":
		if utf8.ValidString(text) {
			return text, nil
		}
	default:
		if charset.Known(label) {
			return charset.Decode([]byte(text), label), nil
		}
	}
	return "", &imap.Refusal{Code: imap.CodeBadCharset + " (US-ASCII UTF-8)", Text: "Charset is not supported"}
}

// A searcher is one search under way.
type searcher struct {
	ctx     context.Context
	conn    *conn
	program test
	needles [][]byte // of the tests that read the whole text
	found   []match
	since   time.Time
	waiting []candidate // those that need more than the entry
}

// A candidate is a message of which it is not known yet whether it matches.
type candidate struct {
	entry   Entry
	place   int
	message *message.Message
	header  message.Header
	inText  []bool // whether each needle is in header or body
	inBody  []bool
	at      level
}

// runSearch gives the messages that match, in order.
func (c *conn) runSearch(ctx context.Context, cmd imap.Search) ([]match, error) {
	s := &searcher{ctx: ctx, conn: c, since: time.Now()}
	// A charset that is not known is refused also where no key has a text.
	// RFC 9051 §6.4.4
	_, err := searchText("", cmd.Charset)
	if err != nil {
		return nil, err
	}
	if s.program, err = s.compile(&cmd.Program, cmd.Charset); err != nil {
		return nil, err
	}
	first := cmd.Return&^imap.ReturnSave == imap.ReturnMin // the first is enough
	for i, e := range entries(c.view.told, span{0, c.view.told.Len()}) {
		m := candidate{entry: *e, place: i}
		switch s.program.eval(s, &m) {
		case yes:
			s.found = append(s.found, match{i, e.UID})
			if first { // unless one of those that are waiting is before it
				return s.first()
			}
		case unknown:
			if s.waiting = append(s.waiting, m); len(s.waiting) == searchBatch {
				if err := s.settle(); err != nil {
					return nil, err
				}
			}
		}
		if first && len(s.found) > 0 {
			return s.first()
		}
		if i%4096 == 4095 {
			if err := s.breathe(); err != nil {
				return nil, err
			}
		}
	}
	err = s.settle()
	s.sort()
	return s.found, err
}

// sort brings what has been found into order: what was known at once has not
// waited for the rest.
func (s *searcher) sort() {
	slices.SortFunc(s.found, func(a, b match) int { return a.place - b.place })
}

// first ends a search of which only the first match is wanted.
func (s *searcher) first() ([]match, error) {
	err := s.settle()
	s.sort()
	return s.found[:1], err
}

// settle finds out about those that are waiting.
func (s *searcher) settle() error {
	for list := s.waiting; len(list) > 0; {
		ids := make([]mail.EmailID, len(list))
		for i := range list {
			ids[i] = list[i].entry.Email
		}
		facts, err := s.conn.view.mailbox.Facts(s.ctx, ids)
		if err != nil {
			return err
		}
		if err := s.settleSome(list[:len(facts)], facts); err != nil {
			return err
		}
		list = list[len(facts):]
	}
	s.waiting = s.waiting[:0]
	return nil
}

// settleSome reads as much of messages as is needed to know: the headers of
// those that are still in question in as few round trips as can be, or, where
// the program asks for texts, the messages one after the other.
func (s *searcher) settleSome(list []candidate, facts []*message.Message) error {
	var asked []*candidate
	var ids []mail.EmailID
	for i := range list {
		m := &list[i]
		if facts[i] == nil {
			continue // gone for good
		}
		m.message, m.at = facts[i], haveFacts
		if s.decided(m) {
			continue
		}
		asked, ids = append(asked, m), append(ids, m.entry.Email)
	}
	if len(s.needles) > 0 {
		for _, m := range asked {
			if err := s.settleText(m); err != nil {
				return err
			}
			if err := s.breathe(); err != nil {
				return err
			}
		}
		return s.breathe()
	}
	for len(asked) > 0 {
		headers, err := s.conn.view.mailbox.Headers(s.ctx, ids)
		if err != nil {
			return err
		}
		for i, header := range headers {
			if header == nil {
				continue
			}
			asked[i].header, asked[i].at = message.ParseHeader(header), haveHeader
			s.decided(asked[i])
			if err := s.breathe(); err != nil {
				return err
			}
		}
		asked, ids = asked[len(headers):], ids[len(headers):]
	}
	return s.breathe()
}

// settleText decides with the header, and if need be with the text.
func (s *searcher) settleText(m *candidate) error {
	body, err := s.conn.view.mailbox.Body(s.ctx, m.entry.Email)
	if r, ok := errors.AsType[*imap.Refusal](err); ok && r.Code == imap.CodeExpungeIssued {
		return nil // gone for good
	}
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was only read
	header := make([]byte, min(m.message.Root.Body, MaxHeader))
	if _, err := body.ReadAt(header, 0); err != nil && err != io.EOF {
		return err
	}
	m.header, m.at = message.ParseHeader(header), haveHeader
	if s.decided(m) {
		return nil
	}
	if err := s.readText(m, body); err != nil {
		return err
	}
	m.at = haveText
	s.decided(m)
	return nil
}

// decided tells whether it is known whether a message matches, and keeps it
// if it does.
func (s *searcher) decided(m *candidate) bool {
	result := s.program.eval(s, m)
	if result == unknown {
		return false
	}
	if result == yes {
		s.found = append(s.found, match{m.place, m.entry.UID})
	}
	m.header, m.message = nil, nil
	return true
}

// breathe looks around during a long search: whether it is still wanted.
func (s *searcher) breathe() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if time.Since(s.since) < sayAlive {
		return nil
	}
	s.since = time.Now()
	c := s.conn
	c.out.line("* OK Still searching")
	return lost(c.out.flush())
}
