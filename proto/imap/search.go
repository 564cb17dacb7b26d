package imap

import (
	"strconv"
	"strings"

	"waxwing/mail"
)

// A SearchOp says what a SearchKey tests.
type SearchOp uint8

// The tests, cheapest first. The many keys of RFC 9051 §6.4.4 come down to
// these: UNSEEN is the NOT of SEEN, SUBJECT x is HEADER Subject x, NEW is
// RECENT without SEEN.
const (
	SearchAll SearchOp = iota
	SearchFlags
	SearchRecent // RFC 3501 §6.4.4
	SearchSeqs
	SearchUIDs
	SearchKeyword
	SearchBefore
	SearchOn
	SearchSince
	SearchLarger
	SearchSmaller
	SearchModSeq      // RFC 7162 §3.1.5
	SearchEmailID     // Text; RFC 8474 §6
	SearchThreadID    // Text; the same
	SearchSavedBefore // RFC 8514 §4.3
	SearchSavedOn
	SearchSavedSince
	SearchUIDAfter // RFC 9738 §3.2
	SearchUIDBefore
	SearchOlder   // Size seconds or more; RFC 5032 §3
	SearchYounger // the same
	SearchFilter  // Text; RFC 5466 §3.1
	SearchFuzzy   // the key in Keys, fuzzily; RFC 6203 §3
	SearchAnd
	SearchOr
	SearchNot
	SearchSentBefore
	SearchSentOn
	SearchSentSince
	SearchHeader // Field and Text; an empty Text asks whether the field is there
	SearchBody   // Text in the body
	SearchText   // Text in header or body
)

// A SearchKey is a node of a search program.
type SearchKey struct {
	Op      SearchOp
	Flags   mail.Flags   // SearchFlags: all of these
	Keyword mail.Keyword // SearchKeyword
	Set     Set          // SearchSeqs, SearchUIDs
	Date    Date
	Size    int64       // SearchLarger, SearchSmaller; SearchOlder, SearchYounger
	ModSeq  mail.ModSeq // SearchModSeq
	UID     mail.UID    // SearchUIDAfter, SearchUIDBefore
	Field   string      // SearchHeader
	Text    string      // SearchHeader, SearchBody, SearchText; in the command's charset
	Keys    []SearchKey
}

// maxSearchKeys bounds one program.
const maxSearchKeys = 2000

func parseSearch(s *scanner, uid bool) Command {
	c := Search{UID: uid}
	s.sp()
	s.searchReturns(&c)
	s.searchProgram(&c)
	return c
}

// searchReturns takes the result options, if there are any. RFC 4731 §3.1
func (s *scanner) searchReturns(c *Search) {
	if !s.word1("RETURN") {
		return
	}
	c.Extended = true
	s.sp()
	s.list(true, func() { s.searchReturn(c) })
	if c.Return&^(ReturnContext|ReturnUpdate) == 0 && c.Return&ReturnUpdate == 0 {
		c.Return |= ReturnAll // RFC 4731 §3.1
	}
	if c.Return&ReturnAll != 0 && c.Return&ReturnPartial != 0 {
		s.fail("PARTIAL and ALL exclude each other") // RFC 9394 §3.1
	}
	s.sp()
}

// searchProgram takes the charset, if there is one, and the keys.
func (s *scanner) searchProgram(c *Search) {
	if s.word1("CHARSET") {
		s.sp()
		c.Charset = s.astring()
		s.sp()
	}
	c.Program = and(s.searchKeys(false))
	if c.Return&ReturnRelevancy != 0 && !c.Program.mayBeFuzzy() {
		s.fail("RELEVANCY needs FUZZY") // RFC 6203 §4
	}
}

// mayBeFuzzy tells whether something in a program is fuzzy, or may be: what a
// filter holds is not known here.
func (k SearchKey) mayBeFuzzy() bool { return k.Asks(SearchFuzzy) || k.Asks(SearchFilter) }

// ParseSearch reads a search program, without RETURN and CHARSET.
func ParseSearch(text string) (SearchKey, error) {
	s := scanner{b: []byte(text)}
	keys := s.searchKeys(false)
	s.end()
	if s.err != nil {
		return SearchKey{}, s.err
	}
	return and(keys), nil
}

// word1 takes the word, and only it, if it is next and a space follows it.
func (s *scanner) word1(word string) bool {
	if s.err == nil && len(s.b)-s.i > len(word) && s.b[s.i+len(word)] == ' ' &&
		strings.EqualFold(string(s.b[s.i:s.i+len(word)]), word) {
		s.i += len(word)
		return true
	}
	return false
}

func (s *scanner) searchReturn(c *Search) {
	switch s.word() {
	case "MIN":
		c.Return |= ReturnMin
	case "MAX":
		c.Return |= ReturnMax
	case "ALL":
		c.Return |= ReturnAll
	case "COUNT":
		c.Return |= ReturnCount
	case "SAVE":
		c.Return |= ReturnSave
	case "PARTIAL":
		s.sp()
		if c.Page != nil {
			s.fail("two PARTIAL ranges")
		}
		page := s.pageRange()
		c.Return, c.Page = c.Return|ReturnPartial, &page
	case "CONTEXT":
		c.Return |= ReturnContext
	case "UPDATE":
		c.Return |= ReturnUpdate
		if i := s.i; s.spaces() && s.peek() == '(' { // RFC 5465 §7
			s.list(false, func() { s.fetchItem(&c.Fetch) })
		} else if s.err == nil {
			s.i = i
		}
	case "RELEVANCY":
		c.Return |= ReturnRelevancy
	default:
		s.fail("unknown SEARCH result option")
	}
}

func and(keys []SearchKey) SearchKey {
	if len(keys) == 1 {
		return keys[0]
	}
	return SearchKey{Op: SearchAnd, Keys: keys}
}

func not(k SearchKey) SearchKey { return SearchKey{Op: SearchNot, Keys: []SearchKey{k}} }

// searchKeys takes search-key *(SP search-key), up to ")" when nested.
func (s *scanner) searchKeys(nested bool) []SearchKey {
	s.enter()
	defer s.leave()
	s.spaces()
	var keys []SearchKey
	for !s.failed() {
		if len(keys) >= maxSearchKeys {
			s.fail("too many search keys")
			break
		}
		keys = append(keys, s.searchKey())
		closer := byte(0)
		if nested {
			closer = ')'
		}
		if !s.more(closer) {
			break
		}
	}
	return keys
}

// The keys that test one flag, and their opposites.
var flagKeys = map[string]SearchKey{
	"SEEN": flagKey(mail.Seen), "UNSEEN": not(flagKey(mail.Seen)),
	"ANSWERED": flagKey(mail.Answered), "UNANSWERED": not(flagKey(mail.Answered)),
	"FLAGGED": flagKey(mail.Flagged), "UNFLAGGED": not(flagKey(mail.Flagged)),
	"DELETED": flagKey(mail.Deleted), "UNDELETED": not(flagKey(mail.Deleted)),
	"DRAFT": flagKey(mail.Draft), "UNDRAFT": not(flagKey(mail.Draft)),
	"ALL": {Op: SearchAll},
	// Every mailbox of ours keeps the date. RFC 8514 §4.3
	"SAVEDATESUPPORTED": {Op: SearchAll},
	"RECENT":            {Op: SearchRecent},
	"OLD":               not(SearchKey{Op: SearchRecent}),
	"NEW":               and([]SearchKey{{Op: SearchRecent}, not(flagKey(mail.Seen))}),
}

func flagKey(f mail.Flags) SearchKey { return SearchKey{Op: SearchFlags, Flags: f} }

// The keys that take a date.
var dateKeys = map[string]SearchOp{
	"BEFORE": SearchBefore, "ON": SearchOn, "SINCE": SearchSince,
	"SENTBEFORE": SearchSentBefore, "SENTON": SearchSentOn, "SENTSINCE": SearchSentSince,
	"SAVEDBEFORE": SearchSavedBefore, "SAVEDON": SearchSavedOn, "SAVEDSINCE": SearchSavedSince,
}

// searchKey takes one search-key. RFC 9051 §6.4.4
func (s *scanner) searchKey() SearchKey {
	s.enter()
	defer s.leave()
	switch c := s.peek(); {
	case c == '(':
		s.accept('(')
		return and(s.searchKeys(true))
	case '0' <= c && c <= '9', c == '*', c == '$':
		return SearchKey{Op: SearchSeqs, Set: s.set()}
	}
	name := s.word()
	if k, ok := flagKeys[name]; ok {
		return k
	}
	if op, ok := dateKeys[name]; ok {
		s.sp()
		return SearchKey{Op: op, Date: s.date()}
	}
	s.sp()
	switch name {
	case "NOT":
		return not(s.searchKey())
	case "OR":
		a := s.searchKey()
		s.sp()
		return SearchKey{Op: SearchOr, Keys: []SearchKey{a, s.searchKey()}}
	case "UID":
		return SearchKey{Op: SearchUIDs, Set: s.set()}
	case "LARGER":
		return SearchKey{Op: SearchLarger, Size: s.number64()}
	case "SMALLER":
		return SearchKey{Op: SearchSmaller, Size: s.number64()}
	case "MODSEQ":
		return s.modSeqKey()
	case "EMAILID":
		return SearchKey{Op: SearchEmailID, Text: s.objectID()}
	case "THREADID":
		return SearchKey{Op: SearchThreadID, Text: s.objectID()}
	case "UIDAFTER":
		return SearchKey{Op: SearchUIDAfter, UID: mail.UID(s.nzNumber())}
	case "UIDBEFORE":
		return SearchKey{Op: SearchUIDBefore, UID: mail.UID(s.nzNumber())}
	case "OLDER":
		return SearchKey{Op: SearchOlder, Size: int64(s.nzNumber())}
	case "YOUNGER":
		return SearchKey{Op: SearchYounger, Size: int64(s.nzNumber())}
	case "FILTER":
		return SearchKey{Op: SearchFilter, Text: s.filterName()}
	case "FUZZY":
		return SearchKey{Op: SearchFuzzy, Keys: []SearchKey{s.searchKey()}}
	case "KEYWORD":
		return s.keywordKey()
	case "UNKEYWORD":
		return not(s.keywordKey())
	case "FROM", "TO", "CC", "BCC", "SUBJECT":
		return SearchKey{Op: SearchHeader, Field: name, Text: s.astring()}
	case "HEADER":
		k := SearchKey{Op: SearchHeader, Field: s.astring()}
		s.sp()
		k.Text = s.astring()
		return k
	case "BODY":
		return SearchKey{Op: SearchBody, Text: s.astring()}
	case "TEXT":
		return SearchKey{Op: SearchText, Text: s.astring()}
	}
	s.fail("unknown search key")
	return SearchKey{}
}

func (s *scanner) keywordKey() SearchKey {
	k := mail.Keyword(s.span(atomChar | respSpec))
	if k == "" {
		s.fail("expected a keyword")
	}
	return SearchKey{Op: SearchKeyword, Keyword: k}
}

// filterName takes a filter-name. RFC 5466 §4
func (s *scanner) filterName() string {
	name := s.atom()
	if strings.ContainsRune(name, '/') {
		s.fail("bad filter name")
	}
	return name
}

// String gives a program that means the same.
func (k SearchKey) String() string { return string(k.append(nil)) }

func (k SearchKey) append(b []byte) []byte {
	text := func(name string) []byte {
		return AppendString(append(append(b, name...), ' '), k.Text, true)
	}
	date := func(name string) []byte { return append(append(append(b, name...), ' '), k.Date.String()...) }
	switch k.Op {
	case SearchAll:
		return append(b, "ALL"...)
	case SearchFlags:
		names := strings.ReplaceAll(strings.ToUpper(flagSets[k.Flags&SystemFlags]), `\`, "")
		return append(b, names...)
	case SearchRecent:
		return append(b, "RECENT"...)
	case SearchSeqs:
		return append(b, k.Set.String()...)
	case SearchUIDs:
		return append(append(b, "UID "...), k.Set.String()...)
	case SearchKeyword:
		return append(append(b, "KEYWORD "...), k.Keyword...)
	case SearchBefore:
		return date("BEFORE")
	case SearchOn:
		return date("ON")
	case SearchSince:
		return date("SINCE")
	case SearchSentBefore:
		return date("SENTBEFORE")
	case SearchSentOn:
		return date("SENTON")
	case SearchSentSince:
		return date("SENTSINCE")
	case SearchLarger:
		return strconv.AppendInt(append(b, "LARGER "...), k.Size, 10)
	case SearchSmaller:
		return strconv.AppendInt(append(b, "SMALLER "...), k.Size, 10)
	case SearchModSeq:
		return strconv.AppendUint(append(b, "MODSEQ "...), uint64(k.ModSeq), 10)
	case SearchEmailID:
		return append(append(b, "EMAILID "...), k.Text...)
	case SearchThreadID:
		return append(append(b, "THREADID "...), k.Text...)
	case SearchSavedBefore:
		return date("SAVEDBEFORE")
	case SearchSavedOn:
		return date("SAVEDON")
	case SearchSavedSince:
		return date("SAVEDSINCE")
	case SearchUIDAfter:
		return strconv.AppendUint(append(b, "UIDAFTER "...), uint64(k.UID), 10)
	case SearchUIDBefore:
		return strconv.AppendUint(append(b, "UIDBEFORE "...), uint64(k.UID), 10)
	case SearchOlder:
		return strconv.AppendInt(append(b, "OLDER "...), k.Size, 10)
	case SearchYounger:
		return strconv.AppendInt(append(b, "YOUNGER "...), k.Size, 10)
	case SearchFilter:
		return append(append(b, "FILTER "...), k.Text...)
	case SearchFuzzy:
		return k.Keys[0].append(append(b, "FUZZY "...))
	case SearchHeader:
		b = AppendString(append(b, "HEADER "...), k.Field, true)
		return AppendString(append(b, ' '), k.Text, true)
	case SearchBody:
		return text("BODY")
	case SearchText:
		return text("TEXT")
	case SearchNot:
		return k.Keys[0].append(append(b, "NOT "...))
	case SearchOr:
		b = k.Keys[0].append(append(b, "OR "...))
		return k.Keys[1].append(append(b, ' '))
	case SearchAnd:
		b = append(b, '(')
		for i, sub := range k.Keys {
			if i > 0 {
				b = append(b, ' ')
			}
			b = sub.append(b)
		}
		return append(b, ')')
	}
	return b
}
