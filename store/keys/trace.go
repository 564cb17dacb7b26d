package keys

// Prefixes in the trace's partition, all of store/trace. The letters e, t and x
// were those of a form that no release has had.
const (
	TraceSteps = 's' // time, writer, number -> a block of steps
	TraceIndex = 'w' // time, writer, number -> hashes of the ids, addresses and hosts in it
	TraceTotal = 'o' // nothing -> octets of both

	// The same of what strangers were refused, which has room of its own.
	RefusedSteps = 'S'
	RefusedIndex = 'W'
	RefusedTotal = 'O'
)
