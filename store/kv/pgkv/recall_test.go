package pgkv

import (
	"bytes"
	"testing"

	"waxwing/store/kv"
)

// What is kept of partitions stays within its bounds; the least recently used
// goes first.
func TestRecallBounds(t *testing.T) {
	var c recall
	value := bytes.Repeat([]byte{'v'}, 2000)
	for p := range kv.Partition(2 * recallParts) {
		r := &recalled{p: p, version: 1}
		r.known.add([]byte("key"), value)
		c.keep(r)
	}
	if c.octets > recallAll || len(c.of) > recallParts || len(c.of) != c.recent.Len() || len(c.of) < recallAll/4000 {
		t.Errorf("%d octets of %d partitions are kept (%d in order)", c.octets, len(c.of), c.recent.Len())
	}
	if c.take(0) != nil {
		t.Error("the oldest is still there")
	}
	last := kv.Partition(2*recallParts - 1)
	if r := c.take(last); r == nil || r.version != 1 {
		t.Errorf("the newest is %v", r)
	}
	if c.take(last) != nil {
		t.Error("it can be taken twice")
	}
	for c.recent.Len() > 0 {
		c.take(c.recent.Front().Value.(*recalled).p)
	}
	if c.octets != 0 {
		t.Errorf("%d octets are left of nothing", c.octets)
	}
}

// After a wrong assumption some sessions read first.
func TestRecallAlone(t *testing.T) {
	var c recall
	c.keep(&recalled{p: 1, version: 5})
	c.outdated(1, 5)
	if r := c.take(1); r == nil {
		t.Fatal("what is as new as the news was dropped")
	}
	c.keep(&recalled{p: 1, version: 5})
	c.outdated(1, 6)
	if r := c.take(1); r != nil {
		t.Fatal("another process has written, and it was kept")
	}
	c.keep(&recalled{p: 1, alone: recallAlone})
	for n := range recallAlone {
		if r := c.take(1); r != nil {
			t.Fatalf("session %d assumes %+v", n, r)
		}
		c.keep(&recalled{p: 1, version: 7})
	}
	if r := c.take(1); r == nil || r.version != 7 {
		t.Errorf("after %d sessions %+v is kept", recallAlone, r)
	}
}

// A session leaves what was asked for in it, as it is after its writes.
func TestRememberNewest(t *testing.T) {
	s := &Store{}
	of := &session{s: s, p: 1, version: 7, writers: 1}
	of.before.add([]byte("before"), []byte("1"))
	of.before.add([]byte("idle"), []byte("1"))
	of.recalled([]byte("before"))
	of.known.add([]byte("changed"), []byte("1"))
	of.known.add([]byte("gone"), []byte("1"))
	of.known.add([]byte("none"), nil)
	of.known.add([]byte("large"), make([]byte, memoryValue))
	of.known.add([]byte("large too"), make([]byte, memoryValue))
	of.known.add([]byte("late"), nil)
	of.over.grow()
	of.over.deleteRange([]byte("g"), []byte("h"))
	of.over.put([]byte("changed"), []byte("2"))
	of.over.put([]byte("unasked"), []byte("2"))
	of.remember([]byte("w"))
	r := s.recalls.take(1)
	if r == nil || r.version != 8 || string(r.writers) != "w" {
		t.Fatalf("left is %+v", r)
	}
	for key, want := range map[string]string{"before": "1", "changed": "2"} {
		if value, known := r.known.get([]byte(key)); !known || string(value) != want {
			t.Errorf("%s: %q, %v; want %q", key, value, known, want)
		}
	}
	for _, key := range []string{"gone", "none"} {
		if value, known := r.known.get([]byte(key)); !known || value != nil {
			t.Errorf("%s: %q, %v; want to know that it is not there", key, value, known)
		}
	}
	for _, key := range []string{"idle", "unasked", "large too", "late"} {
		if _, known := r.known.get([]byte(key)); known {
			t.Errorf("%s is kept", key)
		}
	}
	if r.known.octets > recallOctets {
		t.Errorf("%d octets", r.known.octets)
	}
}
