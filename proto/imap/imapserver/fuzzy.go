package imapserver

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"waxwing/format/abstract"
	"waxwing/proto/imap"
)

// SEARCH=FUZZY: a string is found where all its words are, in any order and
// without their accents, each with one letter wrong at most if it has four or
// more. Other keys are matched exactly. RFC 6203

// A fuzzyTest is a string that is looked for.
type fuzzyTest struct {
	phrase []byte // without marks
	words  [][]byte
}

// maxWords bounds the words of one string; the others are passed over.
const maxWords = 20

func newFuzzyTest(folded []byte) *fuzzyTest {
	f := &fuzzyTest{phrase: bytes.TrimSpace(withoutMarks(nil, folded))}
	for _, w := range bytes.FieldsFunc(f.phrase, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
		if len(f.words) < maxWords {
			f.words = append(f.words, w)
		}
	}
	return f
}

// withoutMarks appends a folded text without its combining marks.
func withoutMarks(dst, folded []byte) []byte {
	for len(folded) > 0 {
		n := 0
		for n < len(folded) && folded[n] < utf8.RuneSelf {
			n++
		}
		dst = append(dst, folded[:n]...)
		if folded = folded[n:]; len(folded) == 0 {
			break
		}
		r, n := utf8.DecodeRune(folded)
		if !unicode.Is(unicode.Mn, r) {
			dst = append(dst, folded[:n]...)
		}
		folded = folded[n:]
	}
	return dst
}

// How good a match is.
const (
	scoreNone   = 0
	scoreAlmost = 40 // with letters wrong
	scoreWords  = 70
	scorePhrase = 100
)

// rate tells how well a text without marks matches.
func (f *fuzzyTest) rate(text []byte) int {
	if len(f.phrase) == 0 || bytes.Contains(text, f.phrase) {
		return scorePhrase
	}
	if len(f.words) == 0 {
		return scoreNone
	}
	score := scoreWords
	for _, w := range f.words {
		switch {
		case bytes.Contains(text, w):
		case almost(text, w):
			score = scoreAlmost
		default:
			return scoreNone
		}
	}
	return score
}

// almost tells whether a word is in a text with one letter wrong, missing or
// too many. One of its halves is there then.
func almost(text, word []byte) bool {
	if len(word) < 4 {
		return false
	}
	half := len(word) / 2
	for from := 0; ; {
		i := bytes.Index(text[from:], word[:half])
		if i < 0 {
			break
		}
		end := from + i + half
		if oneOff(text[end:min(end+len(word)-half+1, len(text))], word[half:]) {
			return true
		}
		from += i + 1
	}
	for from := 0; ; {
		i := bytes.Index(text[from:], word[half:])
		if i < 0 {
			return false
		}
		at := from + i
		if oneOffBefore(text[max(at-half-1, 0):at], word[:half]) {
			return true
		}
		from = at + 1
	}
}

// oneOff tells whether text begins with part but for one octet.
func oneOff(text, part []byte) bool {
	i := 0
	for i < len(part) && i < len(text) && text[i] == part[i] {
		i++
	}
	if i == len(part) {
		return true
	}
	rest := part[i+1:]
	for _, skip := range [...]struct{ text, part int }{{1, 1}, {1, 0}, {0, 1}} { // wrong, too many, missing
		t := text[min(i+skip.text, len(text)):]
		p := rest
		if skip.part == 0 {
			p = part[i:]
		}
		if bytes.HasPrefix(t, p) {
			return true
		}
	}
	return false
}

// oneOffBefore is oneOff from the end backwards.
func oneOffBefore(text, part []byte) bool {
	return oneOff(reversed(text), reversed(part))
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return r
}

// A fuzzyText is the text of a message that fuzzy tests look at.
type fuzzyText struct{ header, body collector }

// maxFuzzyText bounds what is looked at of a message.
const maxFuzzyText = 4 << 20

func newFuzzyText() *fuzzyText { return &fuzzyText{} }

// A collector keeps a text without its marks. It is an abstract.Sink.
type collector struct{ text []byte }

// Write adds a piece.
func (c *collector) Write(piece []byte) { c.text = withoutMarks(c.text, piece) }

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
	best := 0
	field := func(f abstract.Field) {
		text, _ := m.row.Text(f)
		best = max(best, t.fuzzy.rate(withoutMarks(nil, text))*weightRow/100)
	}
	if t.Op == imap.SearchHeader {
		if f, ok := rowField(t.field); ok && m.row != nil {
			field(f)
			return best, isTrue(best > 0)
		}
		if m.at < haveHeader {
			return 0, unknown
		}
		for f := range m.header.All(t.field) {
			best = max(best, t.fuzzy.rate(withoutMarks(nil, foldedText(f)))*weightHead/100)
		}
		return best, isTrue(best > 0)
	}
	if m.at < haveText || m.text == nil {
		return 0, unknown
	}
	if t.Op == imap.SearchText {
		best = t.fuzzy.rate(m.text.header.text) * weightHead / 100
		if m.row != nil {
			for _, f := range [...]abstract.Field{abstract.Subject, abstract.From, abstract.To, abstract.Cc} {
				field(f)
			}
		}
	}
	best = max(best, t.fuzzy.rate(m.text.body.text)*weightBody/100)
	return best, isTrue(best > 0)
}

// score adds up how well a message matches the fuzzy tests of the program.
func (s *searcher) score(m *candidate) int {
	if len(s.fuzzy) == 0 {
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
	if len(s.fuzzy) == 0 || len(s.found) == 0 {
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
