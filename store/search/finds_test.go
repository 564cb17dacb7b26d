package search_test

import (
	"testing"

	"waxwing/format/abstract"
	"waxwing/mail"
	"waxwing/store/search"
)

// What has been found out once is certain the next time, also for strings that
// are part of one another, and for emails that are not indexed.
func TestFinds(t *testing.T) {
	h := newHouse(t)
	var texts []string
	for range 100 {
		texts = append(texts, "Subject: x\r\n\r\nsomething everybody has\r\n")
	}
	ids := h.add(texts...)
	ask := func(in, needle string) *search.Candidates {
		q := exactly(needle)
		q.In = in
		return h.ask(q)
	}
	check := func(c *search.Candidates, id mail.EmailID, may, certain bool) {
		t.Helper()
		if m, sure := c.May(id); m != may || sure != certain {
			t.Errorf("email %d: %v, %v", id, m, sure)
		}
	}
	for range 2 { // with nothing indexed, then with all
		c := ask("body", "everybody")
		check(c, ids[7], true, false)
		c.Found(ids[90], true) // the later one first
		c.Found(ids[7], true)
		c.Found(ids[8], false)
		for range 2 {
			c = ask("body", "everybody")
			check(c, ids[7], true, true)
			check(c, ids[8], false, true)
			check(c, ids[9], true, false)
			check(c, ids[90], true, true)
		}
		check(ask("text", "everybody"), ids[7], true, false)
		longer := ask("body", "everybody has")
		check(longer, ids[7], true, false)
		check(longer, ids[8], false, true)
		shorter := ask("body", "body")
		check(shorter, ids[7], true, true)
		check(shorter, ids[8], true, false)
		check(ask("", "everybody"), ids[7], true, false)
		bare := h.ask(abstract.Query{In: "body", Bare: true, Terms: exactly("everybody").Terms})
		check(bare, ids[7], true, false)
		h.update(start)
		h.index = search.New(h.db, h.mailboxes, search.Options{})
	}
	// Only so many searches are remembered.
	c := ask("body", "everybody")
	c.Found(ids[7], true)
	for i := range 20 {
		ask("body", string(rune('a'+i))+"q")
	}
	check(ask("body", "everybody"), ids[7], true, false)
	// A number that is far away is not remembered, and does no harm.
	c = ask("body", "everybody")
	c.Found(ids[7], true)
	c.Found(1<<40, true)
	check(c, 1<<40, true, false)
	check(c, ids[7], true, true)
	other := ask("body", "something")
	other.Found(1<<40, false)
	other.Found(ids[7], true)
	check(other, 1<<40, false, true)
	check(other, ids[7], true, false)
}
