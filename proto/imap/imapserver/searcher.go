package imapserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"waxwing/format/abstract"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// searchBatch is how many messages are waited with, to be found out about
// together; textBatch how many are read whole in one round trip.
const (
	searchBatch = 512
	textBatch   = 16
)

// sayAlive is after how long a SEARCH that still runs says so. It keeps the
// client from giving up, and finds out when there is no client any more.
const sayAlive = 10 * time.Second

// A match is a message found.
type match struct {
	place int
	uid   mail.UID
	score int32 // of a fuzzy search, until rated in its own measure
}

// A searcher is one search under way.
type searcher struct {
	ctx      context.Context
	conn     *conn
	view     *view
	now      time.Time
	program  test
	needles  [][]byte // of the tests that read the whole text
	inHeader bool     // some of them are looked for in the header too
	looked   []*test  // of those of which what has been found out is kept
	filters  int      // that have been put in
	fuzzy    int      // tests that are
	rated    []*test  // of those that look at the whole text
	modseq   bool     // a modseq is asked for
	settling sync.Mutex
	found    []match // guarded by settling, while there are lookers
	since    time.Time
	waiting  []candidate // those that need more than the entry
}

// A candidate is a message of which it is not known yet whether it matches.
type candidate struct {
	entry  Entry
	place  int
	row    abstract.Row
	header message.Header
	at     level
	// Whether each needle is in the header, and in the body; and how well it
	// matches each of the tests that are rated.
	inHeader, inBody []bool
	scores           []int
}

// newSearcher makes a program ready to run on a view.
func (c *conn) newSearcher(ctx context.Context, v *view, program *imap.SearchKey, charset string) (*searcher, error) {
	now := time.Now()
	s := &searcher{ctx: ctx, conn: c, view: v, now: now, since: now}
	// A charset that is not known is refused also where no key has a text.
	// RFC 9051 §6.4.4
	_, err := searchText("", charset)
	if err != nil {
		return nil, err
	}
	if s.program, err = s.compile(program, charset); err != nil {
		return nil, err
	}
	return s, s.narrow()
}

// narrow finds out which messages may have the texts that are looked for.
func (s *searcher) narrow() error {
	var tests []*test
	var queries []abstract.Query
	var collect func(t *test)
	collect = func(t *test) {
		if len(t.rare.Terms) > 0 {
			tests, queries = append(tests, t), append(queries, t.rare)
		}
		if t.fuzzy != nil && t.Op != imap.SearchHeader {
			t.index = len(s.rated)
			s.rated = append(s.rated, t)
		}
		for i := range t.sub {
			collect(&t.sub[i])
		}
	}
	collect(&s.program)
	if len(queries) == 0 {
		return nil
	}
	list, err := s.view.mailbox.Narrow(s.ctx, queries)
	if err != nil {
		return err
	}
	for i, t := range tests {
		if t.may = list[i]; t.may != nil && t.rare.In != "" {
			s.looked = append(s.looked, t)
		}
	}
	return nil
}

// run gives the messages in spans that match, in order; with first, no more
// than the first one.
func (s *searcher) run(spans []span, first bool) ([]match, error) {
	if s.program.Op == imap.SearchAll && !first {
		return s.all(spans), nil
	}
	var m candidate
	for _, in := range spans {
		for i, e := range entries(s.view.told, in) {
			m.entry, m.place = *e, i
			switch s.program.eval(s, &m) {
			case yes:
				s.found = append(s.found, match{place: i, uid: e.UID})
			case unknown:
				if s.waiting == nil {
					s.waiting = make([]candidate, 0, searchBatch)
				}
				s.waiting = append(s.waiting, m)
			}
			if first && len(s.found) > 0 || len(s.waiting) >= searchBatch {
				if err := s.settle(); err != nil {
					return nil, err
				}
			}
			if first && len(s.found) > 0 { // unless one of those that were waiting is before it
				s.sort()
				return s.found[:1], nil
			}
			if i%4096 == 4095 {
				if err := s.breathe(); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	s.sort()
	if first && len(s.found) > 0 {
		return s.found[:1], nil
	}
	s.rate()
	return s.found, nil
}

// all gives every message in spans.
func (s *searcher) all(spans []span) []match {
	n := 0
	for _, in := range spans {
		n += in.to - in.from
	}
	s.found = make([]match, 0, n)
	for _, in := range spans {
		for i, e := range entries(s.view.told, in) {
			s.found = append(s.found, match{place: i, uid: e.UID})
		}
	}
	s.rate()
	return s.found
}

// sort brings what has been found into order: what was known at once has not
// waited for the rest.
func (s *searcher) sort() {
	slices.SortFunc(s.found, func(a, b match) int { return a.place - b.place })
}

// settle finds out about those that are waiting.
func (s *searcher) settle() error {
	list := s.waiting
	s.waiting = s.waiting[:0]
	if len(list) == 0 {
		return nil
	}
	ids := make([]mail.EmailID, len(list))
	for i := range list {
		ids[i] = list[i].entry.Email
	}
	rows, err := s.view.mailbox.Abstracts(s.ctx, ids)
	if err != nil {
		return err
	}
	asked := make([]*candidate, 0, len(list))
	for i := range list {
		m := &list[i]
		if m.row = rows[i]; m.row != nil {
			m.at = haveRow
			if s.decided(m) {
				continue
			}
		}
		asked = append(asked, m)
	}
	if len(s.needles) > 0 || len(s.rated) > 0 {
		return s.settleTexts(asked)
	}
	return s.settleHeaders(asked)
}

// settleHeaders decides with the headers, read in as few round trips as can
// be.
func (s *searcher) settleHeaders(asked []*candidate) error {
	for len(asked) > 0 {
		part := asked[:min(len(asked), 256)]
		headers, err := s.view.mailbox.Headers(s.ctx, emailsOf(part))
		if err != nil {
			return err
		}
		for i, header := range headers {
			if header == nil {
				continue // gone for good
			}
			part[i].header, part[i].at = message.ParseHeader(header), haveText
			s.decided(part[i])
			if err := s.breathe(); err != nil {
				return err
			}
		}
		asked = asked[len(headers):]
	}
	return s.breathe()
}

func emailsOf(list []*candidate) []mail.EmailID {
	ids := make([]mail.EmailID, len(list))
	for i, m := range list {
		ids[i] = m.entry.Email
	}
	return ids
}

// decided tells whether it is known whether a message matches, and keeps it
// if it does.
func (s *searcher) decided(m *candidate) bool {
	result := s.program.eval(s, m)
	if result == unknown {
		return false
	}
	if result == yes {
		s.found = append(s.found, match{m.place, m.entry.UID, int32(s.score(m))})
	}
	m.header, m.row = nil, nil
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
	c.remark("OK", inProgress(c.tag), "Still searching")
	return lost(c.out.flush())
}

// inProgress is the response code of a command that still runs. A tag with a
// "]" stays out of it. RFC 9585 §4
func inProgress(tag string) string {
	if strings.Contains(tag, "]") {
		return "INPROGRESS (NIL NIL NIL)"
	}
	return fmt.Sprintf("INPROGRESS (%s NIL NIL)", imap.AppendString(nil, tag, false))
}
