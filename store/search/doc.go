// Package search keeps an index of accounts' mail, so that a string is looked
// for in the few messages that may have it, and lists are sorted and threaded
// without reading messages.
//
// # What it holds
//
// Of each email its abstract (format/abstract), and the grams that occur in its
// text: a gram is a hash, of 16 bits, of three successive octets of the folded
// text, or of the text without its combining marks. A message that has a string
// has all its grams. So the index gives candidates, never answers: whoever
// searches looks for the string in the candidates' text, and the meaning of SEARCH
// is that of looking everywhere. What has been found by looking is kept for a
// while, in memory.
//
// Emails are indexed in the order of their numbers, in segments of dozens to
// thousands; what is behind the last segment is not narrowed down: it is
// searched. The index may lag, and is right all the same.
//
// # Where it lies
//
// In a partition of its own beside the account's, so that its writing waits for
// nobody's delivery and nobody's delivery for it. It can be dropped at any time
// and is built anew (Drop). Segments never change. A new one, or one that takes
// the place of others, is written first and then named by the state, in one
// transaction: a crash leaves rows that nothing names, which the next builder
// removes.
//
//	s                 state     how far it reaches, and the segments
//	e segment         emails    of the segment, and how its postings are cut
//	p segment gram    postings  of grams from this one on
//	a email           abstract
//	w                 lease     of the node that builds
//
// Segments of like size are put together when there are eight of them. What has
// been purged leaves the abstracts within a day, and the postings when a quarter
// of a segment is gone.
package search
