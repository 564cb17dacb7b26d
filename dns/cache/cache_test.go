package cache_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"waxwing/dns/cache"
)

func TestExpiry(t *testing.T) {
	c := cache.New[string, int](1 << 20)
	now := time.Unix(1_000_000, 0)
	c.Put("a", 1, 10, now.Add(time.Minute))
	if v, ok := c.Get("a", now); !ok || v != 1 {
		t.Errorf("Get = %d, %v", v, ok)
	}
	if _, ok := c.Get("a", now.Add(time.Minute)); ok {
		t.Error("an expired value was given")
	}
	if v, expires, ok := c.Peek("a"); !ok || v != 1 || !expires.Equal(now.Add(time.Minute)) {
		t.Errorf("Peek = %d, %v, %v", v, expires, ok)
	}
	c.Put("a", 2, 10, now.Add(time.Hour))
	if v, _ := c.Get("a", now); v != 2 {
		t.Errorf("after a second Put: %d", v)
	}
	c.Delete("a")
	if n, bytes := c.Len(); n != 0 || bytes != 0 {
		t.Errorf("empty cache: %d entries, %d bytes", n, bytes)
	}
}

// The cache never holds more than it may, and keeps what is used.
func TestBound(t *testing.T) {
	const limit = 64 << 10
	c := cache.New[string, int](limit)
	now := time.Unix(1_000_000, 0)
	c.Put("used", -1, 100, now.Add(time.Hour))
	for i := range 10_000 {
		c.Put(strconv.Itoa(i), i, i%500, now.Add(time.Hour))
		if _, ok := c.Get("used", now); !ok {
			t.Fatalf("what is used all the time was dropped at %d", i)
		}
		if _, bytes := c.Len(); bytes > limit {
			t.Fatalf("%d bytes of %d", bytes, limit)
		}
	}
	if n, _ := c.Len(); n < 50 {
		t.Errorf("only %d entries are left", n)
	}
	c.Put("huge", 1, limit, now.Add(time.Hour))
	if _, ok := c.Get("huge", now); ok {
		t.Error("what does not fit was kept")
	}
}

func TestConcurrent(t *testing.T) {
	c := cache.New[int, int](32 << 10)
	now := time.Unix(1_000_000, 0)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				key := (i*7 + g) % 300
				if v, ok := c.Get(key, now); ok && v != key {
					t.Errorf("%d under %d", v, key)
				}
				c.Put(key, key, 50, now.Add(time.Hour))
				if i%10 == 0 {
					c.Delete(key)
				}
			}
		})
	}
	all.Wait()
}
