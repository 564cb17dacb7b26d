package app

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// lineEvery is how often log records are written where many come: a
	// system call for each would cost a busy server as much as the making of it.
	lineEvery = 20 * time.Millisecond
	// lineRoom is how many octets of them may wait.
	lineRoom = 32 << 10
)

// A lineWriter writes log records: one that comes alone at once, of many in a
// row those of some milliseconds together. It is safe for concurrent use.
type lineWriter struct {
	to io.Writer

	mu      sync.Mutex // guards what follows, and to
	waiting []byte
	written time.Time   // when something was written last
	timer   *time.Timer // runs while something waits; nil at first
}

// Write takes a record.
func (w *lineWriter) Write(record []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := lineEvery - time.Since(w.written)
	if len(w.waiting) == 0 && rest > 0 {
		if w.timer == nil {
			w.timer = time.AfterFunc(rest, w.flush)
		} else {
			w.timer.Reset(rest)
		}
	}
	w.waiting = append(w.waiting, record...)
	if rest <= 0 || len(w.waiting) >= lineRoom {
		w.writeLocked()
	}
	return len(record), nil
}

// flush writes what waits.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeLocked()
}

func (w *lineWriter) writeLocked() {
	if len(w.waiting) == 0 {
		return
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	_, _ = w.to.Write(w.waiting) // there is nobody who could be told
	w.waiting, w.written = w.waiting[:0], time.Now()
}

// A promptHandler has warnings and errors written at once, with all that came
// before: they may be the last words.
type promptHandler struct {
	slog.Handler
	lines *lineWriter
}

// Handle implements slog.Handler.
func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.lines.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup implements slog.Handler.
func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.lines}
}
