package server

import (
	"fmt"
	"io"
	"log/slog"
)

// newLogger makes the logger that the settings ask for.
func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	switch level {
	case "debug":
		o.Level = slog.LevelDebug
	case "info":
		o.Level = slog.LevelInfo
	case "warn":
		o.Level = slog.LevelWarn
	case "error":
		o.Level = slog.LevelError
	default:
		return nil, fmt.Errorf(`log_level is %q: write "debug", "info", "warn" or "error"`, level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	default:
		return nil, fmt.Errorf(`log_format is %q: write "text" or "json"`, format)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
