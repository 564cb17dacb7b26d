package submit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/store/outqueue"
)

// recountAfter is for how long what an account has in the queue to be sent
// later is known without looking again: looking reads the queue.
const recountAfter = time.Minute

// maxHoldsKnown bounds the accounts whose sums are kept.
const maxHoldsKnown = 10_000

// holds knows how much accounts have in the queue to be sent later.
type holds struct {
	mu sync.Mutex
	of map[mail.AccountID]heldSum // guarded by mu
}

type heldSum struct {
	octets  mail.ByteCount
	counted time.Time
}

// Hold decides whether an account may have one more message held back, of a
// size that may not be known yet. RFC 4865 §6 (2) to (5)
func (s *Submitter) Hold(ctx context.Context, who sasl.Identity, size mail.ByteCount) error {
	if s.o.MaxHeld <= 0 || s.o.Queue == nil {
		return nil
	}
	now := time.Now()
	s.holds.mu.Lock()
	sum, known := s.holds.of[who.Account]
	s.holds.mu.Unlock()
	if !known || now.Sub(sum.counted) >= recountAfter {
		var err error
		if sum, err = s.countHeld(ctx, who.Account, now); err != nil {
			return smtp.Trouble("cannot look into the queue just now, try later", err)
		}
		s.holds.put(who.Account, sum)
	}
	if sum.octets+max(size, 1) > s.o.MaxHeld {
		return &smtp.Refusal{
			Code: 552, Enhanced: smtp.Enhanced{5, 7, 16}, // RFC 4865 §6 (4), (5)
			Text: fmt.Sprintf("you have %s waiting to be sent later, and may have %s: try again when some has gone", sum.octets, s.o.MaxHeld),
		}
	}
	return nil
}

// countHeld reads from the queue how much an account has held back there.
func (s *Submitter) countHeld(ctx context.Context, id mail.AccountID, now time.Time) (heldSum, error) {
	sum := heldSum{counted: now}
	for item, err := range s.o.Queue.List(ctx, outqueue.Filter{Account: id, Untried: true}) {
		if err != nil {
			return sum, err
		}
		if item.Origin.Account == id && item.Envelope.HoldUntil.After(now) {
			sum.octets += item.Size
		}
	}
	return sum, nil
}

// held counts a message that has been taken to be held back.
func (s *Submitter) held(id mail.AccountID, size mail.ByteCount) {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	if sum, ok := s.holds.of[id]; ok {
		sum.octets += size
		s.holds.of[id] = sum
	}
}

func (h *holds) put(id mail.AccountID, sum heldSum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil || len(h.of) >= maxHoldsKnown {
		h.of = map[mail.AccountID]heldSum{}
	}
	h.of[id] = sum
}
