package imap

import (
	"strconv"
	"strings"
)

// Sort is SORT or UID SORT. RFC 5256 §3, RFC 5267 §3
type Sort struct {
	Search
	Keys []SortKey
}

// A SortField is what messages are sorted by.
type SortField uint8

// The fields. RFC 5256 §3, RFC 5957 §3, RFC 6203 §6
const (
	SortArrival SortField = iota
	SortCc
	SortDate
	SortFrom
	SortSize
	SortSubject
	SortTo
	SortDisplayFrom
	SortDisplayTo
	SortRelevancy
)

var sortFields = map[string]SortField{
	"ARRIVAL": SortArrival, "CC": SortCc, "DATE": SortDate, "FROM": SortFrom, "SIZE": SortSize,
	"SUBJECT": SortSubject, "TO": SortTo, "DISPLAYFROM": SortDisplayFrom, "DISPLAYTO": SortDisplayTo,
	"RELEVANCY": SortRelevancy,
}

// A SortKey is one criterion of SORT.
type SortKey struct {
	Field   SortField
	Reverse bool
}

// Thread is THREAD or UID THREAD. RFC 5256 §3
type Thread struct {
	UID       bool
	Algorithm string // in upper case
	Charset   string
	Program   SearchKey
}

// CancelUpdate ends updates of searches. RFC 5267 §4.3.5
type CancelUpdate struct{ Tags []string }

// Comparator asks for a comparator, or lists them. RFC 5255 §4.7
type Comparator struct{ Wanted []string }

// MultiSearch is ESEARCH. Without sources it searches the selected mailbox.
// RFC 7377
type MultiSearch struct {
	Search
	Sources []Source
}

// A Source is one set of mailboxes that ESEARCH searches.
type Source struct {
	Kind  SourceKind
	Names []string // as they were written, of those that name mailboxes
}

// A SourceKind is a way to name mailboxes. RFC 5465 §6, RFC 7377 §2.2
type SourceKind uint8

// The kinds.
const (
	SourceSelected SourceKind = iota
	SourceInboxes
	SourcePersonal
	SourceSubscribed
	SourceSubtree
	SourceSubtreeOne
	SourceMailboxes
)

// Name gives the command's word.
func (c Sort) Name() string { return withUID(c.UID, "UID SORT") }

// Name gives the command's word.
func (c Thread) Name() string { return withUID(c.UID, "UID THREAD") }

// Name gives the command's word.
func (c CancelUpdate) Name() string { return "CANCELUPDATE" }

// Name gives the command's word.
func (c Comparator) Name() string { return "COMPARATOR" }

// Name gives the command's word.
func (c MultiSearch) Name() string { return "ESEARCH" }

// maxSortKeys bounds the criteria of one SORT.
const maxSortKeys = 32

func parseSort(s *scanner, uid bool) Command {
	c := Sort{Search: Search{UID: uid}}
	s.sp()
	s.searchReturns(&c.Search)
	s.list(false, func() {
		k := SortKey{}
		name := s.word()
		if name == "REVERSE" {
			k.Reverse = true
			s.sp()
			name = s.word()
		}
		field, ok := sortFields[name]
		if k.Field = field; !ok || len(c.Keys) >= maxSortKeys {
			s.fail("bad sort criteria")
		}
		c.Keys = append(c.Keys, k)
	})
	s.sp()
	c.Charset = s.astring() // RFC 5256 §3: it is not optional
	s.sp()
	c.Program = and(s.searchKeys(false))
	fuzzy := c.Return&ReturnRelevancy != 0
	for _, k := range c.Keys {
		fuzzy = fuzzy || k.Field == SortRelevancy
	}
	if fuzzy && !c.Program.mayBeFuzzy() {
		s.fail("RELEVANCY needs FUZZY") // RFC 6203 §6
	}
	return c
}

func parseThread(s *scanner, uid bool) Command {
	c := Thread{UID: uid}
	s.sp()
	c.Algorithm = strings.ToUpper(s.atom())
	s.sp()
	c.Charset = s.astring()
	s.sp()
	c.Program = and(s.searchKeys(false))
	return c
}

// maxTags bounds the tags of one CANCELUPDATE, and the comparators of one
// COMPARATOR.
const maxTags = 100

func parseCancelUpdate(s *scanner) Command {
	c := CancelUpdate{}
	for !s.failed() && (len(c.Tags) == 0 || s.peek() == ' ') {
		s.sp()
		c.Tags = append(c.Tags, s.quoted())
		if len(c.Tags) > maxTags {
			s.fail("too many tags")
		}
	}
	return c
}

func parseComparator(s *scanner) Command {
	c := Comparator{}
	for !s.failed() && s.peek() == ' ' {
		s.sp()
		c.Wanted = append(c.Wanted, s.astring())
		if len(c.Wanted) > maxTags {
			s.fail("too many comparators")
		}
	}
	return c
}

// maxSources bounds the sources of one ESEARCH, and the names in each.
const maxSources = 1000

func parseMultiSearch(s *scanner) Command {
	c := MultiSearch{Search: Search{UID: true, Extended: true}}
	s.sp()
	if s.word1("IN") {
		s.sp()
		s.expect('(')
		for !s.failed() {
			c.Sources = append(c.Sources, s.source())
			if len(c.Sources) > maxSources {
				s.fail("too many sources")
			}
			if s.accept(')') {
				break
			}
			s.sp() // no scope options are known. RFC 7377 §4
		}
		s.sp()
	}
	c.Return = ReturnAll
	if strings.EqualFold(s.ahead(len("RETURN ")), "RETURN ") {
		c.Return = 0
		s.searchReturns(&c.Search)
	}
	s.searchProgram(&c.Search)
	return c
}

// ahead gives up to n octets that are next.
func (s *scanner) ahead(n int) string { return string(s.b[s.i:min(s.i+n, len(s.b))]) }

// source takes filter-mailboxes. RFC 5465 §8
func (s *scanner) source() Source {
	switch s.word() {
	case "SELECTED":
		return Source{Kind: SourceSelected}
	case "INBOXES":
		return Source{Kind: SourceInboxes}
	case "PERSONAL":
		return Source{Kind: SourcePersonal}
	case "SUBSCRIBED":
		return Source{Kind: SourceSubscribed}
	case "SUBTREE":
		return Source{Kind: SourceSubtree, Names: s.oneOrMore()}
	case "SUBTREE-ONE":
		return Source{Kind: SourceSubtreeOne, Names: s.oneOrMore()}
	case "MAILBOXES":
		return Source{Kind: SourceMailboxes, Names: s.oneOrMore()}
	}
	s.fail("unknown mailbox specifier")
	return Source{}
}

// oneOrMore takes one-or-more-mailbox behind a space.
func (s *scanner) oneOrMore() []string {
	s.sp()
	if s.peek() != '(' {
		return []string{s.astring()}
	}
	var names []string
	s.list(false, func() {
		if names = append(names, s.astring()); len(names) > maxSources {
			s.fail("too many mailboxes")
		}
	})
	return names
}

// String gives a range as it was written.
func (p PageRange) String() string {
	return strconv.FormatInt(p.From, 10) + ":" + strconv.FormatInt(p.To, 10)
}
