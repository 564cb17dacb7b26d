// Package pebblekv is the storage engine for one machine: a log of its own,
// which everything is written to and larger values stay in, and one Pebble
// database with the keys of all partitions, each behind its partition's eight
// octets (big-endian, so that partitions lie one after the other).
//
// Under its directory:
//
//	FORMAT    "waxwing pebblekv 2": the layout; newer ones are refused,
//	          layout 1 (all in Pebble) is carried over at the first start
//	LOCK      locked by the process that has the store open
//	log/      segments of the log: 00000001.log ...
//	keys/     Pebble's own files
//
// # The log
//
// A record of the log is one transaction: its batch, in Pebble's form, and the
// values of logFrom octets and more behind it (record.go draws it). Those stay
// there; what Pebble holds under a key is a tag and the value, or a tag and
// the place of the value in the log (reference). So a body is written once,
// and with one sync for it and all that belongs to it.
//
// Pebble has no write-ahead log. It is told from time to time below which
// place of the log it has everything (keeper.note); what its tables hold of
// that note, which they make durable together with what came before it, is
// where the next start begins to read the log. Three rules keep it safe:
//
//   - Pebble's tables are synced after the log of what they hold (syncedFS),
//     so that they never refer to what a crash takes back;
//   - a segment is removed only when it lies below that durable note, when all
//     its live values have been written again and those are durable, when the
//     last view that may read there has ended, and no checkpoint runs;
//   - a start never appends to a segment, it begins a new one, whose head says
//     where the one before it ends: what lay behind that was never durable.
//
// # Ordered, then durable
//
// A writer holds its partition only until its record has its place in the log
// (bodyLog.append) and its batch is in Pebble; the sync is awaited afterwards,
// and shared with everybody who came meanwhile: one goroutine writes and syncs
// one group of records after the other. From then on a batch can be read in
// Pebble, and its values from memory, though a crash may still take it back,
// so:
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
// what is in the log. Where Pebble itself cannot go on (its own files are
// damaged) Options.Fatal ends the process.
//
// A full disk does not come to that: room for the log is made before a
// transaction gets its place in it (rooms), and Update refuses to write when
// there is none, or when space gets short (Options.MinFree). It takes writes
// again when there is space again. While groups are small the room in front of the
// log holds zeros, so that syncs have less to wait for (blanks).
//
// A value of the log that is not what was written there gives a *Damage, and
// never other octets.
package pebblekv
