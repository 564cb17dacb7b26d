package obs

import (
	"context"
	"log/slog"
	"time"
)

// Log is log.LogAttrs without a look at who calls, which our records do not tell:
// for the lines that each message makes.
func Log(ctx context.Context, log *slog.Logger, level slog.Level, message string, attrs ...slog.Attr) {
	h := log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(attrs...)
	_ = h.Handle(ctx, r) // there is nobody who could be told
}
