package mailbox

import (
	"context"
	"time"

	"waxwing/mail"
)

// Limits of an account, as an administrator has set them; see SetLimits.
type Limits struct {
	Quota       mail.ByteCount // zero: the Store's own; negative: none
	Messages    int            // zero: none
	Mailboxes   int            // zero: the Store's own
	Annotations mail.ByteCount // octets of all; zero: 16 MiB
}

// SetLimits changes what an account may hold. What it holds beyond stays.
func (s *Store) SetLimits(ctx context.Context, id mail.AccountID, l Limits) error {
	_, err := s.Account(id).change(ctx, time.Now(), nil, nil, func(t *txn, _ [][]byte) error {
		t.head.quota, t.dirty = l.Quota, true
		t.head.maxMessages, t.head.maxBoxes = int64(max(l.Messages, 0)), int64(max(l.Mailboxes, 0))
		t.head.maxNotes = max(l.Annotations, 0)
		return nil
	})
	return err
}

// maxBoxes gives how many mailboxes an account may have.
func (s *Store) maxBoxes(h *head) int {
	if h.maxBoxes > 0 {
		return int(h.maxBoxes)
	}
	return s.o.MaxMailboxes
}

// notesLimit gives how many octets an account's annotations may have.
func (h *head) notesLimit() mail.ByteCount {
	if h.maxNotes > 0 {
		return h.maxNotes
	}
	return maxAnnotationsOctets
}

// fits tells whether an account has room for so much more.
func (s *Store) fits(h *head, octets mail.ByteCount, messages int) bool {
	if q := s.quota(h); q > 0 && h.bytes+octets > q {
		return false
	}
	return h.maxMessages <= 0 || h.messages+int64(messages) <= h.maxMessages
}
