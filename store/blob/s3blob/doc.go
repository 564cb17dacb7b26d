// Package s3blob is the blob store in a bucket of an S3 server: Amazon's, or
// any that speaks as it does (MinIO, Ceph, versitygw). Several processes, on
// several machines, may have the same bucket open.
//
// Under the prefix:
//
//	FORMAT                          "waxwing s3blob 1": the layout below; the store's ID
//	2f/a00000000000002f/<sum>       a blob, packed (store/blob/packed); owners are
//	                                spread by their last octet
//	2f/a00000000000002f/<sum>.<n>   the same blob, kept again later; n is random
//
// # Writing
//
// A spool packs what comes into a local file without a name, so that a crash
// leaves nothing. Keep uploads it once; further owners get copies that the
// server makes. An object is complete or not there, and S3 answers after it is
// durable.
//
// # Keeping again, and reaping
//
// Here nobody can hold a lock, and S3 servers in general delete by name,
// whatever has become of the object meanwhile. So what is old is never relied
// on by name: Keep takes an object that is there for its own only while that
// is younger than Options.Fresh; of an older one it makes a copy under a new
// name, and then removes the older. Reap removes the very object that was
// listed, and so never one that came later. List gives as Modified the latest
// time at which an object may have been relied on: Fresh after it was made. A
// sweep that spares what was modified within a day has a day between whoever
// relied on an object and whoever reaps it.
package s3blob
