package imapserver

import (
	"slices"
	"sort"
	"strings"
	"time"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// A level is how much of a message is at hand. Each costs more than the one
// before it, so that a message is read no further than a program needs.
type level uint8

const (
	haveEntry level = iota
	haveFacts
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
	needle []byte // folded
	index  int    // in searcher.needles
	spans  []span // of SearchSeqs and SearchUIDs
	sets   map[KeywordSet]bool
	field  string                // in lower case
	thread map[mail.EmailID]bool // of SearchThreadID
	sub    []test
}

// compile makes a program ready. Cheap tests come first.
func (s *searcher) compile(k *imap.SearchKey, label string) (test, error) {
	t := test{SearchKey: *k}
	var err error
	switch k.Op {
	case imap.SearchSeqs, imap.SearchUIDs:
		if k.Op == imap.SearchSeqs && !k.Set.Saved {
			t.spans = s.conn.view.within(k.Set)
			break
		}
		t.spans, err = s.conn.view.resolve(k.Set, true)
	case imap.SearchThreadID:
		t.thread, err = s.conn.view.mailbox.Thread(s.ctx, k.Text)
	case imap.SearchModSeq:
		s.conn.useModSeq()
	case imap.SearchKeyword:
		t.Keyword, t.sets = k.Keyword.Fold(), map[KeywordSet]bool{}
	case imap.SearchSentBefore, imap.SearchSentOn, imap.SearchSentSince:
		t.needs = haveFacts
	case imap.SearchHeader, imap.SearchBody, imap.SearchText:
		var text string
		if text, err = searchText(k.Text, label); err != nil {
			break
		}
		t.needle = fold(nil, []byte(text))
		t.field = strings.ToLower(k.Field)
		switch {
		case k.Op == imap.SearchBody:
			t.needs = haveText
		case k.Op == imap.SearchText:
			t.needs = haveHeader
		case inEnvelope(t.field):
			t.needs = haveFacts
		default:
			t.needs = haveHeader
		}
		if k.Op != imap.SearchHeader {
			t.index = len(s.needles)
			s.needles = append(s.needles, t.needle)
		}
	}
	for i := range k.Keys {
		sub, subErr := s.compile(&k.Keys[i], label)
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
	if t.needs > m.at {
		return unknown
	}
	switch t.needs {
	case haveEntry:
		return isTrue(t.onEntry(s, m))
	case haveFacts:
		return isTrue(t.onFacts(m))
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
		return !s.conn.rev2 && s.conn.view.isRecent(e.UID)
	case imap.SearchSeqs, imap.SearchUIDs:
		i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].to > m.place })
		return i < len(t.spans) && t.spans[i].from <= m.place
	case imap.SearchKeyword:
		has, known := t.sets[e.Keywords]
		if !known {
			has = slices.ContainsFunc(s.conn.view.keywords(e.Keywords), func(k mail.Keyword) bool { return k.Fold() == t.Keyword })
			t.sets[e.Keywords] = has
		}
		return has
	case imap.SearchLarger:
		return int64(e.Size) > t.Size
	case imap.SearchSmaller:
		return int64(e.Size) < t.Size
	case imap.SearchModSeq:
		return e.ModSeq >= t.ModSeq
	case imap.SearchEmailID:
		return e.Email.String() == t.Text
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

// onFacts tests what was found out when the message arrived.
func (t *test) onFacts(m *candidate) bool {
	e := &m.message.Envelope
	if t.Op != imap.SearchHeader {
		date, ok := message.ParseDate(e.Date) // in the sender's zone
		return ok && t.onDate(imap.DateOf(date))
	}
	text := envelopeText(e, t.field)
	if len(t.needle) == 0 {
		return text != "" // whether there is such a field
	}
	return contains(message.DecodeHeader(text), t.needle)
}

// inEnvelope tells whether a field can be searched without the header.
func inEnvelope(field string) bool {
	switch field {
	case "from", "to", "cc", "bcc", "subject", "message-id", "in-reply-to":
		return true
	}
	return false
}

// envelopeText gives a field as the envelope keeps it.
func envelopeText(e *message.Envelope, field string) string {
	switch field {
	case "subject":
		return e.Subject
	case "message-id":
		return e.MessageID
	case "in-reply-to":
		return e.InReplyTo
	}
	list := map[string][]message.Address{"from": e.From, "to": e.To, "cc": e.Cc, "bcc": e.Bcc}[field]
	var b strings.Builder
	for i := range list {
		a := &list[i]
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.Name)
		if a.Local != "" || a.Domain != "" {
			b.WriteString(" <" + a.Local + "@" + a.Domain + ">")
		}
	}
	return b.String()
}

// onText tests the header, and the text when it has been read.
func (t *test) onText(m *candidate) verdict {
	if t.Op == imap.SearchHeader {
		for f := range m.header.All(t.Field) {
			if contains(message.DecodeHeader(f.Text()), t.needle) {
				return yes
			}
		}
		return no
	}
	if m.at >= haveText {
		return isTrue(m.inBody[t.index] || t.Op == imap.SearchText && m.inText[t.index])
	}
	if t.Op == imap.SearchText && inHeader(m.header, t.needle) {
		return yes
	}
	return unknown
}

// inHeader tells whether a needle is in a header as a person reads it.
func inHeader(h message.Header, needle []byte) bool {
	for _, f := range h {
		if contains(string(f.Name)+": "+message.DecodeHeader(f.Text()), needle) {
			return true
		}
	}
	return false
}
