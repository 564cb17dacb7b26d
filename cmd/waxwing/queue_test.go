package main

import (
	"strings"
	"testing"
	"time"

	"waxwing/serve/adminapi"
)

// Why an item waits is said in words that tell what to do.
func TestWhyWaits(t *testing.T) {
	now := time.Now()
	later := now.Add(time.Hour)
	tried := []adminapi.QueueRecipient{{State: "pending", Code: 451, Enhanced: "4.7.1", Reply: "greylisted"}}
	for want, it := range map[string]adminapi.QueueItem{
		`the rule "r" holds it`:     {Held: true, Frozen: "r", HoldUntil: later},
		"an administrator holds it": {Held: true, ID: "q1"},
		"being tried right now":     {Underway: true},
		"its sender wants it to go": {Due: later, HoldUntil: later},
		"its time has not come":     {Due: later, HoldUntil: now.Add(-time.Hour)},
		"451 4.7.1 greylisted":      {Due: later, Tries: 1, Recipients: tried},
		"for its turn":              {Due: now},
	} {
		if got := whyWaits(it, now); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
