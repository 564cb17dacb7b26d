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
//
// # Records
//
// Keys begin with the octet that package keys gives them; values begin with
// the version of their format, which is drawn where the type is.
//
//	A                        head       one for each account: counters, quota, modseq
//	M mailbox                box        name, UIDs, counts
//	u mailbox uid            row        the entry: flags, keywords, dates, email
//	j mailbox uid/1024       sheet      flags and keywords that many entries got at once
//	e email                  record     facts of a message, its structure, its prefix
//	x email                  places     where it lies, once that is not where it came
//	b sum chunk              octets     a small body, in chunks
//	r sum                    count      emails that share a body, or have a large one
//	d sum                    release    a large body that is to be deleted
//	c modseq part            change     what one transaction did
//	g second mailbox uid     row        an expunged entry, until it is purged
//	t thread email           nothing    the thread's emails but the first
//	i hash                   mention    message id and subject lead to a thread
//	w number                 keyword
//	s hash                   name       of a subscription
//	k generation hash        Appended   what a token has led to
//	o source item            imported   what has come from another store
//	p number                 copyMark   a copy in several transactions
//	q mailbox part           doomed     a maildrop's messages that are to be expunged
//	v account mailbox        key        that authorizes URLs of messages
//	y                        lease      of the node that purges
//	a mailbox                ACL        what others may do with it
//	n account mailbox hash   Annotation of a mailbox or the server
//	h account                when it last shared a mailbox with this one
//
// A message that arrives costs seven of them: A, M, u, e, b, i and c. It is
// read and written in one round trip each.
// What a change has read and written is kept in memory for the next one of the
// account on this node, which is right as long as the head is the same: kept.go.
//
// # What is gone
//
// An expunged entry moves from u to g; a deleted mailbox keeps its entries
// and is only marked. Purge lets go of both after Options.Window, or before
// when they hold more than Options.Recoverable, and then of the emails that
// lie nowhere else, with their bodies.
//
// Standards: RFC 9051 (mailboxes, UIDs, flags), RFC 7162 (modseq), RFC 8474
// (object ids), RFC 8514 (SAVEDATE), RFC 8621 §3 (threads), RFC 6154 (roles),
// RFC 4314 (rights), RFC 5464 (annotations), RFC 9208 (limits).
package mailbox
