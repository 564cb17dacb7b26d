package imap

import (
	"slices"
	"strings"
	"testing"

	"waxwing/store/mailbox"
)

// What other servers and Apple's clients know is announced after the login.
func TestCapability(t *testing.T) {
	h := newHouse(t, mailbox.Options{})
	c := h.dial(h.listen())
	line := c.ok("CAPABILITY")[0]
	have := strings.Fields(line)[2:]
	const wanted = `IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS
		THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1
		CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY
		PREVIEW STATUS=SIZE SAVEDATE LITERAL+ NOTIFY SPECIAL-USE LOGIN-REFERRALS
		UIDONLY MESSAGELIMIT=1000000 APPENDLIMIT=50000000 UIDBATCHES INPROGRESS OBJECTID REPLACE URLAUTH URLAUTH=BINARY
		COMPRESS=DEFLATE UNAUTHENTICATE`
	for name := range strings.FieldsSeq(wanted) {
		if !slices.Contains(have, name) {
			t.Errorf("%s is not announced: %s", name, line)
		}
	}
	for i, name := range have {
		if slices.Contains(have[:i], name) {
			t.Errorf("%s is announced twice", name)
		}
	}
}
