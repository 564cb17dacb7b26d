package search

import (
	"unicode/utf8"

	"waxwing/store/kv"
)

// maxAlmost is how many octets of a term are looked up that may have a
// character wrong: what has the term almost has its beginning almost.
const maxAlmost = 18

// intersectAlmost leaves in each segment the places that may have a word with
// one character wrong, missing or too many. Whichever it is, what is before it
// and what is behind it are there, so that of all ways to take one character out
// there is one of which all grams are.
func intersectAlmost(r kv.Reader, segments []*segment, left []places, word []byte) error {
	for n := len(word); n > maxAlmost; word = word[:n] {
		_, size := utf8.DecodeLastRune(word)
		n -= size
	}
	grams := make([]gram, len(word)-gramSize+1)
	for i := range grams {
		grams[i] = gramAt(word, i)
	}
	found := make([][]places, len(segments))
	for i := range found {
		found[i] = make([]places, len(grams))
	}
	if err := eachPosting(r, segments, grams, func(segment, gram int, p places) { found[segment][gram] = p }); err != nil {
		return err
	}
	for i, s := range segments {
		left[i].and(withoutOne(found[i], word, len(s.emails)))
	}
	return nil
}

// withoutOne gives the places that have all grams of a word of which one
// character, whichever, has been taken out; postings has those of each gram.
func withoutOne(postings []places, word []byte, docs int) places {
	// behind[i] has what has all grams from i on.
	behind := make([]places, len(word)+1)
	rest := allPlaces(docs)
	for i := len(word); i >= 0; i-- {
		if i < len(postings) {
			rest = both(rest, postings[i])
		}
		behind[i] = rest
	}
	any, before := newPlaces(docs), allPlaces(docs)
	for at, end := 0, 0; at < len(word); at = end {
		_, size := utf8.DecodeRune(word[at:])
		end = at + size
		any.or(both(before, behind[end]))
		for i := max(at-gramSize+1, 0); i+gramSize <= end; i++ { // those that end in this character
			before = both(before, postings[i])
		}
	}
	return any
}

// both gives what is in both; nil is nothing.
func both(p, other places) places {
	list := make(places, len(p))
	if other != nil {
		copy(list, p)
		list.and(other)
	}
	return list
}
