package keys

// Prefixes in the partition of an account's index, of store/search if nothing else
// is said.
const (
	IndexState    = 's' // nothing -> how far the index reaches, and its segments
	IndexPostings = 'p' // segment, gram -> in which of the segment's emails grams occur
	IndexEmails   = 'e' // segment, part -> the emails of the segment
	IndexAbstract = 'a' // email -> what it is sorted and threaded by
	IndexSheaf    = 'f' // mailbox, kind, number, part -> answers for successive UIDs; store/sheaves
	IndexImage    = 'v' // mailbox, part -> its entries as they once stood; store/mailbox
)
