// Package pebblekv is the storage engine for one machine: one Pebble database
// with the keys of all partitions, each behind its partition's eight octets
// (big-endian, so that partitions lie one after the other).
//
// Under its directory:
//
//	FORMAT    "waxwing pebblekv 1": the layout; newer ones are refused
//	LOCK      locked by the process that has the store open
//	pebble/   Pebble's own files
//
// # Ordered, then durable
//
// A writer holds its partition only until its batch has its place in the
// write-ahead log (ApplyNoSyncWait); the sync is awaited afterwards, by one
// goroutine for all (syncer), and shared with everybody who came meanwhile.
// From its place in the log a batch can be read in Pebble, though a crash may
// still take it back, so:
//
//   - a commit is entered in the table of partitions before it is applied;
//   - View takes its snapshot, then looks the newest commit of the partition
//     up and waits for it. Whatever the snapshot holds was entered before.
//
// Update reads the newest state; what it returns is held back until what it
// has read is durable. Partitions that nobody writes to cost no memory.
//
// # When the disk fails
//
// A sync that failed once says nothing about the data when it is tried again,
// so the first failure makes the store read-only: all Waits that have not
// returned fail, and so does View of a partition whose newest commit is not
// known to be durable. All others can still be read. A new start recovers
// what is in the log. Where Pebble itself cannot go on (it cannot make its
// next log file, its own files are damaged) Options.Fatal ends the process.
// Before a full disk comes to that, Update refuses to write (Options.MinFree).
package pebblekv
