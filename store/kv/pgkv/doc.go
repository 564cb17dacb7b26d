// Package pgkv is the storage engine on PostgreSQL (15 or later): several
// processes, on several machines, have one store open at the same time.
//
// It speaks plain SQL (no extensions, no advisory locks), so that databases
// which shard by table or speak PostgreSQL's protocol can take its place.
//
//	kv    partition, key, value: everything. May be a table that is hash-
//	      partitioned or distributed by partition; see schema/0001.sql.
//	part  partition, version, writers: one row for each partition, which is
//	      its lock and its fence, and says who wrote last (see commit.go).
//
// Partitions are numbers without a sign here and bigint there: those with the
// top bit set are negative in the tables.
//
// # Round trips
//
// They are what everything costs. A View's transaction begins with its first
// read, in the same round trip; its end is not waited for. So a View with one
// GetMany takes one round trip.
//
// An Update with one takes two, and mostly no transaction: it reads what it
// wants together with the partition's version, keeps its writes in memory, and
// sends them in one statement that writes only if the version is still the
// same. What it has read and written stays in memory, so that the next Update
// of the partition that asks for no more than that sends its writes at once, in
// one round trip, on condition that nobody else has written (recall.go). Updates
// of different partitions that go at the same time share these
// statements (swift.go, rounds.go). Where another process writes to the same
// partition meanwhile, and for scans, ranges and much data, it goes the careful
// way: BEGIN, lock and first read in one round trip, writes and COMMIT in
// another.
//
// # A hot partition
//
// The database holds a row's lock until the commit is durable. Updates of this
// process that wait for one partition therefore share a commit: their
// functions run one after the other, each in its caller's goroutine, each on
// top of what the others have written; the last one commits for all. An error
// discards what that function wrote, nobody else's. Nobody hears of success
// before the commit. There is no timer: who comes while a commit is under way
// forms the next group.
//
// # When a connection is lost
//
// Before COMMIT has been sent nothing has happened, and everything is run
// again on another connection. After it the outcome is unknown, and is found
// out: the partition's row names the last transactions of each writer. Only
// if it cannot be found out for a long time does Update fail with
// ErrUnknownOutcome.
//
// # News
//
// Watchers hear of commits by this process at once, of others' through
// NOTIFY, and in any case by asking for the versions of the watched
// partitions now and then (news.go).
package pgkv
