// Package mailbox keeps accounts' mail: mailboxes, their entries, the messages
// themselves, and the log of every change.
//
// One account is one partition of the key-value engine; every change of an
// account is one transaction, gets the account's next modseq, and is appended
// to its log. Nothing is told to anybody (a return value, an open mailbox's
// view, the feed) before the transaction is durable.
//
// Entries of open mailboxes are shared, in memory, as immutable Snapshots:
// one View for each open (account, mailbox) on the node, handed to all its
// sessions. Bodies are kept once per account under their content hash, small
// ones in the engine, large ones in a blob.Store.
package mailbox
