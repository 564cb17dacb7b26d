// Package keys is the one table of where things lie in the key-value engine:
// the numbers of partitions and the first octet of every key. It holds no
// logic; the layout behind the prefix belongs to the room that writes it.
//
// Integers in keys are big-endian, so that order is numeric.
package keys

import (
	"waxwing/mail"
	"waxwing/store/kv"
)

// Partitions. An account's number is its partition, 1 to 1<<56-1; partitions
// of the system have the top octet 0xFF, accounts' search indexes 0xFD.
const (
	Directory kv.Partition = 0xFF01_0000_0000_0000 // domains, accounts, aliases
	Peers     kv.Partition = 0xFF03_0000_0000_0000 // what is known of other hosts
	Trace     kv.Partition = 0xFF04_0000_0000_0000 // decisions, to be explained
	Common    kv.Partition = 0xFF05_0000_0000_0000 // what those who share the store agree on
	Seals     kv.Partition = 0xFF06_0000_0000_0000 // keys that sign addresses
	Shared    kv.Partition = 0xFF07_0000_0000_0000 // what all accounts share
	Reports   kv.Partition = 0xFF08_0000_0000_0000 // reports about mail, of ours and of others
	Restoring kv.Partition = 0xFFFE_0000_0000_0000 // exists while a backup is being restored; see store/backup

	index    kv.Partition = 0xFD00_0000_0000_0000
	outqueue kv.Partition = 0xFF02_0000_0000_0000

	lastAccount = 1<<56 - 1
)

// Account gives the partition of an account.
func Account(id mail.AccountID) kv.Partition { return kv.Partition(id) }

// AccountOf gives the account of a partition; false for one of the system's.
func AccountOf(p kv.Partition) (mail.AccountID, bool) {
	return mail.AccountID(p), p >= 1 && p <= lastAccount
}

// Index gives the partition of an account's search index, which can be made
// anew from the account's at any time. No backup has it.
func Index(id mail.AccountID) kv.Partition { return index | kv.Partition(id) }

// IsIndex tells whether a partition is that of an index.
func IsIndex(p kv.Partition) bool { return p&0xFF00_0000_0000_0000 == index }

// Outqueue gives the partition of one shard of the outqueue.
func Outqueue(shard uint16) kv.Partition { return outqueue | kv.Partition(shard) }

// Prefixes in Common.
const (
	BlobStore   = 'b' // nothing -> the identity of the blob store that belongs to this one
	QueueFreeze = 'f' // name -> which mail is held in the outqueue; store/outqueue
	QueueRules  = 'F' // nothing -> the edition of these rules; store/outqueue
)

// Prefixes in Shared, all of store/mailbox.
const (
	SharedByAll = 's' // domain, 0, account -> when it last shared a mailbox with everybody in the domain
	ServerNote  = 'm' // hash of name -> annotation of the server
)

// Prefixes in Seals, of store/sealkeys if nothing else is said.
const (
	SealKey   = 'k' // number -> key
	SealSince = 's' // domain -> since when its senders are tagged
	SignKey   = 'd' // domain, 0, selector -> key that signs the domain's mail; store/dkimkeys
	CertKey   = 't' // host, 0, name -> key of the host's certificates; store/tlskeys
)

// Prefixes in an account's partition. Those of store/mailbox:
const (
	AccountRecord = 'A' // the account's record
	Mailbox       = 'M' // mailbox -> its record
	Entry         = 'u' // mailbox, uid -> entry
	Sheet         = 'j' // mailbox, uid / 1024 -> what many entries have become at once
	Message       = 'e' // email -> message record
	Rest          = 'f' // email, part -> what of a message record is too much for one value
	Places        = 'x' // email -> mailboxes and uids, where they are not the message record's
	Change        = 'c' // modseq, part -> change record
	Gone          = 'g' // second, mailbox, uid -> expunged entry, to be purged
	Body          = 'b' // sum, chunk -> octets of a body; what the key holds never changes (store/backup relies on it)
	Refs          = 'r' // sum -> how many messages share a body
	Release       = 'd' // sum -> large body to be deleted
	Thread        = 't' // thread, email -> nothing; the founder has no row
	Mention       = 'i' // hash of message id and subject -> thread
	Keyword       = 'w' // number -> keyword
	Subscr        = 's' // hash of name -> subscribed name
	Token         = 'k' // generation, hash of token -> what was appended
	Pending       = 'p' // number -> a copy in several transactions
	Origin        = 'o' // source, item -> where an imported message went, and its flags there
	Tidy          = 'y' // who purges the account
	Maildrop      = 'l' // nothing -> who has the lock of POP3, and until when
	Doomed        = 'q' // mailbox, part -> uids that a QUIT in several transactions expunges
	ACL           = 'a' // mailbox -> what others may do with it
	Annotation    = 'n' // account of the mailbox or 0, mailbox or 0, scope, hash of name -> annotation
	AccessKey     = 'v' // account of a mailbox, mailbox -> key that authorizes URLs
	Sharer        = 'h' // account -> when it last shared a mailbox with this one
)
