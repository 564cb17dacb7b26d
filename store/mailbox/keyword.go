package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// ErrKeyword says that a keyword is not one that IMAP can carry.
var ErrKeyword = errors.New("keyword is not allowed")

const (
	maxKeyword       = 100 // octets of one
	maxEntryKeywords = 64  // on one entry

	// maxSets is how many sets of an account are met on this node before new
	// ones are refused. People have some hundreds; but each is kept in memory
	// as long as the account is in use, and 20 keywords make a million.
	maxSets = 60_000
)

// A keywordTable knows the keywords of an account and the sets of them that
// have been met on this node. Keywords are numbered from 0 as they are first
// used, and never forgotten, so the table only grows.
type keywordTable struct {
	mu      sync.RWMutex // guards all
	names   []mail.Keyword
	numbers map[mail.Keyword]uint32 // by folded name
	sets    []string                // words of a row, by KeywordSet
	bySet   map[string]KeywordSet
}

// intern gives the set of a row's words.
func (t *keywordTable) intern(words []byte) KeywordSet {
	if len(words) == 0 {
		return 0
	}
	t.mu.RLock()
	set, ok := t.bySet[string(words)]
	t.mu.RUnlock()
	if ok {
		return set
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if set, ok := t.bySet[string(words)]; ok {
		return set
	}
	if t.bySet == nil {
		t.bySet = make(map[string]KeywordSet)
		t.sets = []string{""}
	}
	if len(t.sets) > math.MaxUint16 {
		// The limit of new sets holds for what one node writes in one life;
		// whoever went beyond it again and again sees these without keywords.
		return 0
	}
	set = KeywordSet(len(t.sets))
	t.sets = append(t.sets, string(words))
	t.bySet[string(words)] = set
	return set
}

// whole tells whether every set that has been met has a number.
func (t *keywordTable) whole() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.sets) <= math.MaxUint16
}

// words gives a set as a row has it.
func (t *keywordTable) words(set KeywordSet) []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return []byte(t.sets[set])
}

// full tells whether a set would be one too many.
func (t *keywordTable) full(words []byte) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.sets) >= maxSets && len(words) > 0 && t.bySet[string(words)] == 0
}

// known gives how many keywords the table has, and their numbers.
func (t *keywordTable) known() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return int64(len(t.names))
}

func (t *keywordTable) number(k mail.Keyword) (uint32, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, ok := t.numbers[k.Fold()]
	return n, ok
}

// learn adds keywords whose numbers follow each other from first.
func (t *keywordTable) learn(first int64, names []mail.Keyword) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.numbers == nil {
		t.numbers = make(map[mail.Keyword]uint32)
	}
	for i, k := range names {
		if n := first + int64(i); n == int64(len(t.names)) {
			t.names = append(t.names, k)
			t.numbers[k.Fold()] = uint32(n)
		}
	}
}

// Keywords spells out a set that an Entry of this account holds.
func (a *Account) Keywords(set KeywordSet) []mail.Keyword {
	t := &a.keywords
	t.mu.RLock()
	defer t.mu.RUnlock()
	if set == 0 || int(set) >= len(t.sets) {
		return nil
	}
	var list []mail.Keyword
	d := decoder{b: []byte(t.sets[set])}
	for len(d.b) > 0 {
		if n := d.uvarint(); n < uint64(len(t.names)) {
			list = append(list, t.names[n])
		}
	}
	return list
}

// KeywordNames lists the keywords that have been used in the account, in the
// order of their first use.
func (a *Account) KeywordNames(ctx context.Context) ([]mail.Keyword, error) {
	err := a.view(ctx, func(r kv.Reader, h *head) error { return a.learnKeywords(r, h) })
	if err != nil {
		return nil, err
	}
	a.keywords.mu.RLock()
	defer a.keywords.mu.RUnlock()
	return slices.Clone(a.keywords.names), nil
}

// learnKeywords brings the table up to a durable state.
func (a *Account) learnKeywords(r kv.Reader, h *head) error {
	known := a.keywords.known()
	if known >= h.keywords {
		return nil
	}
	names, err := readKeywords(r, known, h.keywords)
	if err != nil {
		return err
	}
	a.keywords.learn(known, names)
	return nil
}

func appendKeywordKey(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint32(append(dst, keys.Keyword), uint32(n))
}

func readKeywords(r kv.Reader, from, to int64) ([]mail.Keyword, error) {
	var names []mail.Keyword
	for it, err := range r.Scan(appendKeywordKey(nil, from), appendKeywordKey(nil, to), kv.ScanOptions{}) {
		if err != nil {
			return nil, err
		}
		if len(it.Value) < 2 || it.Value[0] != rowFormat {
			return nil, fmt.Errorf("keyword: %w", errCorrupt)
		}
		names = append(names, mail.Keyword(it.Value[1:]))
	}
	if int64(len(names)) != to-from {
		return nil, fmt.Errorf("keywords: %w", errCorrupt)
	}
	return names, nil
}

// checkKeywords refuses what is not an atom of flag-keyword. RFC 9051 §9
func checkKeywords(list []mail.Keyword) error {
	if len(list) > maxEntryKeywords {
		return fmt.Errorf("keywords on a message: %w", ErrTooMany)
	}
	for _, k := range list {
		if k == "" || len(k) > maxKeyword || k[0] == '\\' {
			return fmt.Errorf("%q: %w", string(k), ErrKeyword)
		}
		for i := 0; i < len(k); i++ {
			switch c := k[i]; {
			case c <= ' ' || c >= 0x7f,
				c == '(' || c == ')' || c == '{' || c == '%' || c == '*' || c == '"' || c == '\\' || c == ']':
				return fmt.Errorf("%q: %w", string(k), ErrKeyword)
			}
		}
	}
	return nil
}

// numberKeywords gives the numbers of keywords, sorted and without doubles.
// With add it gives numbers to new ones; without, it leaves them out.
func (t *txn) numberKeywords(list []mail.Keyword, add bool) ([]uint32, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if err := t.readNewKeywords(); err != nil {
		return nil, err
	}
	numbers := make([]uint32, 0, len(list))
	for _, k := range list {
		n, ok := t.findKeyword(k)
		if !ok {
			if !add {
				continue
			}
			if t.head.keywords >= int64(t.a.store.o.MaxKeywords) {
				return nil, fmt.Errorf("keywords: %w", ErrTooMany)
			}
			n = uint32(t.head.keywords)
			t.Put(appendKeywordKey(nil, t.head.keywords), append([]byte{rowFormat}, k...))
			t.newWords = append(t.newWords, k)
			t.head.keywords++
			t.dirty = true // else another would get the number
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers), nil
}

// readNewKeywords reads the keywords that the account's table lacks. They are
// not yet durable, and so are not put into it.
func (t *txn) readNewKeywords() error {
	if t.wordsRead {
		return nil
	}
	t.firstWord = min(t.a.keywords.known(), t.head.keywords)
	if t.firstWord < t.head.keywords {
		var err error
		if t.newWords, err = readKeywords(t, t.firstWord, t.head.keywords); err != nil {
			return err
		}
	}
	t.wordsRead = true
	return nil
}

func (t *txn) findKeyword(k mail.Keyword) (uint32, bool) {
	if n, ok := t.a.keywords.number(k); ok && int64(n) < t.head.keywords {
		return n, true
	}
	for i, w := range t.newWords {
		if w.Fold() == k.Fold() {
			return uint32(t.firstWord + int64(i)), true
		}
	}
	return 0, false
}

// Words of a row as numbers, and back.

func wordNumbers(words []byte) []uint32 {
	var list []uint32
	for d := (decoder{b: words}); len(d.b) > 0; {
		list = append(list, uint32(d.uvarint()))
	}
	return list
}

func appendWords(dst []byte, numbers []uint32) []byte {
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst
}
