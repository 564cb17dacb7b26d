package keys

// Prefixes in the partition of an account's index, all of store/search.
const (
	IndexState    = 's' // nothing -> how far the index reaches, and its segments
	IndexPostings = 'p' // segment, gram -> in which of the segment's emails grams occur
	IndexEmails   = 'e' // segment, part -> the emails of the segment
	IndexAbstract = 'a' // email -> what it is sorted and threaded by
)
