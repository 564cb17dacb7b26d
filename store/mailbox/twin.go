package mailbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// A Candidate is a message of which it is asked whether a mailbox has it.
type Candidate struct {
	Body   *blob.Staged // finished
	Parsed *message.Message
}

// How many emails are looked at to find the twin of one message.
const (
	maxTwinThread = 500
	maxTwinSize   = 50
	twinWindow    = 64 << 10 // octets that are compared at a time
)

// Twins finds, for each message, the entry of a mailbox that is the same
// message: the Message-ID and the octets of the body are the same, or all
// octets where there is no Message-ID. Header fields that servers add on the
// way do not count. Only entries below a UID are looked at; zero says that
// there is none.
func (a *Account) Twins(ctx context.Context, id mail.MailboxID, below mail.UID, list []Candidate) ([]Entry, error) {
	found := make([]Entry, len(list))
	if below <= 1 || len(list) == 0 {
		return found, nil
	}
	view, err := a.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	there := view.Snapshot()
	if there.Len() == 0 {
		return found, nil
	}
	bySize := twinIndex(there, below, list)
	for i := range list {
		c := &list[i]
		var maybe []Entry
		own := message.ParseMessageIDs(c.Parsed.Envelope.MessageID)
		if len(own) > 0 {
			maybe, err = a.sameID(ctx, c.Parsed, there, below)
		} else {
			maybe = bySize[uint32(c.Body.Size())]
		}
		if err != nil {
			return nil, err
		}
		for _, e := range maybe {
			same, err := a.sameMessage(ctx, e.Email, c, len(own) > 0)
			if err != nil {
				return nil, err
			}
			if same {
				found[i] = e
				break
			}
		}
	}
	return found, nil
}

// twinIndex gathers the entries that are as long as a message without a
// Message-ID.
func twinIndex(there *Snapshot, below mail.UID, list []Candidate) map[uint32][]Entry {
	bySize := make(map[uint32][]Entry)
	for i := range list {
		if len(message.ParseMessageIDs(list[i].Parsed.Envelope.MessageID)) == 0 {
			bySize[uint32(list[i].Body.Size())] = nil
		}
	}
	if len(bySize) == 0 {
		return nil
	}
	for _, e := range there.Entries(0) {
		if e.UID >= below {
			break
		}
		if had, wanted := bySize[e.Size]; wanted && len(had) < maxTwinSize {
			bySize[e.Size] = append(had, e)
		}
	}
	return bySize
}

// findPlace gives the first entry of a mailbox among the places of an email.
func findPlace(there *Snapshot, below mail.UID, email mail.EmailID, p *places) (Entry, bool) {
	var found Entry
	for _, at := range p.at {
		if at.Mailbox != there.Info().ID || at.UID >= below {
			continue
		}
		if i, ok := there.Find(at.UID); ok && there.At(i).Email == email && (found.UID == 0 || at.UID < found.UID) {
			found = there.At(i)
		}
	}
	return found, found.UID != 0
}

// sameID lists the entries of a mailbox that have the Message-ID of m. They
// are of one thread, since they have also its subject.
func (a *Account) sameID(ctx context.Context, m *message.Message, there *Snapshot, below mail.UID) ([]Entry, error) {
	var list []Entry
	alone := *m
	alone.References = nil
	err := a.view(ctx, func(r kv.Reader, _ *head) error {
		list = list[:0]
		got, err := r.GetMany(mentionKeys(&alone))
		if err != nil || len(got) == 0 || got[0] == nil {
			return err
		}
		said, err := decodeMention(got[0])
		if err != nil {
			return err
		}
		emails, err := readThread(r, said.thread, maxTwinThread)
		if err != nil {
			return err
		}
		want := recordKeys(emails)
		for _, id := range emails {
			want = append(want, appendPlacesKey(nil, id))
		}
		rows, err := r.GetMany(want)
		if err != nil {
			return err
		}
		for i, b := range rows[:len(emails)] {
			if b == nil {
				continue
			}
			record, err := decodeRecord(emails[i], b)
			if err != nil {
				return err
			}
			spots, err := decodePlaces(rows[len(emails)+i], record.home)
			if err != nil {
				return err
			}
			e, ok := findPlace(there, below, emails[i], &spots)
			if !ok {
				continue
			}
			f, _, err := readFacts(r, emails[i], b)
			if err != nil {
				return err
			}
			if f.Message.Envelope.MessageID == m.Envelope.MessageID {
				list = append(list, e)
			}
		}
		return nil
	})
	return list, err
}

// sameMessage compares an email with a message: all octets, or those of the
// body.
func (a *Account) sameMessage(ctx context.Context, email mail.EmailID, c *Candidate, bodyOnly bool) (bool, error) {
	var have, want int64 // where to begin
	if bodyOnly {
		facts, err := a.Facts(ctx, []mail.EmailID{email})
		if err != nil {
			return false, err
		}
		if facts[0] == nil {
			return false, nil
		}
		have, want = facts[0].Message.Root.Body, c.Parsed.Root.Body
	}
	b, err := a.OpenMessage(ctx, email)
	if errors.Is(err, ErrNoMessage) || IsDamaged(err) { // then another one is welcome
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer b.Close()
	n := int64(b.Size()) - have
	if n != int64(c.Body.Size())-want {
		return false, nil
	}
	x := bufio.NewReaderSize(io.NewSectionReader(b, have, n), twinWindow)
	y := bufio.NewReaderSize(io.NewSectionReader(c.Body, want, n), twinWindow)
	for n > 0 {
		k := int(min(n, twinWindow))
		p, errX := x.Peek(k)
		q, errY := y.Peek(k)
		if err := errors.Join(errX, errY); err != nil {
			return false, err
		}
		if !bytes.Equal(p, q) {
			return false, nil
		}
		n -= int64(k)
		_, _ = x.Discard(k)
		_, _ = y.Discard(k)
	}
	return true, nil
}
