package imap

import (
	"sync"

	"waxwing/mail"
)

// claims remembers which messages some session has been told to be recent.
// RFC 3501 §2.3.2 lets a message count as recent when it is not known whether
// anybody has been told, so that the memory need not outlast the program, and
// may forget.
type claims struct {
	mu   *sync.Mutex // guards next
	next map[claimKey]mail.UID
}

type claimKey struct {
	account mail.AccountID
	mailbox mail.MailboxID
}

// maxClaims bounds how many mailboxes are remembered.
const maxClaims = 200_000

func newClaims() claims { return claims{mu: new(sync.Mutex), next: map[claimKey]mail.UID{}} }

// first gives the first UID below next that nobody has claimed, or next. With
// take, they are claimed.
func (c claims) first(a mail.AccountID, m mail.MailboxID, next mail.UID, take bool) mail.UID {
	key := claimKey{a, m}
	c.mu.Lock()
	defer c.mu.Unlock()
	first, known := c.next[key]
	if !known {
		first = 1
	}
	first = min(first, next)
	if take {
		for other := range c.next {
			if known || len(c.next) < maxClaims {
				break
			}
			delete(c.next, other)
		}
		c.next[key] = next
	}
	return first
}
