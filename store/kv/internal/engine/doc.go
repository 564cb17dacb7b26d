// Package engine holds the parts that every storage engine of store/kv needs
// in the same form: the gate that Close shuts, the watchers of a partition,
// and the budget that keeps a transaction within the limits.
package engine
