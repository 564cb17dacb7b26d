package app

import (
	"io"
	"log"
	"log/slog"
	"os"

	"waxwing/app/config"
	"waxwing/obs"
)

// newLog makes the log that all rooms share; its level can be changed later.
// In the end the lines that wait are flushed.
func newLog(to io.Writer, c config.Log) (*slog.Logger, *slog.LevelVar, *lineWriter) {
	level := new(slog.LevelVar)
	w := &lineWriter{to: to}
	level.Set(levelOf(c.Level))
	o := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" { // systemd.exec(5): the journal has the time already
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if c.Format == "json" {
		return slog.New(promptHandler{slog.NewJSONHandler(w, o), w}), level, w
	}
	if o.ReplaceAttr != nil {
		return slog.New(promptHandler{slog.NewTextHandler(w, o), w}), level, w
	}
	return slog.New(promptHandler{newTextHandler(w, o), w}), level, w
}

func levelOf(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// httpErrors takes what net/http has to say about its connections: strangers
// who do not speak TLS, mostly.
func httpErrors(logger *slog.Logger, service string) *log.Logger {
	return slog.NewLogLogger(logger.With(obs.Service, service).Handler(), slog.LevelDebug)
}
