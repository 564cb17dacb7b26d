package keys

// Prefixes in a shard of the outqueue, all of store/outqueue.
const (
	QueueHead     = 'h' // the shard's head
	QueueItem     = 'i' // item, part -> record
	QueueState    = 's' // item -> state
	QueueDue      = 'd' // time, item -> nothing
	QueueBody     = 'b' // item, chunk -> octets
	QueueBlob     = 'l' // sum -> how many items have it as their body
	QueueToken    = 't' // hash of token -> item, time
	QueueTokenAge = 'x' // time, hash of token -> nothing
)
