package abstract

// A Query is what one of a message's texts, as Header and Body give them, must
// have: all of its terms. Bare says that they have no combining marks, and are
// looked for in the text without its own.
type Query struct {
	Terms []Term
	Bare  bool
}

// A Term is a folded string. Almost says that one character of it may be wrong,
// missing or too many.
type Term struct {
	Text   []byte
	Almost bool
}
