package imapserver

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"waxwing/format/abstract"
	"waxwing/format/casemap"
	"waxwing/proto/imap"
)

// SEARCH=FUZZY: a string is found where all its words are, in any order and
// without their accents. One letter of a word may be wrong, missing or too many:
// in a field of the envelope, which is short, if it has four or more; in a text
// if each half of it is long enough to be looked up. Other keys are matched
// exactly. RFC 6203

// A fuzzyTest is a string that is looked for.
type fuzzyTest struct {
	phrase []byte // without marks
	words  []fuzzyWord
}

// A fuzzyWord is a word without marks.
type fuzzyWord struct {
	text []byte
	half int // where its second half begins, both being whole characters; 0 for a short one
}

const (
	// maxWords bounds the words of one string; the others are passed over.
	maxWords = 20
	// minLetters is how many letters a word has of which one may be wrong, and
	// minHalf how many octets each of its halves, in a text.
	minLetters = 4
	minHalf    = 3
)

func newFuzzyTest(folded []byte) *fuzzyTest {
	f := &fuzzyTest{phrase: bytes.TrimSpace(casemap.WithoutMarks(nil, folded))}
	for _, w := range bytes.FieldsFunc(f.phrase, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
		if len(f.words) < maxWords {
			f.words = append(f.words, newFuzzyWord(w))
		}
	}
	return f
}

func newFuzzyWord(text []byte) fuzzyWord {
	w := fuzzyWord{text: text}
	letters := utf8.RuneCount(text)
	if letters < minLetters {
		return w
	}
	for range letters / 2 {
		_, n := utf8.DecodeRune(text[w.half:])
		w.half += n
	}
	return w
}

// isLong tells whether a letter of a word may be wrong in a text.
func (w *fuzzyWord) isLong() bool { return w.half >= minHalf && len(w.text)-w.half >= minHalf }

// query gives what a message has in its text in which the string is found. A
// phrase without words might be found across the end of a text.
func (f *fuzzyTest) query() abstract.Query {
	q := abstract.Query{Bare: true}
	for _, w := range f.words {
		q.Terms = append(q.Terms, abstract.Term{Text: w.text, Almost: w.isLong()})
	}
	return q
}

// How good a match is.
const (
	scoreNone   = 0
	scoreAlmost = 40 // with letters wrong
	scoreWords  = 70
	scorePhrase = 100
)

// rate tells how well a text without marks matches; short says that it is a
// field of the envelope.
func (f *fuzzyTest) rate(text []byte, short bool) int {
	if len(f.phrase) == 0 || bytes.Contains(text, f.phrase) {
		return scorePhrase
	}
	if len(f.words) == 0 {
		return scoreNone
	}
	score := scoreWords
	for i := range f.words {
		switch w := &f.words[i]; {
		case bytes.Contains(text, w.text):
		case (short || w.isLong()) && w.almostIn(text):
			score = scoreAlmost
		default:
			return scoreNone
		}
	}
	return score
}

// almostIn tells whether a word is in a text with one letter wrong, missing or
// too many. One of its halves is there then.
func (w *fuzzyWord) almostIn(text []byte) bool {
	if w.half == 0 {
		return false
	}
	first, second := w.text[:w.half], w.text[w.half:]
	for from := 0; ; {
		i := bytes.Index(text[from:], first)
		if i < 0 {
			break
		}
		if beginsAlmost(text[from+i+len(first):], second) {
			return true
		}
		from += i + 1
	}
	for from := 0; ; {
		i := bytes.Index(text[from:], second)
		if i < 0 {
			return false
		}
		if endsAlmost(text[:from+i], first) {
			return true
		}
		from += i + 1
	}
}

// beginsAlmost tells whether text begins with part but for one letter.
func beginsAlmost(text, part []byte) bool {
	for len(part) > 0 {
		want, n := utf8.DecodeRune(part)
		have, k := utf8.DecodeRune(text)
		if have != want {
			return bytes.HasPrefix(text[k:], part[n:]) || bytes.HasPrefix(text[k:], part) || bytes.HasPrefix(text, part[n:]) // wrong, too many, missing
		}
		text, part = text[k:], part[n:]
	}
	return true
}

// endsAlmost tells whether text ends with part but for one letter.
func endsAlmost(text, part []byte) bool {
	for len(part) > 0 {
		want, n := utf8.DecodeLastRune(part)
		have, k := utf8.DecodeLastRune(text)
		if have != want {
			text, short := text[:len(text)-k], part[:len(part)-n]
			return bytes.HasSuffix(text, short) || bytes.HasSuffix(text, part) || bytes.HasSuffix(text[:len(text)+k], short)
		}
		text, part = text[:len(text)-k], part[:len(part)-n]
	}
	return true
}

// A fuzzyText is the text of a message, without its marks.
type fuzzyText struct{ header, body collector }

// maxFuzzyText bounds what is looked at of a message.
const maxFuzzyText = 4 << 20

// A collector keeps a text without its marks. It is an abstract.Sink.
type collector struct{ text []byte }

// Write adds a piece.
func (c *collector) Write(piece []byte) { c.text = casemap.WithoutMarks(c.text, piece) }

// End ends a text: words do not reach over it.
func (c *collector) End() { c.text = append(c.text, '\n') }

// Enough tells that no more is looked at.
func (c *collector) Enough() bool { return len(c.text) > maxFuzzyText }

// Where a string is found counts.
const (
	weightRow  = 100 // in a field of the envelope
	weightHead = 60
	weightBody = 50
)

// onFuzzy rates a message: the best of where the string may be; unknown until
// all of it has been looked at.
func (t *test) onFuzzy(m *candidate) (score int, v verdict) {
	if t.Op == imap.SearchHeader {
		if f, ok := rowField(t.field); ok && m.row != nil {
			score = t.rateRow(m, f)
			return score, isTrue(score > 0)
		}
		if m.at < haveHeader {
			return 0, unknown
		}
		for f := range m.header.All(t.field) {
			score = max(score, t.fuzzy.rate(casemap.WithoutMarks(nil, foldedText(f)), false)*weightHead/100)
		}
		return score, isTrue(score > 0)
	}
	if m.at < haveText {
		return 0, unknown
	}
	return m.scores[t.index], isTrue(m.scores[t.index] > 0)
}

// rateText rates a message by its text.
func (t *test) rateText(m *candidate, text *fuzzyText) int {
	score := t.fuzzy.rate(text.body.text, false) * weightBody / 100
	if t.Op == imap.SearchText {
		score = max(score, t.fuzzy.rate(text.header.text, false)*weightHead/100)
		if score > 0 && m.row != nil {
			score = max(score, t.rateRow(m, abstract.Subject, abstract.From, abstract.To, abstract.Cc))
		}
	}
	return score
}

// rateRow rates fields of a message's envelope.
func (t *test) rateRow(m *candidate, fields ...abstract.Field) int {
	score := 0
	for _, f := range fields {
		text, _ := m.row.Text(f)
		score = max(score, t.fuzzy.rate(casemap.WithoutMarks(nil, text), true)*weightRow/100)
	}
	return score
}

// score adds up how well a message matches the fuzzy tests of the program.
func (s *searcher) score(m *candidate) int {
	if s.fuzzy == 0 {
		return 0
	}
	total := 0
	var add func(t *test)
	add = func(t *test) {
		if t.fuzzy != nil {
			score, _ := t.onFuzzy(m)
			total += score
		}
		if t.Op != imap.SearchNot {
			for i := range t.sub {
				add(&t.sub[i])
			}
		}
	}
	add(&s.program)
	return total
}

// rate turns scores into relevancy, 1 to 100, the best of what was found
// being 100. RFC 6203 §4
func (s *searcher) rate() {
	if s.fuzzy == 0 || len(s.found) == 0 {
		return
	}
	low, high := s.found[0].score, s.found[0].score
	for _, m := range s.found {
		low, high = min(low, m.score), max(high, m.score)
	}
	for i := range s.found {
		if m := &s.found[i]; high == low {
			m.score = 100
		} else {
			m.score = 1 + 99*(m.score-low)/(high-low)
		}
	}
}
