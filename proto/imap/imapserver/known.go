package imapserver

import (
	"context"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap"
)

// An Answer is a kind of answer to FETCH that never changes for a message: a
// mailbox may keep it as it is sent.
type Answer struct {
	Kind imap.FetchKind // envelope, structures, preview, snippet
	UTF8 bool           // to a client that has enabled it. RFC 9755 §3
}

// Needs tells what Append looks at.
func (a Answer) Needs() message.Only {
	switch a.Kind {
	case imap.FetchEnvelope:
		return message.EnvelopeOnly
	case imap.FetchPreview, imap.FetchSnippet:
		return message.PreviewOnly
	default:
		return message.StructureOnly
	}
}

// Append writes the answer for a message.
func (a Answer) Append(dst []byte, m *message.Message) []byte {
	switch a.Kind {
	case imap.FetchPreview:
		return imap.AppendString(dst, m.Preview, a.UTF8)
	case imap.FetchSnippet:
		return append(imap.AppendString(append(dst, "(FUZZY "...), m.Preview, a.UTF8), ')')
	case imap.FetchEnvelope:
		return imap.AppendEnvelope(dst, &m.Envelope, a.UTF8)
	default:
		return imap.AppendBodyStructure(dst, &m.Root, a.Kind == imap.FetchBodyStructure, a.UTF8)
	}
}

// A known is what a FETCH has read of n messages at once: nil for what it does
// not need.
type known struct {
	n       int
	facts   []*message.Message
	headers [][]byte
	small   Texts // messages; without those that Mailbox.Body opens
	threads []mail.ThreadID
	answers [][][]byte // for each of the plan's answers, that for each message

	ids []mail.EmailID // used again
}

// read reads what a plan needs of messages, of the first of them at least; its
// failure is the first one's.
func (k *known) read(ctx context.Context, box Mailbox, p *fetchPlan, batch []Entry) (err error) {
	k.n = len(batch)
	k.facts, k.headers, k.threads = nil, nil, nil
	for i, answer := range p.answers {
		if len(k.answers) == i {
			k.answers = append(k.answers, nil)
		}
		if k.answers[i], err = box.Ready(ctx, answer, batch[:k.n], k.answers[i][:0]); err != nil {
			return err
		}
		k.n = len(k.answers[i])
	}
	if !p.facts && !p.header && !p.body && !p.threads {
		return nil
	}
	k.ids = k.ids[:0]
	for i := range batch[:k.n] {
		k.ids = append(k.ids, batch[i].Email)
	}
	if p.facts {
		if k.facts, err = box.Facts(ctx, k.ids); err != nil {
			return err
		}
		k.n = len(k.facts)
	}
	if p.header {
		if k.headers, err = box.Headers(ctx, k.ids[:k.n]); err != nil {
			return err
		}
		k.n = len(k.headers)
	}
	if p.threads {
		if k.threads, err = box.Threads(ctx, k.ids[:k.n]); err != nil {
			return err
		}
	}
	if p.body {
		// A message that cannot be read does not keep the others from being
		// answered: each is then opened by itself.
		if small, err := box.Small(ctx, k.ids[:k.n]); err == nil {
			k.small, k.n = small, small.Len()
		}
	}
	return nil
}

// there tells whether all that has been asked for is there for a message.
func (k *known) there(i int) bool {
	for _, of := range k.answers {
		if of[i] == nil {
			return false
		}
	}
	return (k.facts == nil || k.facts[i] != nil) && (k.headers == nil || k.headers[i] != nil)
}

// give tells a source what is known of its message.
func (k *known) give(i int, s *source) {
	if k.facts != nil {
		s.message = k.facts[i]
	}
	if k.headers != nil {
		s.header = k.headers[i]
	}
	if k.threads != nil {
		s.thread = k.threads[i]
	}
	if k.small != nil {
		s.small.first, s.small.second, s.small.there = k.small.At(i)
	}
}

// release gives back what has been read.
func (k *known) release() {
	if k.small != nil {
		k.small.Release()
		k.small = nil
	}
}
