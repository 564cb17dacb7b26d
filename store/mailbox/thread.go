package mailbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"waxwing/format/message"
	"waxwing/mail"
	"waxwing/store/keys"
	"waxwing/store/kv"
)

// Emails are of one thread when they share a message id, in Message-ID,
// In-Reply-To or References, and the base subject (RFC 8621 §3). Both go into
// the key of a mention, so that finding the thread is one read for all ids.
//
// A thread's number is that of its first email, which needs no row to belong
// to it. Threads that a later email connects stay apart, since an email's
// thread never changes; the email joins the oldest of them.

// maxMentions bounds the ids of one message that count: the first, where the
// thread began, and the last.
const maxMentions = 24

// mentionKeys gives the keys under which an email looks for its thread.
func mentionKeys(m *message.Message) [][]byte {
	ids := m.References
	if len(ids) >= maxMentions {
		ids = append([]string{ids[0]}, ids[len(ids)-maxMentions+2:]...)
	}
	own := ""
	if list := message.ParseMessageIDs(m.Envelope.MessageID); len(list) > 0 {
		own = list[0]
	}
	n := len(ids)
	if own != "" && !slices.Contains(ids, own) {
		n++
	} else {
		own = ""
	}
	if n == 0 {
		return nil
	}
	subject := strings.ToLower(message.BaseSubject(message.DecodeHeader(m.Envelope.Subject)))
	list := make([][]byte, 0, n)
	buf := make([]byte, 0, 17*n)
	text := make([]byte, 0, 256)
	for i := range n {
		id := own
		if i < len(ids) {
			id = ids[i]
		}
		text = append(append(append(text[:0], id...), 0), subject...)
		sum := sha256.Sum256(text)
		buf = append(append(buf, keys.Mention), sum[:16]...)
		list = append(list, buf[len(buf)-17:len(buf):len(buf)])
	}
	slices.SortFunc(list, slices.Compare[[]byte])
	return slices.CompactFunc(list, slices.Equal[[]byte])
}

// A mention says to which thread an id leads, and which email said so first.
//
//	version, thread u64, email u64
type mention struct {
	thread mail.ThreadID
	email  mail.EmailID
}

func (m mention) append(dst []byte) []byte {
	dst = append(dst, rowFormat)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.thread))
	return binary.LittleEndian.AppendUint64(dst, uint64(m.email))
}

func decodeMention(b []byte) (mention, error) {
	if len(b) != 17 || b[0] != rowFormat {
		return mention{}, fmt.Errorf("mention: %w", errCorrupt)
	}
	le := binary.LittleEndian
	return mention{mail.ThreadID(le.Uint64(b[1:])), mail.EmailID(le.Uint64(b[9:]))}, nil
}

func appendThreadKey(dst []byte, thread mail.ThreadID, id mail.EmailID) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, keys.Thread), uint64(thread))
	return binary.BigEndian.AppendUint64(dst, uint64(id))
}

// thread gives a new email its thread. got has the values of its mentions.
func (t *txn) thread(id mail.EmailID, mentions, got [][]byte) (mail.ThreadID, error) {
	thread := mail.ThreadID(id)
	for _, b := range got {
		if b == nil {
			continue
		}
		m, err := decodeMention(b)
		if err != nil {
			return 0, err
		}
		thread = min(thread, m.thread)
	}
	for i, b := range got {
		if b == nil {
			t.scratch = mention{thread, id}.append(t.scratch[:0])
			t.Put(mentions[i], t.scratch)
		}
	}
	if thread != mail.ThreadID(id) {
		var key [17]byte
		t.Put(appendThreadKey(key[:0], thread, id), []byte{rowFormat})
	}
	return thread, nil
}

// Thread lists the emails of a thread in the order of their arrival; those
// whose entries are all gone are among them until they are purged.
func (a *Account) Thread(ctx context.Context, id mail.ThreadID) ([]mail.EmailID, error) {
	var list []mail.EmailID
	err := a.view(ctx, func(r kv.Reader, _ *head) (err error) {
		list, err = readThread(r, id, 0)
		return err
	})
	return list, err
}

func readThread(r kv.Reader, id mail.ThreadID, limit int) ([]mail.EmailID, error) {
	var list []mail.EmailID
	first := mail.EmailID(id)
	got, err := r.GetMany([][]byte{appendRecordKey(nil, first)})
	if err != nil {
		return nil, err
	}
	if got[0] != nil {
		founder, err := decodeRecord(first, got[0])
		if err != nil {
			return nil, err
		}
		if founder.thread == id {
			list = append(list, first)
		}
	}
	lo := appendThreadKey(nil, id, 0)
	for it, err := range r.Scan(lo, kv.PrefixEnd(lo[:9]), kv.ScanOptions{KeysOnly: true, Limit: limit}) {
		if err != nil {
			return nil, err
		}
		if len(it.Key) != 17 {
			return nil, fmt.Errorf("key of a thread: %w", errCorrupt)
		}
		list = append(list, mail.EmailID(binary.BigEndian.Uint64(it.Key[9:])))
	}
	return list, nil
}
