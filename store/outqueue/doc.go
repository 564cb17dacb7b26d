// Package outqueue is the durable queue of messages that still have to go:
// onward to other hosts, or once more to one of our own accounts.
//
// An item is one message with all its recipients and what has become of each.
// Its way is
//
//	Enqueue -> News or Ready -> Lease -> Result -> ... -> Result that settles the last
//	recipient, which removes the item with its body in the same transaction
//
// The queue decides nothing: when to try again, when to give up and what to
// tell the sender is said by whoever calls Result (flow/relay).
//
// # Nothing is lost, and (nearly) nothing is sent twice
//
// Enqueue returns after the item is durable; only then may anybody say 250.
// Result returns after the outcome is durable. A caller that has got a 250
// from the peer calls Result at once, before anything else: what is left is
// the window between the peer's 250 and our sync (up to a millisecond: results
// go with the sync of the next message, if one comes soon), in which a crash
// makes the message be sent again. SMTP has no way to close it, RFC 1047.
// Notifications that follow from a result go into the same transaction
// (Attempt.Then), so they are neither lost nor doubled.
//
// Lease hands an item to one caller for a time (Options.Lease). If that caller
// dies, the item becomes due again when the time has passed, or when a process
// that has the store for itself starts and calls Reclaim. Every lease has a
// higher epoch than the one before; Result and Extend with an older one fail
// with ErrLeaseLost, so that a caller that was too slow, on this node or
// another, cannot undo what its successor has done.
//
// # Shards
//
// The queue lies in a fixed number of partitions, so that writers do not wait
// for each other and several nodes can take turns. An item's id names its
// shard. In each (see store/keys):
//
//	h              head: next number, counts, and a time before which
//	               nothing is due, so that looking costs one read and no
//	               scan begins among the graves of what has been sent
//	i item part    the record, CBOR, in parts of at most 60 KiB
//	s item         state: due, lease, flags; fixed layout
//	d time item    the index of what is due: where it goes and whose it
//	               is; a leased item stands at the end of its lease, one
//	               that is held not at all
//	b item chunk   the prefix, and the body up to blob.Inline
//	l sum          how many items of the shard have a large body
//	t hash         what was enqueued under a token, x in order of age
//
// Every record begins with a version octet.
package outqueue
