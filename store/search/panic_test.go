package search

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"waxwing/format/message"
	"waxwing/store/mailbox"
)

// What goes wrong about one message, in our own code, is that message's
// trouble: whoever looks for something reads it, and the others are indexed.
func TestBuildPanics(t *testing.T) {
	var log bytes.Buffer
	b := &builder{a: &Account{x: &Index{log: slog.New(slog.NewTextHandler(&log, nil))}}}
	w := &mailbox.Whole{Facts: &mailbox.Facts{Message: &message.Message{}}, Text: []byte("Subject: a\r\n\r\nb")}
	w.Message.Root.Body = -1 // which no message has
	if err := b.read(t.Context(), 1, w, &gramSet{}); err == nil {
		t.Error("there is nothing the matter")
	}
	if !strings.Contains(log.String(), "panic in the search index") {
		t.Errorf("the log has %q", log.String())
	}
}
