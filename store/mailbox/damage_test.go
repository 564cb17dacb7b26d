package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/keys"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// A ward is an account that is to be damaged.
type ward struct {
	db    kv.Store
	blobs blob.Store
	s     *Store
	*Account
}

func newWard(t testing.TB) *ward {
	t.Helper()
	w := openWard(t)
	t.Cleanup(func() { w.close(t) })
	return w
}

// openWard is for a ward that is closed before the test ends.
func openWard(t testing.TB) *ward {
	t.Helper()
	w := &ward{db: memkv.New(), blobs: memblob.New(0)}
	w.s = New(w.db, w.blobs, Options{})
	if err := w.s.Create(context.Background(), 1, time.Unix(1e9, 0), AccountOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Account = w.s.Account(1)
	return w
}

func (w *ward) close(t testing.TB) {
	t.Helper()
	for _, err := range []error{w.s.Close(), w.db.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
}

func (w *ward) add(t testing.TB, id mail.MailboxID, text string, words ...mail.Keyword) Appended {
	t.Helper()
	b, err := blob.StageBytes(context.Background(), w.blobs, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	done, err := w.Append(context.Background(), time.Unix(1e9, 0), NewEntry{Mailbox: id, Body: b, Flags: mail.Seen, Keywords: words, Token: fmt.Sprint(id, text)})
	if err != nil {
		t.Fatal(err)
	}
	return done[0]
}

func note(n int) string {
	return fmt.Sprintf("Subject: note\r\nMessage-ID: <n%d@x>\r\nReferences: <first@x>\r\n\r\ntext %d\r\n", n, n)
}

// large is a message in the blob store.
func large() string {
	return "Subject: large\r\n\r\n" + strings.Repeat("all work and no play\r\n", 6000)
}

// long has more to tell of itself than a value holds.
func long() string {
	part := "--b\r\nContent-Type: text/plain; name=\"a name that is " + strings.Repeat("very ", 40) + "long\"\r\n\r\nx\r\n"
	return "Subject: long\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat(part, 400) + "--b--\r\n"
}

// fill puts in one of everything.
func (w *ward) fill(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	for i := range 4 {
		w.add(t, Inbox, note(i), "work")
	}
	w.add(t, 2, note(1)) // shares its text
	w.add(t, Inbox, large())
	w.add(t, Inbox, long())
	m, err := w.CreateMailbox(ctx, "a/b", CreateOptions{})
	if err == nil {
		err = w.Subscribe(ctx, "a/b", true)
	}
	if err == nil {
		_, err = w.Copy(ctx, time.Now(), Inbox, []mail.UID{1}, m.ID)
	}
	if err == nil {
		_, _, err = w.Expunge(ctx, Inbox, []mail.UID{4}, ExpungeOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *ward) apply(t testing.TB, fn func(kv.Txn)) {
	t.Helper()
	if err := kv.Apply(context.Background(), w.db, w.part, func(tx kv.Txn) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// find gives the n-th key under a prefix.
func (w *ward) find(t testing.TB, prefix byte, n int) (key, value []byte) {
	t.Helper()
	err := w.db.View(context.Background(), w.part, func(r kv.Reader) error {
		for it, err := range r.Scan([]byte{prefix}, []byte{prefix + 1}, kv.ScanOptions{}) {
			if err != nil {
				return err
			}
			if n--; n < 0 {
				key, value = slices.Clone(it.Key), slices.Clone(it.Value)
				return nil
			}
		}
		return fmt.Errorf("no such row under %c", prefix)
	})
	if err != nil {
		t.Fatal(err)
	}
	return key, value
}

// findings checks the account and gives what is wrong.
func (w *ward) findings(t testing.TB, o CheckOptions) []Finding {
	t.Helper()
	var list []Finding
	if err := w.Check(context.Background(), o, func(f Finding) { list = append(list, f) }); err != nil {
		t.Fatalf("check: %v, after %+v", err, list)
	}
	return list
}

// texts lists all that can be read, by subject and length.
func (w *ward) texts(t testing.TB) map[string]int {
	t.Helper()
	found := make(map[string]int)
	boxes, err := w.Mailboxes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range boxes {
		if m.NoSelect {
			continue
		}
		v, err := w.Open(context.Background(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range v.Snapshot().Entries(0) {
			b, err := w.OpenMessage(context.Background(), e.Email)
			if err != nil {
				continue
			}
			all, err := io.ReadAll(io.NewSectionReader(b, 0, int64(b.Size())))
			if err == nil {
				found[string(all)]++
			}
			b.Close()
		}
		v.Close()
	}
	return found
}

// Each kind of record is damaged. The damage is told in these words, repaired,
// and then there is nothing to tell; all texts that were not themselves the
// damage can still be read.
func TestRepair(t *testing.T) {
	put := func(key, value []byte) func(kv.Txn) { return func(tx kv.Txn) { tx.Put(key, value) } }
	for name, tt := range map[string]struct {
		damage func(t *testing.T, w *ward) func(kv.Txn)
		deep   bool
		want   string
		lost   int // texts that are lost
	}{
		"head": {func(t *testing.T, w *ward) func(kv.Txn) { return put(headKey, []byte("x")) }, false,
			"the account's record cannot be read", 0},
		"no head": {func(t *testing.T, w *ward) func(kv.Txn) { return func(tx kv.Txn) { tx.Delete(headKey) } }, false,
			"the account's record cannot be read", 0},
		"totals": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(headKey)
				h, _ := decodeHead(b)
				h.bytes += 1000
				tx.Put(headKey, h.append(nil))
			}
		}, false, "the account says 8 mailboxes, 7 messages, ", 0},
		"modseq": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(headKey)
				h, _ := decodeHead(b)
				h.modseq, h.email, h.mailbox, h.keywords = 3, 2, 2, 0
				tx.Put(headKey, h.append(nil))
			}
		}, false, "has numbers that the account has not given yet", 0},
		"mailbox": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendBoxKey(nil, 7), []byte("x")) }, false,
			"the record of mailbox m7 cannot be read", 0},
		"no mailbox": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendBoxKey(nil, 8)) }
		}, false, "there are messages in mailbox m8, and no such mailbox", 0},
		"no INBOX": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendBoxKey(nil, Inbox)) }
		}, false, "there are messages in mailbox m1, and no such mailbox", 0},
		"names": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendBoxKey(nil, 8))
				m, _ := decodeBox(8, b)
				m.Name, m.Role = "Drafts", mail.RoleDrafts
				tx.Put(appendBoxKey(nil, 8), m.append(nil))
			}
		}, false, `two mailboxes are called "Drafts"`, 0},
		"parent": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendBoxKey(nil, 7)) }
		}, false, `mailbox "a/b" has nothing above it called "a"`, 0},
		"deleted": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendBoxKey(nil, 2))
				m, _ := decodeBox(2, b)
				m.removed = 1
				tx.Put(appendBoxKey(nil, 2), m.append(nil))
			}
		}, false, `mailbox "Drafts" is said to have been deleted at a time that cannot be`, 0},
		"prefix": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendRecordKey(nil, 1))
				b = slices.Clone(b)
				b[50] |= 0x80 // all that follows is read as something else
				tx.Put(appendRecordKey(nil, 1), b)
			}
		}, false, "what was found out about message e1 cannot be read", 0},
		"counts": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendBoxKey(nil, Inbox))
				m, _ := decodeBox(Inbox, b)
				m.Unseen, m.Messages = 5, 2
				tx.Put(appendBoxKey(nil, Inbox), m.append(nil))
			}
		}, false, `mailbox "INBOX" says 2 messages, 5 unseen, 0 deleted, `, 0},
		"UIDNEXT": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendBoxKey(nil, Inbox))
				m, _ := decodeBox(Inbox, b)
				m.UIDNext = 5
				tx.Put(appendBoxKey(nil, Inbox), m.append(nil))
			}
		}, false, `mailbox "INBOX" has a UIDNEXT below its message 5`, 0},
		"HIGHESTMODSEQ": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendBoxKey(nil, Inbox))
				m, _ := decodeBox(Inbox, b)
				m.HighestModSeq = 1
				tx.Put(appendBoxKey(nil, Inbox), m.append(nil))
			}
		}, false, `mailbox "INBOX" has a HIGHESTMODSEQ below its message 1`, 0},
		"entry": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendEntryKey(nil, Inbox, 2), []byte("x")) }, false,
			`entry 2 of mailbox "INBOX" cannot be read`, 0},
		"no entry": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendEntryKey(nil, Inbox, 3)) }
		}, false, "message e3 lies in no mailbox", 0},
		"entry with a wrong size": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendEntryKey(nil, Inbox, 2))
				r, _ := decodeRow(2, slices.Clone(b))
				r.Size = 1
				tx.Put(appendEntryKey(nil, Inbox, 2), r.append(nil))
			}
		}, false, `message 2 of mailbox "INBOX" says 1 octets, and has 68`, 0},
		"entry with a keyword": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendEntryKey(nil, Inbox, 2))
				r, _ := decodeRow(2, slices.Clone(b))
				r.words = []byte{0, 9}
				tx.Put(appendEntryKey(nil, Inbox, 2), r.append(nil))
			}
		}, false, `message 2 of mailbox "INBOX" has a keyword 9, and there is none`, 0},
		"expunged": {func(t *testing.T, w *ward) func(kv.Txn) {
			key, _ := w.find(t, keys.Gone, 0)
			return put(key, []byte("x"))
		}, false, `an expunged message of mailbox "INBOX" cannot be read`, 0},
		"record": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendRecordKey(nil, 3), []byte("x")) }, false,
			`what is known of message e3 cannot be read (message 3 of mailbox "INBOX")`, 0},
		"no record": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendRecordKey(nil, 1)) }
		}, false, `message 1 of mailbox "INBOX" is missing`, 0},
		"no record of a large one": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendRecordKey(nil, 6)) }
		}, false, `is missing`, 0},
		"facts": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(appendRecordKey(nil, 2))
				r, _ := decodeRecord(2, slices.Clone(b))
				r.message = []byte{255, 255}
				tx.Put(appendRecordKey(nil, 2), append(r.appendFixed([]byte{recordFormat}), r.message...))
			}
		}, false, `what was found out about message e2 cannot be read`, 0},
		"rest": {func(t *testing.T, w *ward) func(kv.Txn) {
			key, _ := w.find(t, keys.Rest, 0)
			return func(tx kv.Txn) { tx.Delete(key) }
		}, false, `what was found out about message e7 cannot be read`, 0},
		"places": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendPlacesKey(nil, 1), []byte("x")) }, false,
			"what is known of where message e1 lies is not so", 0},
		"no places": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendPlacesKey(nil, 1)) }
		}, false, "what is known of where message e1 lies is not so", 0},
		"strange places": {func(t *testing.T, w *ward) func(kv.Txn) {
			return put(appendPlacesKey(nil, 999), (&places{gone: 1}).append(nil))
		}, false, "there are places of message e3e7, and no such message", 0},
		"body": {func(t *testing.T, w *ward) func(kv.Txn) {
			r, _ := w.findRecord(t.Context(), 3)
			return func(tx kv.Txn) { tx.Delete(appendBodyKey(nil, &r.sum, 0)) }
		}, false, `message e3 is damaged: its text is missing (message 3 of mailbox "INBOX")`, 1},
		"body cut": {func(t *testing.T, w *ward) func(kv.Txn) {
			r, _ := w.findRecord(t.Context(), 3)
			return put(appendBodyKey(nil, &r.sum, 0), []byte{bodyFormat, 'x'})
		}, false, "message e3 is damaged: its text is cut", 1},
		"hash": {func(t *testing.T, w *ward) func(kv.Txn) {
			r, _ := w.findRecord(t.Context(), 3)
			b := []byte(note(2))
			b[60] ^= 1
			return put(appendBodyKey(nil, &r.sum, 0), append([]byte{bodyFormat}, b...))
		}, true, "message e3 is damaged: its octets are not those that were written", 1},
		"body of nobody": {func(t *testing.T, w *ward) func(kv.Txn) {
			sum := blob.Sum{1, 2, 3}
			return put(appendBodyKey(nil, &sum, 0), append([]byte{bodyFormat}, "Subject: found\r\n\r\nhello"...))
		}, false, "a text of 23 octets belongs to no message", 0},
		"blob": {func(t *testing.T, w *ward) func(kv.Txn) {
			r, _ := w.findRecord(t.Context(), 6)
			if err := w.blobs.Delete(t.Context(), blob.Key{Owner: 1, Sum: r.sum}); err != nil {
				t.Fatal(err)
			}
			return func(kv.Txn) {}
		}, false, `message e6 is damaged: its text is missing from the blob store (message 5 of mailbox "INBOX")`, 1},
		"references": {func(t *testing.T, w *ward) func(kv.Txn) {
			r, _ := w.findRecord(t.Context(), 2)
			return put(appendRefsKey(nil, &r.sum), []byte{refsFormat, 9})
		}, false, " counts 9 messages, and has 2", 0},
		"no references": {func(t *testing.T, w *ward) func(kv.Txn) {
			r, _ := w.findRecord(t.Context(), 6)
			return func(tx kv.Txn) { tx.Delete(appendRefsKey(nil, &r.sum)) }
		}, false, " counts 0 messages, and has 1", 0},
		"references of nobody": {func(t *testing.T, w *ward) func(kv.Txn) {
			return put(append([]byte{keys.Refs}, make([]byte, 32)...), []byte("x"))
		}, false, "belong to no message", 0},
		"thread": {func(t *testing.T, w *ward) func(kv.Txn) {
			key, _ := w.find(t, keys.Thread, 0)
			return func(tx kv.Txn) { tx.Delete(key) }
		}, false, "message e2 is missing in its conversation t1", 0},
		"strange thread": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendThreadKey(nil, 1, 6), []byte{rowFormat}) }, false,
			"conversation t1 names message e6, which is not of it", 0},
		"mention": {func(t *testing.T, w *ward) func(kv.Txn) {
			key, _ := w.find(t, keys.Mention, 0)
			return put(key, mention{7, 2}.append(nil))
		}, false, "a message id leads to conversation t7 and message e2, which do not belong together", 0},
		"change": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendChangeKey(nil, 5, 0), []byte("x")) }, false,
			"change 5 cannot be read", 0},
		"no change": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendChangeKey(nil, 5, 0)) }
		}, false, "the log of changes has a gap: change 6 follows 4", 0},
		"no last change": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.DeleteRange(appendChangeKey(nil, 10, 0), []byte{keys.Change + 1}) }
		}, false, "the log of changes ends at 9, ", 0},
		"keyword": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendKeywordKey(nil, 0)) }
		}, false, "the name of keyword 0 is missing", 0},
		"keywords": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) {
				b, _ := tx.Get(headKey)
				h, _ := decodeHead(b)
				h.keywords, h.messages = 1<<60, 1<<60
				tx.Put(headKey, h.append(nil))
			}
		}, false, "the account says that it has 1152921504606846976 keywords, and there are 1", 0},
		"subscription": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendSubscriptionKey(nil, "a/b"), []byte("x")) }, false,
			"a subscription cannot be read", 0},
		"no subscription": {func(t *testing.T, w *ward) func(kv.Txn) {
			return func(tx kv.Txn) { tx.Delete(appendSubscriptionKey(nil, "a/b")) }
		}, false, `mailbox "a/b" is subscribed by its record or by the list of subscriptions, but not by both`, 0},
		"token": {func(t *testing.T, w *ward) func(kv.Txn) {
			key, _ := w.find(t, keys.Token, 0)
			return put(key, []byte("x"))
		}, false, "a row of tokens of delivery cannot be read", 0},
		"mark": {func(t *testing.T, w *ward) func(kv.Txn) { return put(appendMarkKey(nil, 3), []byte("x")) }, false,
			"a row of copies under way cannot be read", 0},
		"key": {func(t *testing.T, w *ward) func(kv.Txn) { return put([]byte{keys.Entry, 1}, []byte("x")) }, false,
			"a row of entries has the key 7501, which is none", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			w.fill(t)
			if f := w.findings(t, CheckOptions{Deep: true}); len(f) > 0 {
				t.Fatalf("before the damage: %+v", f)
			}
			before := w.texts(t)
			w.apply(t, tt.damage(t, w))
			said := w.findings(t, CheckOptions{Deep: tt.deep})
			if !slices.ContainsFunc(said, func(f Finding) bool { return strings.Contains(f.What, tt.want) }) {
				t.Errorf("said %+v", said)
			}
			for _, f := range w.findings(t, CheckOptions{Deep: tt.deep, Repair: true}) {
				if !f.Mended || f.Failed != "" || f.Means == "" || f.Repair == "" {
					t.Errorf("not mended: %+v", f)
				}
			}
			if left := w.findings(t, CheckOptions{Deep: true}); len(left) > 0 {
				t.Errorf("after the repair: %+v", left)
			}
			// Another store, that has nothing in memory.
			s := New(w.db, w.blobs, Options{})
			defer s.Close()
			w.Account = s.Account(1)
			after := w.texts(t)
			lost := 0
			for text := range before {
				if after[text] == 0 {
					lost++
					if tt.lost == 0 {
						t.Errorf("lost:\n%.80s", text)
					}
				}
			}
			if lost != tt.lost {
				t.Errorf("%d texts are lost, not %d", lost, tt.lost)
			}
			if tt.lost > 0 {
				if m, err := w.Mailbox(t.Context(), DamagedName); err != nil || m.Messages != 1 {
					t.Errorf("the report is missing: %+v, %v", m, err)
				}
			}
			w.add(t, Inbox, note(100)) // life goes on
			if left := w.findings(t, CheckOptions{Deep: true}); len(left) > 0 {
				t.Errorf("after one more message: %+v", left)
			}
		})
	}
}

// A log that was cut off says how far back it goes.
func TestRestoreBeforeCut(t *testing.T) {
	w := newWard(t)
	w.fill(t)
	if err := w.cutLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := w.Restore(t.Context(), time.Now(), RestoreOptions{At: time.Now().Add(-time.Hour)})
	if !errors.Is(err, ErrTooOld) {
		t.Errorf("before the cut: %v", err)
	}
	if f := w.findings(t, CheckOptions{Deep: true}); len(f) > 0 {
		t.Errorf("after the cut: %+v", f)
	}
}

// An account that is full can be mended, too.
func TestRepairFull(t *testing.T) {
	w := newWard(t)
	w.fill(t)
	r, err := w.findRecord(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, func(tx kv.Txn) {
		b, _ := tx.Get(headKey)
		h, _ := decodeHead(b)
		h.quota, h.maxMessages, h.maxBoxes = 1, 1, 1
		tx.Put(headKey, h.append(nil))
		tx.Delete(appendBodyKey(nil, &r.sum, 0))
	})
	for _, f := range w.findings(t, CheckOptions{Repair: true}) {
		if !f.Mended {
			t.Errorf("not mended: %+v", f)
		}
	}
	if m, err := w.Mailbox(t.Context(), DamagedName); err != nil || m.Messages != 1 {
		t.Errorf("the report is missing: %+v, %v", m, err)
	}
}

// A record that looks for its text in the wrong place costs nobody the text.
func TestRepairWrongPlace(t *testing.T) {
	w := newWard(t)
	w.fill(t)
	before := w.texts(t)
	for n := range 7 {
		key, value := w.find(t, keys.Message, n)
		b := slices.Clone(value)
		b[1] ^= bodyInline ^ bodyBlob
		w.apply(t, func(tx kv.Txn) { tx.Put(key, b) })
	}
	w.findings(t, CheckOptions{Repair: true})
	if left := w.findings(t, CheckOptions{Deep: true}); len(left) > 0 {
		t.Errorf("after the repair: %+v", left)
	}
	after := w.texts(t)
	for text, n := range before {
		if after[text] < n {
			t.Errorf("lost: %.60q", text)
		}
	}
}

// Random damage in random places never makes the repair panic, leaves nothing
// to find, and loses no text that is still there.
func TestRepairAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := openWard(t) // thousands of them would fill the memory
		defer w.close(t)
		w.fill(t)
		w.mark(t)
		var all []kv.Item
		err := w.db.View(t.Context(), w.part, func(r kv.Reader) error {
			for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
				if err != nil {
					return err
				}
				all = append(all, kv.Item{Key: slices.Clone(it.Key), Value: slices.Clone(it.Value)})
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		touched := false // a text itself
		w.apply(t, func(tx kv.Txn) {
			for range rapid.IntRange(1, 4).Draw(rt, "damages") {
				it := all[rapid.IntRange(0, len(all)-1).Draw(rt, "row")]
				touched = touched || it.Key[0] == keys.Body
				switch rapid.IntRange(0, 3).Draw(rt, "how") {
				case 0:
					tx.Delete(it.Key)
				case 1:
					tx.Put(it.Key, it.Value[:rapid.IntRange(0, len(it.Value)).Draw(rt, "cut")])
				case 2:
					b := slices.Clone(it.Value)
					b[rapid.IntRange(0, len(b)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
					tx.Put(it.Key, b)
				case 3:
					other := all[rapid.IntRange(0, len(all)-1).Draw(rt, "other")]
					touched = touched || other.Key[0] == keys.Body
					tx.Put(it.Key, other.Value)
				}
			}
		})
		var told []string
		for _, f := range w.findings(t, CheckOptions{Deep: true, Repair: true}) {
			told = append(told, fmt.Sprintf("%+v", f))
		}
		if left := w.findings(t, CheckOptions{Deep: true}); len(left) > 0 {
			rt.Fatalf("after the repair: %+v\ntold %s", left, strings.Join(told, "\n"))
		}
		s := New(w.db, w.blobs, Options{})
		defer s.Close()
		w.Account = s.Account(1)
		// What lies in a mailbox that seems to be deleted is not lost; a quota
		// that stands in the way can be raised.
		if err := w.s.SetLimits(t.Context(), 1, Limits{Quota: -1}); err != nil {
			rt.Errorf("limits: %v", err)
		}
		if _, err := w.Restore(t.Context(), time.Now(), RestoreOptions{Since: time.Unix(1, 0)}); err != nil {
			rt.Errorf("restore: %v", err)
		}
		after := w.texts(t)
		for i := range 3 {
			if after[note(i)] == 0 && !touched {
				rt.Fatalf("text %d is lost; told %s", i, strings.Join(told, "\n"))
			}
		}
	})
}
