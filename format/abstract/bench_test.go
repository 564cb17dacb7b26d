package abstract

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"waxwing/format/message"
)

// BenchmarkThread threads and sorts 100,000 messages, a third of them answers.
func BenchmarkThread(b *testing.B) {
	const n = 100_000
	r := rand.New(rand.NewPCG(1, 1))
	all := make([]Item, n)
	for i := range all {
		m := &message.Message{Envelope: message.Envelope{
			MessageID: fmt.Sprintf("<%d@x>", i), Subject: fmt.Sprintf("about %d", r.IntN(n)), Date: "Mon, 1 Jan 2024 10:00:00 +0000",
		}}
		if i%3 == 2 {
			m.References = []string{fmt.Sprintf("%d@x", r.IntN(i))}
			m.Envelope.Subject = "Re: " + m.Envelope.Subject
		}
		all[i] = Item{Place: int32(i), Internal: int64(r.IntN(1 << 30)), Row: Make(m)}
	}
	items := make([]Item, n)
	for name, run := range map[string]func(){
		"REFERENCES":     func() { Thread(items, References) },
		"REFS":           func() { Thread(items, Refs) },
		"ORDEREDSUBJECT": func() { Thread(items, OrderedSubject) },
		"SUBJECT":        func() { Sort(items, []SortKey{{Field: SortSubject}}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				copy(items, all)
				run()
			}
		})
	}
}
