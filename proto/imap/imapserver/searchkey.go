package imapserver

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"waxwing/format/abstract"
	"waxwing/format/casemap"
	"waxwing/format/charset"
	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// A level is how much of a message is at hand. Each costs more than the one
// before it, so that a message is read no further than a program needs.
type level uint8

const (
	haveEntry level = iota
	haveRow
	haveHeader
	haveText
)

// A verdict on one message: what cannot be known yet stays unknown, until the
// message has been read further.
type verdict uint8

const (
	no verdict = iota
	unknown
	yes
)

func isTrue(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// A test is a search key made ready to be run.
type test struct {
	imap.SearchKey
	needs  level
	needle []byte         // folded
	rare   abstract.Query // what a message that passes has in its text
	may    Candidates     // those that may have it; nil for all
	index  int            // in searcher.needles
	spans  []span         // of SearchSeqs and SearchUIDs
	sets   map[KeywordSet]bool
	field  string                // in lower case
	thread map[mail.EmailID]bool // of SearchThreadID
	fuzzy  *fuzzyTest            // of a text under FUZZY
	sub    []test
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

// compile makes a program ready. Cheap tests come first.
func (s *searcher) compile(k *imap.SearchKey, label string) (test, error) {
	return s.compileKey(k, label, false)
}

func (s *searcher) compileKey(k *imap.SearchKey, label string, fuzzy bool) (test, error) {
	t := test{SearchKey: *k}
	var err error
	switch k.Op {
	case imap.SearchFilter:
		return s.filter(k.Text, label, fuzzy)
	case imap.SearchFuzzy:
		return s.compileKey(&k.Keys[0], label, true)
	case imap.SearchSeqs, imap.SearchUIDs:
		if k.Op == imap.SearchSeqs && !k.Set.Saved {
			if s.conn.uidOnly {
				return t, uidRequired // RFC 9586 §3.1
			}
			t.spans = s.view.within(k.Set)
			break
		}
		t.spans, err = s.view.resolve(k.Set, true)
	case imap.SearchThreadID:
		t.thread, err = s.view.mailbox.Thread(s.ctx, ownID(s.view.owner, k.Text))
	case imap.SearchModSeq:
		s.conn.useModSeq()
		s.modseq = true
	case imap.SearchKeyword:
		t.Keyword, t.sets = k.Keyword.Fold(), map[KeywordSet]bool{}
	case imap.SearchSentBefore, imap.SearchSentOn, imap.SearchSentSince:
		t.needs = haveRow
	case imap.SearchHeader, imap.SearchBody, imap.SearchText:
		err = s.compileText(&t, label, fuzzy)
	}
	for i := range k.Keys {
		sub, subErr := s.compileKey(&k.Keys[i], label, fuzzy)
		if subErr != nil {
			return t, subErr
		}
		t.sub = append(t.sub, sub)
		t.needs = max(t.needs, sub.needs)
	}
	if k.Op == imap.SearchAnd || k.Op == imap.SearchOr {
		slices.SortStableFunc(t.sub, func(a, b test) int { return int(a.needs) - int(b.needs) })
	}
	return t, err
}

// compileText makes a test for a string ready.
func (s *searcher) compileText(t *test, label string, fuzzy bool) error {
	text, err := searchText(t.Text, label)
	if err != nil {
		return err
	}
	t.needle = casemap.String(text)
	t.field = strings.ToLower(t.Field)
	_, inRow := rowField(t.field)
	switch {
	case t.Op == imap.SearchBody:
		t.needs = haveText
	case t.Op == imap.SearchText:
		t.needs = haveHeader
	case inRow:
		t.needs = haveRow
	default:
		t.needs = haveHeader
	}
	rare := t.needle
	switch {
	case fuzzy:
		t.fuzzy = newFuzzyTest(t.needle)
		s.fuzzy++
		if !inRow {
			t.rare = t.fuzzy.query()
		}
		return nil
	case t.Op != imap.SearchHeader:
		t.index = len(s.needles)
		s.needles = append(s.needles, t.needle)
		s.inHeader = s.inHeader || t.Op == imap.SearchText
	case inRow:
		return nil
	case len(t.needle) == 0: // whether there is such a field
		rare = append(casemap.String(t.Field), ": "...)
	}
	t.rare.Terms = []abstract.Term{{Text: rare}}
	switch t.Op {
	case imap.SearchBody:
		t.rare.In = "body"
	case imap.SearchText:
		t.rare.In = "text"
	}
	return nil
}

// maxFilters bounds the named filters that one program puts in, those in
// filters included: so that it ends where they name each other. RFC 5466 §3.1
const maxFilters = 20

// filter puts a named filter in the place of its name. RFC 5466 §3.1
func (s *searcher) filter(name, label string, fuzzy bool) (test, error) {
	undefined := &imap.Refusal{Code: "UNDEFINED-FILTER " + name, Text: "There is no such filter"}
	if l := strings.ToLower(label); l != "" && l != "utf-8" && l != "us-ascii" {
		return test{}, &imap.SyntaxError{Text: "[" + imap.CodeBadCharset + " (US-ASCII UTF-8)] FILTER is in UTF-8"}
	}
	if s.filters++; s.filters > maxFilters {
		return test{}, undefined
	}
	list, err := s.conn.account.Annotations(s.ctx, "")
	if err != nil {
		return test{}, err
	}
	for _, root := range [...]string{"/private/filters/values/", "/shared/filters/values/"} {
		for _, e := range list {
			if !strings.EqualFold(e.Name, root+name) || e.Value == nil {
				continue
			}
			program, err := imap.ParseSearch(string(e.Value))
			if err != nil {
				return test{}, &imap.Refusal{Code: undefined.Code, Text: "The filter is no search program"}
			}
			return s.compileKey(&program, "UTF-8", fuzzy)
		}
	}
	return test{}, undefined
}

// eval tells what is known of a message.
func (t *test) eval(s *searcher, m *candidate) verdict {
	switch t.Op {
	case imap.SearchAnd:
		result := yes
		for i := range t.sub {
			if result = min(result, t.sub[i].eval(s, m)); result == no {
				break
			}
		}
		return result
	case imap.SearchOr:
		result := no
		for i := range t.sub {
			if result = max(result, t.sub[i].eval(s, m)); result == yes {
				break
			}
		}
		return result
	case imap.SearchNot:
		return yes - t.sub[0].eval(s, m)
	}
	if t.may != nil && m.at < haveText {
		if may, certain := t.may.May(m.entry.Email); certain {
			return isTrue(may)
		}
	}
	if t.needs > m.at {
		return unknown
	}
	switch {
	case t.fuzzy != nil:
		_, v := t.onFuzzy(m)
		return v
	case t.needs == haveEntry:
		return isTrue(t.onEntry(s, m))
	case t.needs == haveRow:
		return t.onRow(m)
	}
	return t.onText(m)
}

// onEntry tests what the mailbox itself knows.
func (t *test) onEntry(s *searcher, m *candidate) bool {
	e := &m.entry
	switch t.Op {
	case imap.SearchAll:
		return true
	case imap.SearchFlags:
		return e.Flags.Has(t.Flags)
	case imap.SearchRecent:
		return !s.conn.rev2 && s.view.isRecent(e.UID)
	case imap.SearchSeqs, imap.SearchUIDs:
		i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].to > m.place })
		return i < len(t.spans) && t.spans[i].from <= m.place
	case imap.SearchKeyword:
		has, known := t.sets[e.Keywords]
		if !known {
			has = slices.ContainsFunc(s.view.keywords(e.Keywords), func(k mail.Keyword) bool { return k.Fold() == t.Keyword })
			t.sets[e.Keywords] = has
		}
		return has
	case imap.SearchLarger:
		return int64(e.Size) > t.Size
	case imap.SearchSmaller:
		return int64(e.Size) < t.Size
	case imap.SearchOlder: // RFC 5032 §3
		return e.Internal <= s.now.Unix()-t.Size
	case imap.SearchYounger:
		return e.Internal >= s.now.Unix()-t.Size
	case imap.SearchModSeq:
		return e.ModSeq >= t.ModSeq
	case imap.SearchEmailID:
		return objectID(s.view.owner, e.Email) == t.Text
	case imap.SearchThreadID:
		return t.thread[e.Email]
	case imap.SearchUIDAfter:
		return e.UID > t.UID
	case imap.SearchUIDBefore:
		return e.UID < t.UID
	case imap.SearchSavedBefore, imap.SearchSavedOn, imap.SearchSavedSince:
		return t.onDate(imap.DateOf(time.Unix(int64(e.Saved), 0).UTC()))
	}
	return t.onDate(imap.DateOf(time.Unix(e.Internal, 0).UTC()))
}

// onDate compares a date without time and zone. RFC 9051 §6.4.4
func (t *test) onDate(d imap.Date) bool {
	switch t.Op {
	case imap.SearchBefore, imap.SearchSentBefore, imap.SearchSavedBefore:
		return d.Compare(t.Date) < 0
	case imap.SearchOn, imap.SearchSentOn, imap.SearchSavedOn:
		return d.Compare(t.Date) == 0
	}
	return d.Compare(t.Date) >= 0
}

// rowField gives the field of a row that has a header field.
func rowField(name string) (abstract.Field, bool) {
	switch name {
	case "subject":
		return abstract.Subject, true
	case "from":
		return abstract.From, true
	case "to":
		return abstract.To, true
	case "cc":
		return abstract.Cc, true
	case "bcc":
		return abstract.Bcc, true
	case "message-id":
		return abstract.MessageID, true
	}
	return 0, false
}

// onRow tests what was found out when the message arrived; what a row has cut
// off is looked for in the header.
func (t *test) onRow(m *candidate) verdict {
	if m.row == nil {
		return t.onText(m)
	}
	if t.Op != imap.SearchHeader {
		year, month, day, ok := m.row.Day() // in the sender's zone
		return isTrue(ok && t.onDate(imap.DateOf(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))))
	}
	f, _ := rowField(t.field)
	text, whole := m.row.Text(f)
	switch {
	case len(t.needle) == 0: // whether there is such a field
		return isTrue(len(text) > 0)
	case bytes.Contains(text, t.needle):
		return yes
	case whole:
		return no
	case m.at < haveHeader:
		return unknown
	}
	return t.onText(m)
}

// onText tests the header, and the text when it has been read.
func (t *test) onText(m *candidate) verdict {
	switch t.Op {
	case imap.SearchSentBefore, imap.SearchSentOn, imap.SearchSentSince:
		date, ok := message.ParseDate(m.header.Get("Date"))
		return isTrue(ok && t.onDate(imap.DateOf(date)))
	case imap.SearchHeader:
		for f := range m.header.All(t.field) {
			if bytes.Contains(foldedText(f), t.needle) {
				return yes
			}
		}
		return no
	case imap.SearchText:
		if m.inHeader != nil && m.inHeader[t.index] {
			return yes
		}
	}
	if m.at < haveText {
		return unknown
	}
	return isTrue(m.inBody[t.index])
}

// foldedText gives what a field holds, as it is compared.
func foldedText(f message.Field) []byte { return casemap.String(message.DecodeHeader(f.Text())) }
