// Package engine holds the parts that several storage engines of store/kv
// need in the same form: the gate that Close shuts, the watchers of a
// partition, the budget that keeps a transaction within the limits, and a
// sorted table in memory with free snapshots.
package engine
