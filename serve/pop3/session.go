package pop3

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"sync"
	"unicode/utf8"

	"waxwing/format/message"
	"waxwing/format/surrogate"
	"waxwing/mail"
	"waxwing/obs"
	"waxwing/proto/pop3"
	"waxwing/proto/pop3/pop3server"
	"waxwing/store/mailbox"
)

// A session is an INBOX as it was at the login.
type session struct {
	account  *mailbox.Account
	info     mailbox.Info
	snapshot *mailbox.Snapshot
	lock     *mailbox.MaildropLock
	log      *slog.Logger
}

func (s *session) Len() int { return s.snapshot.Len() }

func (s *session) Size(i int) mail.ByteCount { return mail.ByteCount(s.snapshot.At(i).Size) }

// AppendUniqueID gives UIDVALIDITY and UID, which together are never used
// again for another message. RFC 1939 §7, RFC 9051 §2.3.1.1
func (s *session) AppendUniqueID(dst []byte, i int) []byte {
	dst = appendHex(dst, uint32(s.info.UIDValidity))
	return appendHex(dst, uint32(s.snapshot.At(i).UID))
}

func appendHex(dst []byte, n uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[n>>shift&15])
	}
	return dst
}

func (s *session) Close() { s.lock.Unlock() }

// Open opens a message, or a surrogate for a client without UTF-8.
func (s *session) Open(ctx context.Context, i int, allUTF8 bool) (pop3server.Message, error) {
	email := s.snapshot.At(i).Email
	body, err := s.account.OpenMessage(ctx, email)
	switch {
	case errors.Is(err, mailbox.ErrNoMessage):
		return nil, &pop3.Refusal{Phrase: pop3.MessageGone}
	case mailbox.IsDamaged(err):
		return nil, &pop3.Refusal{Code: pop3.SysPerm, Phrase: pop3.MessageDamaged, Err: err}
	}
	if err != nil || allUTF8 {
		return body, err
	}
	m, err := s.downgrade(ctx, email, body)
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return m, nil
}

// downgrade gives body or, where its header is UTF-8, its surrogate.
// RFC 6856 §2.1
//
// QUIRK: the headers of parts alone do not make a surrogate. Attachments'
// names in raw UTF-8 are common in mail that is not internationalized, and all
// clients show them.
func (s *session) downgrade(ctx context.Context, email mail.EmailID, body mailbox.Body) (pop3server.Message, error) {
	plain, err := plainHeader(body)
	if plain || err != nil {
		return body, err
	}
	facts, err := s.account.Facts(ctx, []mail.EmailID{email})
	if err != nil {
		return nil, err
	}
	if len(facts) == 0 || facts[0] == nil {
		return nil, &pop3.Refusal{Phrase: pop3.MessageGone}
	}
	m, err := surrogate.New(facts[0].Message, body)
	return downgraded{m, body}, err
}

// A downgraded message closes the body that it stands for.
type downgraded struct {
	*surrogate.Surrogate
	body io.Closer
}

func (d downgraded) Close() error { return d.body.Close() }

// heads holds memory in which headers are looked at.
var heads = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// plainHeader tells whether the header at the beginning of body can be sent
// as it is. It looks at no more than most headers are long.
func plainHeader(body mailbox.Body) (bool, error) {
	head := heads.Get().(*[16 << 10]byte)
	defer heads.Put(head)
	b := head[:min(int64(len(head)), int64(body.Size()))]
	if n, err := body.ReadAt(b, 0); n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return false, err
	}
	header, rest := message.SplitHeader(b)
	if len(rest) == 0 {
		// A longer header may have been cut within a character.
		for n := 1; n < utf8.UTFMax && n <= len(header); n++ {
			if tail := header[len(header)-n:]; utf8.RuneStart(tail[0]) && !utf8.FullRune(tail) {
				header = header[:len(header)-n]
				break
			}
		}
	}
	return !surrogate.Needed(header), nil
}

// Update deletes first, since that has to succeed. A \Seen that is lost does
// no harm. The lock ends before the answer: a client may log in again as soon
// as it has that.
func (s *session) Update(ctx context.Context, deleted, retrieved iter.Seq[int]) error {
	defer s.lock.Unlock()
	if uids := s.uids(deleted, 0); len(uids) > 0 {
		if err := s.lock.Held(); err != nil {
			return err
		}
		if err := s.account.ExpungeAll(ctx, s.info.ID, uids); err != nil {
			return err
		}
	}
	if uids := s.uids(retrieved, mail.Seen); len(uids) > 0 {
		seen := mailbox.FlagChange{Op: mailbox.FlagsAdd, Flags: mail.Seen}
		if _, err := s.account.SetFlags(ctx, s.info.ID, uids, seen); err != nil {
			s.log.Error("retrieved messages not marked as seen", obs.Err, err)
		}
	}
	return nil
}

// uids gives the UIDs of messages, without those that have all of flags.
func (s *session) uids(messages iter.Seq[int], flags mail.Flags) []mail.UID {
	var uids []mail.UID
	for i := range messages {
		if e := s.snapshot.At(i); flags == 0 || !e.Flags.Has(flags) {
			uids = append(uids, e.UID)
		}
	}
	return uids
}
