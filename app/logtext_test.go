package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
)

// Whatever is logged, it reads as slog writes it.
func FuzzTextHandler(f *testing.F) {
	f.Add("message received", "msg", "01kd", int64(0), int64(1_700_000_000_123_456_789))
	f.Add("", "", "", int64(-1), int64(0))
	f.Add("a=b", "a key", `"quoted"`, int64(1<<62), int64(1))
	f.Add("\x7f", "\\", "back\\slash", int64(7), int64(999_999))
	f.Add("gr\u00fc\u00dfe", "\u2028", "\xff", int64(7), int64(1_000_000))
	f.Add("\u00a0", "\ufffd", "line\nend\ttab", int64(7), int64(-1_000_000))
	f.Fuzz(func(t *testing.T, message, key, text string, number, nanoseconds int64) {
		at := time.Unix(0, nanoseconds).UTC()
		if number%2 == 0 {
			at = at.In(time.FixedZone("", int(number%50_000)))
		}
		plain := []slog.Attr{
			slog.String(key, text), slog.String("k", message), slog.Int64(text, number), slog.Uint64("u", uint64(number)),
			slog.Bool("b", number > 0), slog.Duration("d", time.Duration(number)), slog.Time("t", at),
		}
		odd := []slog.Attr{
			slog.Any("err", errors.New(text)), slog.Any("none", nil), slog.Float64("f", float64(number)), {},
			slog.Group("g", slog.String(key, text)), slog.Any("bytes", []byte(text)),
		}
		var ours, theirs bytes.Buffer
		o := &slog.HandlerOptions{Level: slog.LevelInfo}
		for _, handlers := range [][2]slog.Handler{
			{newTextHandler(&ours, o), slog.NewTextHandler(&theirs, o)},
			{newTextHandler(&ours, o).WithAttrs(plain[:3]), slog.NewTextHandler(&theirs, o).WithAttrs(plain[:3])},
			{newTextHandler(&ours, o).WithAttrs(plain[:1]).WithAttrs(odd), slog.NewTextHandler(&theirs, o).WithAttrs(plain[:1]).WithAttrs(odd)},
			{newTextHandler(&ours, o).WithGroup("g").WithAttrs(plain), slog.NewTextHandler(&theirs, o).WithGroup("g").WithAttrs(plain)},
			{newTextHandler(&ours, o).WithAttrs(nil).WithGroup(""), slog.NewTextHandler(&theirs, o).WithAttrs(nil).WithGroup("")},
		} {
			for _, attrs := range [][]slog.Attr{nil, plain, plain[:2], append(plain[:2:2], odd...), odd[:1]} {
				ours.Reset()
				theirs.Reset()
				for _, h := range handlers {
					r := slog.NewRecord(at, slog.Level(number%9), message, 0)
					r.AddAttrs(attrs...)
					if err := h.Handle(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				if ours.String() != theirs.String() {
					t.Fatalf("%q, slog writes %q", ours.String(), theirs.String())
				}
			}
		}
	})
}

func TestTextHandlerLevel(t *testing.T) {
	level := new(slog.LevelVar)
	h := newTextHandler(io.Discard, &slog.HandlerOptions{Level: level})
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelError} {
		level.Set(l)
		if h.Enabled(t.Context(), l-1) || !h.Enabled(t.Context(), l) {
			t.Errorf("at %v", l)
		}
	}
}

func BenchmarkTextHandler(b *testing.B) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	for name, h := range map[string]slog.Handler{"ours": newTextHandler(io.Discard, o), "slog": slog.NewTextHandler(io.Discard, o)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := slog.NewRecord(time.Now(), slog.LevelInfo, "message received", 0)
				r.AddAttrs(slog.String("msg", "01kd1v8h2j3k4m5n"), slog.String("remote", "192.0.2.1"), slog.String("from", "ann@elsewhere.test"),
					slog.Int("recipients", 1), slog.Int64("size", 4321), slog.String("message_id", "<1.123456789@bench.test>"))
				_ = h.Handle(context.Background(), r)
			}
		})
	}
}
