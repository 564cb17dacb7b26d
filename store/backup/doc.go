// Package backup keeps copies of a whole store, whatever engine it is on, in a
// repository: a directory or a bucket. A copy of a partition is one snapshot of
// its rows, consistent in itself, with the large bodies that they name; so a
// backup of one engine can be restored into another.
//
// # The repository
//
//	waxwing-backup        JSON: version, id, whether it is sealed
//	packs/2f/<id>         objects by the hundred, in frames; never changed
//	snapshots/<time>-<id> what one run has found, written last
//
// An object is some octets without a name: a leaf (rows of a partition, in
// order), the value of one large row, a piece of a large body or of a file, or
// a tree (all about one partition). Where it lies is a Ref: pack, frame, offset
// and length. Objects fill frames of about 1 MiB, each compressed (zstd, with
// its checksum), and frames fill packs; values and bodies go to other packs
// than leaves and trees, since they live longer.
//
//	pack      "waxwing pack 1\n", frames, table, count u32, "wxwpack1"
//	table     for each frame: compressed u32, raw u32 (little-endian)
//	snapshot  "waxwing snapshot 2\n", length u32, header, packs, sealed, SHA-256
//	header    JSON: Snapshot
//	packs     count u32; for each: id 16, size u64, checksum 32 (sum.go)
//	sealed    trees and files
//
// Packs and the sealed part of snapshots are encrypted with age when the
// repository is sealed; whoever backs up has the public key only. What can be
// read without the key (the times, sizes and checksums) is enough to list,
// prune and check.
//
// # Only what is new
//
// A leaf ends where the hash of a key says so; a change touches one leaf and
// leaves the others as they were. Bodies in the engine are named by their
// content, so those that are in the repository are not read again, nor are
// large ones. A partition that says it has not changed is taken over whole.
// What is known of the repository lies in a Memory, on the disk of the store
// itself, since the machine that backs up cannot read what it has written;
// without it everything is written anew.
//
// Packs that have become half empty are emptied by the way (sparse.go).
//
// # When something breaks
//
// A pack is whole and durable before anything names it, a snapshot is written
// after all its packs; a run that is cut short leaves the repository as good as
// before, and the next one goes on with the packs that it has left.
package backup
