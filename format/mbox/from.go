package mbox

import (
	"bytes"
	"strings"
	"time"
)

// A From is what a "From " line says.
type From struct {
	Sender string
	Date   time.Time // in UTC where no zone is given
}

// The forms in which dates are met behind the sender, once white space is
// single. asctime's is the rule; zones, missing seconds and the order of RFC
// 5322 come from old programs.
var fromDates = [...]string{
	"Mon Jan 2 15:04:05 2006",
	"Mon Jan 2 15:04:05 2006 -0700",
	"Mon Jan 2 15:04:05 -0700 2006", // Google Takeout
	"Mon Jan 2 15:04:05 MST 2006",
	"Mon Jan 2 15:04:05 2006 MST",
	"Mon Jan 2 15:04 2006",
	"Mon Jan 2 15:04 MST 2006",
	"Mon, 2 Jan 2006 15:04:05 -0700",
	"Mon, 2 Jan 2006 15:04:05 MST",
	"2 Jan 2006 15:04:05 -0700",
}

// maxFrom is how long a "From " line may be.
const maxFrom = 1000

var fromPrefix = []byte("From ")

// ParseFrom reads a "From " line, with or without its line end. It is false for
// a line without a date: that is text.
func ParseFrom(line []byte) (From, bool) {
	if len(line) > maxFrom || !bytes.HasPrefix(line, fromPrefix) {
		return From{}, false
	}
	words := strings.Fields(string(line[len(fromPrefix):]))
	// The sender may hold spaces, or be missing; "remote from host" may follow
	// the date. So the date is looked for.
	for i, w := range words {
		if i > 8 {
			break
		}
		if !isDay(w) && !(w[0] >= '0' && w[0] <= '9') {
			continue
		}
		rest := words[i:]
		for n := min(len(rest), 6); n >= 4; n-- {
			if t, ok := parseDate(strings.Join(rest[:n], " ")); ok {
				return From{strings.Join(words[:i], " "), t}, true
			}
		}
	}
	return From{}, false
}

func isDay(w string) bool {
	w = strings.TrimSuffix(w, ",")
	return len(w) == 3 && strings.Contains("MonTueWedThuFriSatSun", w)
}

func parseDate(text string) (time.Time, bool) {
	for _, form := range fromDates {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// appendFrom writes a "From " line.
func (f From) append(dst []byte) []byte {
	sender := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, f.Sender)
	if sender == "" || len(sender) > 300 {
		sender = "MAILER-DAEMON" // as for the null reverse-path everywhere
	}
	dst = append(append(dst, fromPrefix...), sender...)
	dst = f.Date.UTC().AppendFormat(append(dst, ' '), time.ANSIC)
	return append(dst, '\n')
}
