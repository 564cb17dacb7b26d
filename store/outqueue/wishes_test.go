package outqueue_test

import (
	"reflect"
	"testing"
	"time"

	"waxwing/mail"
	"waxwing/store/outqueue"
)

// What an envelope asks for is what the relay reads, and what a sender has
// been told is not told again.
func TestWishesAreKept(t *testing.T) {
	q := open(t, outqueue.Options{Shards: 1})
	s := q.submission(t, 10, "bob@b.example")
	s.Envelope = mail.Envelope{
		From: addr("ann@a.example"), UTF8: true, EightBit: true, Binary: true, ID: "e", ReturnFull: true, RequireTLS: true, OptionalTLS: true,
		Priority: -4, By: mail.DeliverBy{At: start.Add(time.Hour), Return: true, Trace: true}, Solicit: "net.example:ADV",
		HoldUntil: start.Add(time.Minute), Hold: "for;60",
		To: []mail.Recipient{{Address: addr("bob@b.example"), Original: "rfc822;x@y", Notify: mail.NotifyDelay}},
	}
	q.enqueue(t, start, s)
	if leases := q.due(t, start.Add(59*time.Second), 10); len(leases) != 0 {
		t.Fatal("it was not held") // RFC 4865 §4.2
	}
	l := q.one(t, start.Add(time.Minute))
	got, want := l.Item.Envelope, s.Envelope
	for _, times := range [][2]*time.Time{{&got.By.At, &want.By.At}, {&got.HoldUntil, &want.HoldUntil}} {
		if !times[0].Equal(*times[1]) {
			t.Errorf("%v, want %v", times[0], times[1])
		}
		*times[0] = *times[1] // but for the zone
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	next := start.Add(time.Hour)
	for _, told := range []outqueue.Told{outqueue.ToldDelay, 0, outqueue.ToldDeadline} {
		q.result(t, next, l, outqueue.Attempt{
			Results: []outqueue.Result{{State: outqueue.Pending, Told: told}}, Next: next, Try: outqueue.Try{Began: next},
		})
		l = q.one(t, next)
	}
	if told := l.Item.Status[0].Told; told != outqueue.ToldDelay|outqueue.ToldDeadline {
		t.Errorf("told %b", told)
	}
}

// RFC 6710 §5: where a queue has built up, what is urgent passes the others,
// and what is not lets them pass.
func TestPriority(t *testing.T) {
	q := open(t, outqueue.Options{Shards: 1})
	for i, p := range []int8{0, -2, 3, 0, 9} {
		s := q.submission(t, 10, "bob@b.example")
		s.Envelope.Priority = p
		q.enqueue(t, start.Add(time.Duration(i)*time.Millisecond), s)
	}
	var order []int8
	for _, l := range q.due(t, start.Add(time.Minute), 10) {
		order = append(order, l.Item.Envelope.Priority)
	}
	if !reflect.DeepEqual(order, []int8{9, 3, 0, 0, -2}) {
		t.Errorf("order %v", order)
	}
}
