package search_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"waxwing/format/abstract"
	"waxwing/format/casemap"
	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/search"
)

// bare asks for a string in texts without their marks; almost, with one
// character wrong.
func bare(needle string, almost bool) abstract.Query {
	return abstract.Query{Bare: true, Terms: []abstract.Term{{Text: casemap.WithoutMarks(nil, casemap.String(needle)), Almost: almost}}}
}

func (h *house) ask(q abstract.Query) *search.Candidates {
	h.t.Helper()
	list, err := h.index.Account(1).Narrow(h.t.Context(), []abstract.Query{q})
	if err != nil {
		h.t.Fatal(err)
	}
	return list[0]
}

// unmarked takes the marks out of the texts.
func (l *looker) unmarked() [][]byte {
	var list [][]byte
	for _, text := range l.texts {
		list = append(list, casemap.WithoutMarks(nil, text))
	}
	return list
}

// misspell changes, leaves out or adds one character.
func misspell(r *rand.Rand, word string) string {
	list := []rune(word)
	at := r.IntN(len(list))
	switch r.IntN(3) {
	case 0:
		list[at] = []rune("xqж語")[r.IntN(4)]
	case 1:
		list = append(list[:at], list[at+1:]...)
	default:
		list = append(list[:at], append([]rune{'z'}, list[at:]...)...)
	}
	return string(list)
}

// What has a word without its accents, or almost, is a candidate for it.
func TestBareAndAlmost(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	h := newHouse(t)
	texts := map[mail.EmailID][][]byte{}
	var list []string
	for i := range 150 {
		list = append(list, compose(r, i))
	}
	for i, id := range h.add(list...) {
		texts[id] = look(t, list[i]).unmarked()
	}
	h.update(start)
	ruledOut := 0
	has := func(id mail.EmailID, needle []byte) bool {
		return slices.ContainsFunc(texts[id], func(text []byte) bool { return bytes.Contains(text, needle) })
	}
	for _, word := range append([]string{"été", "ETE", "naive", "cafe", "grosser", "київ", "number17x", "with a phrase über all of this"}, words...) {
		plain := casemap.WithoutMarks(nil, casemap.String(word))
		exact := h.ask(bare(word, false))
		for id := range texts {
			if has(id, plain) && !may(exact, id) {
				t.Fatalf("email %d has %q and is no candidate", id, word)
			}
		}
		if utf8.RuneCountInString(word) < 4 {
			continue
		}
		for range 3 {
			wrong := misspell(r, word)
			c := h.ask(bare(wrong, true))
			for id := range texts {
				if has(id, plain) && !may(c, id) {
					t.Fatalf("email %d has %q and is no candidate for %q", id, word, wrong)
				}
				if !may(c, id) {
					ruledOut++
				}
			}
		}
	}
	if ruledOut == 0 {
		t.Fatal("nothing was ruled out")
	}
	t.Logf("%d ruled out", ruledOut)
}

// Segments of format 1, which have no grams of texts without marks, are read,
// and built anew.
func TestFormerFormat(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	h := newHouse(t)
	var list []string
	for i := range 250 {
		list = append(list, compose(r, i))
	}
	ids := h.add(list...)
	h.update(start)
	err := kv.Apply(t.Context(), h.db, keys.Index(1), func(tx kv.Txn) error {
		for it, err := range tx.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if it.Key[0] == keys.IndexState || it.Key[0] == keys.IndexEmails {
				value := bytes.Clone(it.Value)
				value[0] = 1
				tx.Put(bytes.Clone(it.Key), value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.index = search.New(h.db, h.mailboxes, search.Options{})
	count := func(q abstract.Query) int {
		c, n := h.ask(q), 0
		for _, id := range ids {
			if may(c, id) {
				n++
			}
		}
		return n
	}
	if n := count(exactly("nobody has this")); n > 10 {
		t.Errorf("%d candidates for an exact string", n)
	}
	if n := count(bare("nobody has this", false)); n != len(ids) {
		t.Errorf("%d candidates for a string without marks, of %d", n, len(ids))
	}
	for range 2 { // the second time there is nothing to do
		h.update(start)
		if n := count(bare("nobody has this", false)); n > 10 {
			t.Errorf("%d candidates after building anew", n)
		}
		for i, id := range ids {
			needle := fmt.Sprintf("number%dx", i)
			if look(t, list[i]).has(needle) && !may(h.narrow(needle), id) {
				t.Errorf("email %d is lost", id)
			}
		}
	}
	err = h.db.View(t.Context(), keys.Index(1), func(kr kv.Reader) error {
		for it, err := range kr.Scan(nil, nil, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if (it.Key[0] == keys.IndexState || it.Key[0] == keys.IndexEmails) && it.Value[0] != 2 {
				t.Errorf("%x is of format %d", it.Key, it.Value[0])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
