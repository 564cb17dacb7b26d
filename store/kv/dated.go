package kv

// A Dated is a Txn of an engine to which this process alone writes, and that
// knows when its partition was written last.
type Dated interface {
	// Newest gives the version of the newest commit of the partition, durable or
	// not; 0 where that is not known. Who has seen what a commit of that version
	// wrote need not read it again.
	Newest() Version
}
