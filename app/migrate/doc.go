// Package migrate moves mail between an account and the world: from a Maildir,
// from mbox files, from another server by IMAP, and out to Maildir and mbox.
//
// It runs in the command, not in the server, which is confined to its own
// files: messages go through the administration socket (serve/adminapi).
//
// A Source lists what there is without reading it. What has been imported
// before is known to the account by where it came from, for good; so an import
// that is run again, or that was interrupted, brings only what is new:
//
//	IMAP     user, host, mailbox and UIDVALIDITY; UID
//	Maildir  name of the folder; unique name of the file, and its size
//	mbox     name of the mailbox; hash of the message, and its number among equals
package migrate
