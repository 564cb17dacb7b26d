package imapserver

import (
	"errors"
	"io"
	"sync"

	"waxwing/format/abstract"
	"waxwing/format/message"
	"waxwing/proto/imap"
)

// lookers is how many goroutines read messages and look through them, where
// there are many: reading, decoding and comparing are all work.
const lookers = 2

// A lookout hands out messages to be looked through.
type lookout struct {
	mu    sync.Mutex // guards what follows
	asked []*candidate
	err   error // of whoever failed first
	panic any   // of another than the connection's goroutine
}

// next gives some messages; none when there are no more, or one has failed.
func (l *lookout) next() []*candidate {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil
	}
	n := min(len(l.asked), textBatch)
	part := l.asked[:n]
	l.asked = l.asked[n:]
	return part
}

func (l *lookout) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// settleTexts decides with the messages themselves.
func (s *searcher) settleTexts(asked []*candidate) error {
	all := lookout{asked: asked}
	var others sync.WaitGroup
	for range min(lookers-1, (len(asked)-1)/textBatch) {
		others.Go(func() {
			defer all.caught()
			s.look(&all, s.ctx.Err)
		})
	}
	func() {
		defer others.Wait()
		s.look(&all, s.breathe)
	}()
	if all.panic != nil {
		panic(all.panic) // which ends this connection, and not the program
	}
	return all.err
}

// caught keeps a panic, deferred; nobody looks further then.
func (l *lookout) caught() {
	if r := recover(); r != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err, l.panic = errors.New("panic in a search"), r
	}
}

// look looks through messages until there are no more; breathe is called
// between them.
func (s *searcher) look(all *lookout, breathe func() error) {
	l := looker{searcher: s, inText: newNeedleSink(s.needles), inBody: newNeedleSink(s.needles)}
	for part := all.next(); len(part) > 0; part = all.next() {
		for len(part) > 0 {
			n, err := l.some(part, breathe)
			if err != nil {
				all.fail(err)
				return
			}
			part = part[n:]
		}
	}
}

// A looker looks through one message after the other.
type looker struct {
	*searcher
	inText, inBody *needleSink
}

// some decides on the first of some messages, and tells how many.
func (l *looker) some(part []*candidate, breathe func() error) (int, error) {
	read, err := l.view.mailbox.Whole(l.ctx, emailsOf(part))
	if err != nil {
		return 0, err
	}
	defer read.Release()
	for i := range read.List {
		w := &read.List[i]
		if w.Err != nil {
			return 0, w.Err
		}
		if w.Message != nil {
			if err := l.one(part[i], w); err != nil {
				return 0, err
			}
		}
		if err := breathe(); err != nil {
			return 0, err
		}
	}
	return len(read.List), nil
}

// one decides with the header, and if need be with the text.
func (l *looker) one(m *candidate, w *Whole) error {
	var body io.ReaderAt = textInMemory(w.Text)
	var header []byte
	if w.Text != nil {
		header = headerOf(w.Text, w.Message)
	} else {
		open, err := l.view.mailbox.Body(l.ctx, m.entry.Email)
		if r, ok := errors.AsType[*imap.Refusal](err); ok && r.Code == imap.CodeExpungeIssued {
			return nil // gone for good
		}
		if err != nil {
			return err
		}
		defer open.Close() //nolint:errcheck // it was only read
		body = open
		header = make([]byte, min(w.Message.Root.Body, MaxHeader))
		if _, err := open.ReadAt(header, 0); err != nil && err != io.EOF {
			return err
		}
	}
	m.header, m.at = message.ParseHeader(header), haveHeader
	l.inText.reset()
	l.inBody.reset()
	if len(l.needles) > 0 && l.inHeader {
		abstract.Header(m.header, l.inText)
	}
	m.inHeader = l.inText.found
	if len(l.rated) == 0 && l.settled(m) {
		return nil
	}
	if len(l.needles) > 0 {
		if err := abstract.Body(body, &w.Message.Root, l.inBody); err != nil {
			return err
		}
	}
	m.inBody = l.inBody.found
	if err := l.rateAll(m, body, &w.Message.Root); err != nil {
		return err
	}
	m.at = haveText
	l.settled(m)
	return nil
}

// rateAll rates a message for each of the fuzzy tests that look at the whole text.
func (l *looker) rateAll(m *candidate, body io.ReaderAt, root *message.Part) error {
	if len(l.rated) == 0 {
		return nil
	}
	text := new(fuzzyText)
	abstract.Header(m.header, &text.header)
	if err := abstract.Body(body, root, &text.body); err != nil {
		return err
	}
	m.scores = make([]int, len(l.rated))
	for i, t := range l.rated {
		m.scores[i] = t.rateText(m, text)
	}
	return nil
}

// settled is decided, of whichever looker, and keeps what has been found out.
func (s *searcher) settled(m *candidate) bool {
	s.settling.Lock()
	defer s.settling.Unlock()
	for _, t := range s.looked {
		if v := t.onText(m); v != unknown {
			t.may.Found(m.entry.Email, v == yes)
		}
	}
	return s.decided(m)
}
