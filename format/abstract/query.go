package abstract

// A Query is what one of a message's texts, as Header and Body give them, must
// have: all of its terms. Bare says that they have no combining marks, and are
// looked for in the text without its own.
//
// In tells in which of the texts they are looked for, so that what has been
// found out can be kept and serve for the same again. Empty, nothing is.
type Query struct {
	Terms []Term
	Bare  bool
	In    string
}

// A Term is a folded string. Almost says that one character of it may be wrong,
// missing or too many.
type Term struct {
	Text   []byte
	Almost bool
}
