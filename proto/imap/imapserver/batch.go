package imapserver

import (
	"context"
	"slices"
	"time"
)

// How many messages are answered at a time: what is known of them is read in
// one round trip, and \Seen is set in one transaction.
const (
	fetchBatch = 256
	bodyBatch  = 64
)

// slowRead is how long reading a batch takes when it is worth while to read the
// next one meanwhile.
const slowRead = 200 * time.Microsecond

// A batch is some of the messages of a FETCH.
type batch struct {
	entries []Entry
	places  []int

	// What is known of them, of the first known.n, once it has been read.
	known known
	err   error
	took  time.Duration

	reading chan struct{} // closed when that is read meanwhile; nil if it is not
	panic   any           // of whoever reads it

	// Memory that is used again.
	allEntries []Entry
	allPlaces  []int
}

// A cursor goes through the entries of spans.
type cursor struct {
	told  Snapshot
	spans []span
}

// fill takes up to size messages. Where more follow it ends, if it can, before a UID
// that is a multiple of size: answers are kept for successive UIDs (Mailbox.Ready),
// and what is kept together is then asked for together.
func (b *batch) fill(from *cursor, size int) {
	if b.allEntries == nil {
		n := 0
		for _, s := range from.spans {
			n += s.to - s.from
		}
		b.allEntries, b.allPlaces = make([]Entry, min(n, size)), make([]int, min(n, size))
	}
	n, got := 0, 0
	for n < len(b.allEntries) && len(from.spans) > 0 {
		s := &from.spans[0]
		got = 0
		if s.from < s.to {
			got = from.told.Read(b.allEntries[n:min(len(b.allEntries), n+s.to-s.from)], s.from)
		}
		if got == 0 {
			from.spans = from.spans[1:]
			continue
		}
		for i := range got {
			b.allPlaces[n+i] = s.from + i
		}
		s.from, n = s.from+got, n+got
	}
	if n == size {
		back := behindLast(b.allEntries[:n], size, min(got, size-1))
		from.spans[0].from -= back
		n -= back
	}
	b.entries, b.places = b.allEntries[:n], b.allPlaces[:n]
}

// behindLast gives how many entries, of the last so many, stand behind the last
// multiple of size among the UIDs; zero if there is none among them.
func behindLast(entries []Entry, size, last int) int {
	n := len(entries)
	for k := n - 1; k >= n-last && k > 0; k-- {
		if int(entries[k].UID)/size != int(entries[k-1].UID)/size {
			return n - k
		}
	}
	return 0
}

// read reads what is known of the messages.
func (b *batch) read(ctx context.Context, p *fetchPlan, m Mailbox) {
	start := time.Now()
	b.err = b.known.read(ctx, m, p, b.entries)
	b.took = time.Since(start)
}

// begin has it read meanwhile. Whoever begins waits, or drops the batch.
func (b *batch) begin(ctx context.Context, p *fetchPlan, m Mailbox) {
	b.reading = make(chan struct{})
	go func() {
		defer close(b.reading)
		defer func() { b.panic = recover() }()
		b.read(ctx, p, m)
	}()
}

// wait waits for what has begun, and tells whether anything has.
func (b *batch) wait() bool {
	if b.reading == nil {
		return false
	}
	<-b.reading
	b.reading = nil
	if b.panic != nil {
		panic(b.panic) // which ends this connection, and not the program
	}
	return true
}

// drop lets go of what has been read, or is being.
func (b *batch) drop() {
	if b.reading != nil {
		<-b.reading
		b.reading = nil
	}
	b.known.release()
}

// fetchAll answers for the messages of spans. While a batch is being sent the
// next are read, if that takes long: one where there are bodies, which are
// large, else two.
func (c *conn) fetchAll(ctx context.Context, p *fetchPlan, spans []span) error {
	size, ahead := fetchBatch, 2
	if p.body {
		size, ahead = bodyBatch, 1
	}
	from := cursor{c.view.told, slices.Clone(spans)}
	m := c.view.mailbox
	var ring [3]batch
	defer func() {
		for i := range ring {
			ring[i].drop()
		}
	}()
	ring[0].fill(&from, size)
	for i, filled := 0, 0; ; i++ {
		now := &ring[i%len(ring)]
		if len(now.entries) == 0 {
			return nil
		}
		if !now.wait() {
			now.read(ctx, p, m)
		}
		slow := p.body || now.took > slowRead
		for ; filled < i+ahead; filled++ {
			next := &ring[(filled+1)%len(ring)]
			if next.fill(&from, size); slow && len(next.entries) > 0 {
				next.begin(ctx, p, m)
			}
		}
		if err := c.answer(ctx, p, now); err != nil {
			return err
		}
	}
}

// answer answers for a batch that has been read.
func (c *conn) answer(ctx context.Context, p *fetchPlan, b *batch) error {
	for {
		n := b.known.n
		if b.err != nil {
			if ctx.Err() != nil {
				return b.err
			}
			p.failed, n = b.err, 1 // the others are answered all the same
		} else if err := c.fetchKnown(ctx, p, b.entries[:n], b.places[:n], &b.known); err != nil {
			return err
		}
		b.known.release()
		if b.entries, b.places = b.entries[n:], b.places[n:]; len(b.entries) == 0 {
			return nil
		}
		b.read(ctx, p, c.view.mailbox)
	}
}
