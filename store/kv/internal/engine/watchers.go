package engine

import (
	"context"
	"sync"

	"waxwing/store/kv"
)

// Watchers is the table of those who watch partitions. The zero value is
// ready for use.
type Watchers struct {
	mu     sync.Mutex // guards what follows, and every send and close of a watcher's channel
	closed bool
	of     map[kv.Partition]map[*watcher]struct{}
}

type watcher struct {
	ch    chan kv.Version       // holds the newest version that has not been received
	known func(kv.Version) bool // what the watcher need not be told; nil for nothing
	stop  func() bool           // takes back the wait for the end of the context
}

// Watch adds a watcher of p; see kv.Store, and kv.WatchBut for known, which may be
// nil.
func (ws *Watchers) Watch(ctx context.Context, p kv.Partition, known func(kv.Version) bool) (<-chan kv.Version, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &watcher{ch: make(chan kv.Version, 1), known: known}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return nil, kv.ErrClosed
	}
	if ws.of == nil {
		ws.of = make(map[kv.Partition]map[*watcher]struct{})
	}
	if ws.of[p] == nil {
		ws.of[p] = make(map[*watcher]struct{})
	}
	ws.of[p][w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() { ws.remove(p, w) })
	return w.ch, nil
}

func (ws *Watchers) remove(p kv.Partition, w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if _, ok := ws.of[p][w]; !ok {
		return // Close has been here
	}
	delete(ws.of[p], w)
	if len(ws.of[p]) == 0 {
		delete(ws.of, p)
	}
	close(w.ch)
}

// Wake tells the watchers of p of version v, which is durable.
func (ws *Watchers) Wake(p kv.Partition, v kv.Version) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.of[p] {
		if w.known != nil && w.known(v) {
			continue
		}
		select {
		case old := <-w.ch:
			v = max(v, old)
		default:
		}
		w.ch <- v
	}
}

// Close closes the channels of all watchers; later ones are refused.
func (ws *Watchers) Close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.closed = true
	for _, of := range ws.of {
		for w := range of {
			w.stop()
			close(w.ch)
		}
	}
	ws.of = nil
}
