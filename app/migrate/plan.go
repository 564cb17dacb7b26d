package migrate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"waxwing/mail"
	"waxwing/serve/adminapi"
)

// A plan is what is to be done about one folder: what to fetch, whose flags
// have changed, what is gone.
type plan struct {
	im      *Import
	folder  *Folder
	before  map[string]adminapi.Imported // by item
	listed  map[string]bool
	wanted  []Message
	places  [][]adminapi.Place // of wanted
	changes []adminapi.SourceChange
	full    int // messages that found no room, one after the other
}

// add looks at one message of the source.
func (p *plan) add(ctx context.Context, m *Message) error {
	if m.Labels != nil && p.folder.Role != mail.RoleNone && p.folder.Role != mail.RoleAll && p.folder.Role != mail.RoleArchive {
		m.Labels = nil // Junk and Trash of Gmail are mailboxes like others
	}
	to := []destination{{p.folder.Name, p.folder.Role}}
	if m.Labels != nil {
		to = labelled(m.Labels)
	}
	m.Keywords = usable(m.Keywords)
	flags := adminapi.FlagNames(m.Flags, m.Keywords)
	var places []adminapi.Place
	for _, d := range to {
		item := m.Item
		if m.Labels != nil {
			item = labelItem(item, d)
		}
		p.listed[item] = true
		if row, ok := p.before[item]; ok {
			p.im.summary.There++
			if !p.im.KeepFlags && !sameWords(flags, row.Flags) {
				p.changes = append(p.changes, adminapi.SourceChange{Item: item, Flags: flags})
			}
			continue
		}
		t, err := p.im.target(ctx, d, nil)
		if err != nil {
			p.im.fail(p.folder, m.Item, err.Error())
			continue
		}
		below := t.below
		if _, ours := p.before[m.like]; ours && m.like != "" { // an import that broke off brought the other
			below = 0
		}
		places = append(places, adminapi.Place{Mailbox: t.id, Source: p.folder.ID, Item: item, Below: below})
	}
	switch {
	case len(places) == 0:
	case p.im.MaxSize > 0 && m.Size > p.im.MaxSize, !m.Date.IsZero() && m.Date.Before(p.im.Since):
		p.im.summary.Left++
	default:
		p.wanted = append(p.wanted, *m)
		p.places = append(p.places, places)
	}
	return nil
}

// usable leaves out keywords that IMAP cannot carry. RFC 9051 §9
func usable(list []mail.Keyword) []mail.Keyword {
	const most, longest = 64, 100
	list = slices.DeleteFunc(slices.Clone(list), func(k mail.Keyword) bool {
		return k == "" || len(k) > longest || strings.ContainsFunc(string(k), func(r rune) bool {
			return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
		})
	})
	return list[:min(len(list), most)]
}

// sameWords compares flags without regard to order and case.
func sameWords(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x string) bool {
		return !slices.ContainsFunc(b, func(y string) bool { return strings.EqualFold(x, y) })
	})
}

// fetch brings what is wanted.
func (p *plan) fetch(ctx context.Context) error {
	out := newSender(ctx, p)
	n := 0
	err := p.im.Source.Fetch(ctx, p.folder, p.wanted, func(i int, t Text, err error) error {
		if n++; n%100 == 0 {
			p.im.tell(p.folder, n, len(p.wanted))
		}
		m := &p.wanted[i]
		switch {
		case err != nil:
			p.im.fail(p.folder, p.which(i), err.Error())
			return nil
		case p.im.MaxSize > 0 && t.Size > p.im.MaxSize, t.Date.Before(p.im.Since):
			p.im.summary.Left++
			return nil
		}
		return out.add(i, adminapi.Outgoing{
			Incoming: adminapi.Incoming{Size: t.Size, Internal: t.Date.Unix(), Flags: adminapi.FlagNames(m.Flags, m.Keywords), Places: p.places[i]},
			Text:     t,
		})
	})
	if end := out.close(); err == nil {
		err = end
	}
	p.im.tell(p.folder, n, len(p.wanted))
	return err
}

// which names a message for people.
func (p *plan) which(i int) string {
	m := &p.wanted[i]
	switch {
	case m.path != "":
		return m.path
	case p.folder.path != "" && m.at > 0:
		return fmt.Sprintf("%s at %d", p.folder.path, m.at)
	}
	return m.Item
}

// follow carries over what has changed at the source since.
func (p *plan) follow(ctx context.Context) error {
	if p.im.Delete {
		for item := range p.before {
			if !p.listed[item] {
				p.changes = append(p.changes, adminapi.SourceChange{Item: item, Gone: true})
			}
		}
	}
	for part := range slices.Chunk(p.changes, 2000) {
		done, err := p.im.Client.FollowSource(ctx, p.im.Account, p.folder.ID, part)
		p.im.summary.Flags += done.Changed
		p.im.summary.Deleted += done.Expunged
		if err != nil {
			return err
		}
	}
	return nil
}

// note counts what has become of messages.
func (p *plan) note(sent []int, list []adminapi.Outgoing, outcomes []adminapi.Outcome) error {
	for k, o := range outcomes {
		p.im.summary.Imported += o.Imported
		p.im.summary.There += o.There
		if o.Imported > 0 {
			p.im.summary.Octets += list[k].Size
		}
		if o.Failed == "" {
			p.full = 0
			continue
		}
		p.im.fail(p.folder, p.which(sent[k]), o.Failed)
		if !o.Quota {
			continue
		}
		if p.full++; p.full >= mostFull {
			return ErrFull
		}
	}
	return nil
}

// mostFull is how many messages in a row may find no room before the import
// gives up: a smaller one may still fit.
const mostFull = 20

// How much goes in one request: enough to make the most of one sync, little
// enough to be held twice in memory.
const (
	batchMessages = 500
	batchOctets   = 1 << 20
)

// A sender gathers messages and sends them, while the next ones are read.
type sender struct {
	ctx    context.Context
	plan   *plan
	list   []adminapi.Outgoing
	index  []int
	octets int64
	under  chan arrived // nil while nothing is under way
}

// An arrived tells what has become of a batch.
type arrived struct {
	index    []int
	list     []adminapi.Outgoing
	outcomes []adminapi.Outcome
	err      error
}

func newSender(ctx context.Context, p *plan) *sender { return &sender{ctx: ctx, plan: p} }

// add takes one message, whose text it reads at once.
func (s *sender) add(i int, m adminapi.Outgoing) error {
	if m.Size > inMemory {
		s.list, s.index = append(s.list, m), append(s.index, i)
		if err := s.send(); err != nil {
			return err
		}
		return s.wait()
	}
	text := make([]byte, m.Size)
	if _, err := io.ReadFull(m.Text, text); err != nil {
		s.plan.im.fail(s.plan.folder, s.plan.which(i), err.Error())
		return nil
	}
	m.Text = bytes.NewReader(text)
	s.list, s.index = append(s.list, m), append(s.index, i)
	s.octets += m.Size
	if len(s.list) >= batchMessages || s.octets >= batchOctets {
		return s.send()
	}
	return nil
}

// send sends what has gathered, once the batch before it has arrived: messages
// keep their order.
func (s *sender) send() error {
	if err := s.wait(); err != nil || len(s.list) == 0 {
		return err
	}
	list, index := s.list, s.index
	s.list, s.index, s.octets = nil, nil, 0
	s.under = make(chan arrived, 1)
	go func() {
		outcomes, err := s.plan.im.Client.AddMessages(s.ctx, s.plan.im.Account, list)
		s.under <- arrived{index, list, outcomes, err}
	}()
	return nil
}

func (s *sender) wait() error {
	if s.under == nil {
		return nil
	}
	a := <-s.under
	s.under = nil
	if a.err != nil {
		return a.err
	}
	return s.plan.note(a.index, a.list, a.outcomes)
}

// close sends the rest and waits for all.
func (s *sender) close() error {
	err := s.send()
	if end := s.wait(); err == nil {
		err = end
	}
	return err
}
