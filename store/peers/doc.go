// Package peers remembers how others behave: hosts that connect and accounts
// that send. It counts what they do in counters that decay, knows which
// messages a greylist has put off, and keeps what an administrator has said of
// somebody. What follows from all this is flow/policy's to decide.
//
// Counting happens in memory and is written behind, in batches, so that no
// message waits for it: what a crash loses is some seconds of counting. Nodes
// that share a store add their counts to the same rows, and so know of each
// other after one or two batches. Rules and pauses are written at once.
//
// A counter decays exponentially: after its window a third (1/e) is left of
// it. What comes at a steady rate therefore stands at the number that comes in
// one window, and a burst stands at its size.
//
// Everything is bounded: so many peers and triples in memory, where those that
// have not been seen for longest make room, and so many on the disk, where
// they are purged.
//
// The partition keys.Peers holds, each value behind a version octet:
//
//	c 'n' address(16) bits(1)  -> first(8) last(8) counter(4)*   float32, as of last
//	c 'a' account(8)           -> the same
//	g hash(16)                 -> first(8) last(8) passed(1)
//	r name                     -> CBOR of a rule
//	p account(8)               -> CBOR of a pause
package peers
