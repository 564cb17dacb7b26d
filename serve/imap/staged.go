package imap

import (
	"context"
	"fmt"
	"sync"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/proto/imap/imapserver"
	"waxwing/store/blob"
	"waxwing/store/mailbox"
)

// A staged is a message on its way in. A large one, which memory does not hold,
// is parsed as it comes; others when they are complete.
type staged struct {
	body   *blob.Staged
	ahead  *readAhead
	parser *message.Parser // of a large one; one of parsers
	known  *mailbox.Known  // once it has been read
}

// parsers keeps parsers for the next message, with their buffers.
var parsers = sync.Pool{New: func() any { return message.NewParser() }}

func newParser() *message.Parser {
	p := parsers.Get().(*message.Parser)
	p.Reset()
	return p
}

func (a *account) Stage(ctx context.Context) imapserver.Staged {
	return &staged{body: blob.Stage(ctx, a.door.blobs), ahead: &a.ahead}
}

func (s *staged) Write(p []byte) (int, error) {
	if s.parser == nil && int(s.body.Size())+len(p) > blob.Inline {
		s.parser = newParser()
		_, _ = s.parser.Write(s.body.Bytes()) // never fails
	}
	n, err := s.body.Write(p)
	if err == nil && s.parser != nil {
		n, err = s.parser.Write(p)
	}
	return n, err
}

// Complete has the message read while others come.
func (s *staged) Complete() error {
	err := s.body.Finish()
	if err == nil {
		s.ahead.add(s)
	}
	return err
}

// read finds out what there is to know of a message that is complete.
func (s *staged) read() {
	if s.parser == nil {
		s.parser = newParser()
		_, _ = s.parser.Write(s.body.Bytes())
	}
	s.known = mailbox.Know(s.parser.Finish())
	parsers.Put(s.parser)
	s.parser = nil
	s.body.Sum() // which it keeps
}

// Close throws away what has not been kept.
func (s *staged) Close() error {
	s.ahead.stop()
	return s.body.Close()
}

// newEntry makes of a message what the store takes.
func newEntry(id mail.MailboxID, rights mail.Rights, m *imapserver.NewMessage) (mailbox.NewEntry, error) {
	s, ok := m.Body.(*staged)
	if !ok {
		return mailbox.NewEntry{}, fmt.Errorf("append a %T", m.Body)
	}
	if err := s.body.Finish(); err != nil {
		return mailbox.NewEntry{}, err
	}
	if s.known == nil {
		s.read()
	}
	e := mailbox.NewEntry{
		Mailbox: id, Body: s.body, Known: s.known,
		Flags: m.Flags, Keywords: m.Keywords, Internal: m.Internal,
	}
	permit(&e, rights)
	return e, nil
}
