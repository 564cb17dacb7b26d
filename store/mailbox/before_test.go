package mailbox

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
)

// What was before a change is read back for each entry, however it is cut
// into runs and records.
func TestBefore(t *testing.T) {
	long := bytes.Repeat([]byte{200, 1}, 60)
	for name, state := range map[string]func(i int) row{
		"all the same":  func(int) row { return row{Entry: Entry{Flags: mail.Seen}} },
		"all different": func(i int) row { return row{Entry: Entry{Flags: mail.Flags(i)}, words: long[:i%120]} },
		"some runs":     func(i int) row { return row{Entry: Entry{Flags: mail.Flags(i / 700)}} },
	} {
		t.Run(name, func(t *testing.T) {
			db := memkv.New()
			defer db.Close()
			var of Affected
			for i := range 8000 {
				r := state(i)
				of.UIDs, of.Emails = append(of.UIDs, mail.UID(i+1)), append(of.Emails, mail.EmailID(i+1))
				of.before = setBefore(of.before, &r)
			}
			runs := fmt.Sprint(of.before)
			items := []item{{itemRenamed, 9, Affected{before: []before{{words: "old"}}}}, {itemSet, 3, of}}
			for range 2 { // a transaction may run twice
				if err := kv.Apply(t.Context(), db, 1, func(tx kv.Txn) error { return putChange(tx, nil, 7, time.Unix(100, 0), items) }); err != nil {
					t.Fatal(err)
				}
			}
			if fmt.Sprint(of.before) != runs {
				t.Error("writing has changed the list")
			}
			err := db.View(t.Context(), 1, func(r kv.Reader) error {
				i, octets := 0, 0
				for it, err := range r.Scan(nil, nil, kv.ScanOptions{}) {
					if err != nil {
						return err
					}
					octets += len(it.Value)
				}
				if name == "all the same" && octets > 80 {
					t.Errorf("the record takes %d octets", octets)
				}
				for c, err := range changesIn(r, 6, 0) {
					if err != nil {
						return err
					}
					if len(c.Mailboxes) != 1 || c.Mailboxes[0] != (MailboxChange{9, MailboxChanged, "old"}) {
						t.Errorf("mailboxes are %+v", c.Mailboxes)
					}
					for _, part := range c.Changed {
						for _, e := range part.before {
							for range e.count {
								want := state(i)
								if i++; e.flags != want.Flags || e.words != string(want.words) {
									t.Fatalf("entry %d was %v %x", i, e.flags, e.words)
								}
							}
						}
					}
				}
				if i != 8000 {
					t.Errorf("%d entries", i)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
