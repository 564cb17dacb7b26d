package app

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// A textHandler writes what slog.TextHandler writes, to the octet, in half the
// time: each message makes two lines or three. Where a value is neither text nor a
// number, or in a group, slog's own does it.
type textHandler struct {
	level slog.Leveler
	to    io.Writer // takes whole lines, from several goroutines at once

	attrs  []byte // written already
	with   []slog.Attr
	slower slog.Handler // of slog, without with
}

func newTextHandler(to io.Writer, o *slog.HandlerOptions) *textHandler {
	return &textHandler{level: o.Level, to: to, slower: slog.NewTextHandler(to, o)}
}

// Enabled implements slog.Handler.
func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// textLines are where lines are written.
var textLines = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Handle implements slog.Handler.
func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	room := textLines.Get().(*[]byte)
	defer textLines.Put(room)
	b := (*room)[:0]
	if !r.Time.IsZero() {
		b = append(appendMillis(append(b, "time="...), r.Time), ' ')
	}
	b = appendWord(append(b, "level="...), r.Level.String())
	b = appendWord(append(b, " msg="...), r.Message)
	b = append(b, h.attrs...)
	plain := true
	r.Attrs(func(a slog.Attr) bool {
		b, plain = appendAttr(b, a)
		return plain
	})
	if !plain {
		return h.whole().Handle(ctx, r)
	}
	b = append(b, '\n')
	if cap(b) <= 8<<10 {
		*room = b
	}
	_, err := h.to.Write(b)
	return err
}

// whole gives slog's handler that stands for this one.
func (h *textHandler) whole() slog.Handler {
	if len(h.with) == 0 {
		return h.slower
	}
	return h.slower.WithAttrs(h.with)
}

// WithAttrs implements slog.Handler.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	with, b, plain := *h, slices.Clip(h.attrs), true
	for _, a := range attrs {
		if b, plain = appendAttr(b, a); !plain {
			return h.whole().WithAttrs(attrs)
		}
	}
	with.attrs, with.with = b, slices.Concat(h.with, attrs)
	return &with
}

// WithGroup implements slog.Handler.
func (h *textHandler) WithGroup(name string) slog.Handler { return h.whole().WithGroup(name) }

// appendAttr appends a space and an attribute, if it is a plain one.
func appendAttr(b []byte, a slog.Attr) (_ []byte, plain bool) {
	switch a.Value.Kind() {
	case slog.KindString, slog.KindInt64, slog.KindUint64, slog.KindBool, slog.KindDuration, slog.KindTime:
	default:
		return b, false
	}
	b = append(appendWord(append(b, ' '), a.Key), '=')
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		b = appendWord(b, v.String())
	case slog.KindInt64:
		b = strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		b = strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		b = strconv.AppendBool(b, v.Bool())
	case slog.KindDuration:
		b = append(b, v.Duration().String()...)
	case slog.KindTime:
		b = appendMillis(b, v.Time())
	}
	return b, true
}

// appendMillis appends a time with its milliseconds, all three digits. That the
// format is Go's own makes it fast.
func appendMillis(b []byte, t time.Time) []byte {
	const before = len("2006-01-02T15:04:05.000")
	n := len(b)
	b = t.Truncate(time.Millisecond).Add(time.Millisecond/10).AppendFormat(b, time.RFC3339Nano)
	return append(b[:n+before], b[n+before+1:]...)
}

// appendWord appends text, in quotes where it must be.
func appendWord(b []byte, s string) []byte {
	if needsQuotes(s) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

// needsQuotes tells whether text is not one word of visible characters.
func needsQuotes(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			return oddRunes(s)
		}
		if c <= ' ' || c == '=' || c == '"' {
			return true
		}
	}
	return s == ""
}

// oddRunes is needsQuotes for text that has more than ASCII.
func oddRunes(s string) bool {
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if r <= ' ' || r == '=' || r == '"' {
				return true
			}
		case r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r):
			return true
		}
	}
	return false
}
