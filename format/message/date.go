package message

import (
	"strings"
	"time"
)

// FormatDate gives a time as the Date field wants it. RFC 5322 §3.3
func FormatDate(t time.Time) string {
	return t.Format("Mon, 2 Jan 2006 15:04:05 -0700")
}

// ParseDate reads a date-time of RFC 5322 §3.3 with the obsolete forms of §4.3
// (zone names, short years, comments), and what is met besides: missing
// seconds or zone (UTC then), month before day, asctime, RFC 3339. The result
// has the zone that was written. It says false for what makes no sense.
func ParseDate(raw string) (time.Time, bool) {
	t, ok := parseDate(raw)
	if !ok {
		if s := squeezeColons(raw); s != raw {
			t, ok = parseDate(s)
		}
	}
	return t, ok
}

// squeezeColons removes comments, and white space around colons, as old dates
// may have it: "09(comment):   55  :  06". RFC 5322 §4.3, §A.6.3
func squeezeColons(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '(')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		_, s = cutComment(s[i:])
	}
	b.WriteString(s)
	parts := strings.Split(b.String(), ":")
	for i := range parts {
		parts[i] = strings.Trim(parts[i], " \t\r\n")
	}
	return strings.Join(parts, ":")
}

func parseDate(raw string) (time.Time, bool) {
	var d date
	for s := raw; ; {
		s = strings.TrimLeft(skipCFWS(s), " \t\r\n,")
		if s == "" {
			break
		}
		if s[0] == '(' {
			continue
		}
		i := strings.IndexAny(s, " \t\r\n,(")
		if i < 0 {
			i = len(s)
		}
		if !d.take(s[:i]) {
			return time.Time{}, false
		}
		s = s[i:]
	}
	return d.time()
}

// date collects the words of a date, in whatever order they come.
type date struct {
	day, year            int
	month                time.Month
	hour, minute, second int
	offset               int // seconds east of UTC
	hasDay, hasYear      bool
	hasTime, hasOffset   bool
}

// take adds one word, and says no to one that fits nowhere.
func (d *date) take(w string) bool {
	switch c := w[0]; {
	case (c == '+' || c == '-') && d.hasTime && !d.hasOffset:
		return d.takeOffset(w)
	case c < '0' || c > '9':
		return d.takeName(w)
	case strings.IndexByte(w, ':') > 0 && strings.IndexByte(w, '-') < 0:
		return !d.hasTime && d.takeTime(w)
	case strings.IndexByte(w, '-') > 0 && !d.hasDay:
		return d.takeDashed(w)
	case strings.IndexByte(w, '.') > 0 && !d.hasTime:
		return d.takeTime(w)
	}
	n, ok := number(w)
	switch {
	case !ok:
		return false
	case !d.hasDay && len(w) <= 2:
		d.day, d.hasDay = n, true
	case !d.hasYear && len(w) <= 4:
		d.year, d.hasYear = fullYear(n, len(w)), true
	default:
		return d.hasTime && d.hasYear // junk behind a whole date
	}
	return true
}

// takeName takes a day's, month's or zone's name.
func (d *date) takeName(w string) bool {
	if len(w) >= 3 {
		if i := index3("janfebmaraprmayjunjulaugsepoctnovdec", w); i >= 0 && d.month == 0 {
			d.month = time.Month(i + 1)
			return true
		}
		if index3("montuewedthufrisatsun", w) >= 0 && !d.hasTime {
			return true
		}
	}
	switch {
	case strings.EqualFold(w, "AM") && d.hasTime:
		d.hour %= 12
	case strings.EqualFold(w, "PM") && d.hasTime:
		d.hour = d.hour%12 + 12
	case d.hasTime && !d.hasOffset:
		d.takeZone(w)
	default:
		return d.hasTime || len(w) <= 4 && d.month == 0 // foreign day names
	}
	return true
}

// takeZone reads a zone's name. Unknown ones count as UTC, and so do military
// letters, since their signs were printed wrong in RFC 822. RFC 5322 §4.3
func (d *date) takeZone(w string) {
	hours := map[string]int{
		"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
		"CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "BST": 1, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9, "KST": 9,
	}
	if i := strings.IndexAny(w, "+-"); i > 0 { // GMT+0200
		d.takeOffset(w[i:])
		return
	}
	if i := strings.IndexAny(w, "0123456789"); i > 0 { // EST5EDT
		w = w[:i]
	}
	d.offset = hours[strings.ToUpper(w)] * 3600
}

// takeOffset reads +0100, +01:00, +01 or +1.
func (d *date) takeOffset(w string) bool {
	digits := w[1:]
	if i := strings.IndexByte(digits, ':'); i >= 0 {
		digits = digits[:i] + digits[i+1:]
	}
	n, ok := number(digits)
	if !ok || len(digits) > 4 {
		return true // no reason to give up the rest
	}
	if len(digits) <= 2 {
		n *= 100
	}
	seconds := (n/100*60 + n%100) * 60
	if seconds > 24*3600 {
		seconds = 0
	}
	if w[0] == '-' {
		seconds = -seconds
	}
	d.offset, d.hasOffset = seconds, true
	return true
}

// takeTime reads hh:mm[:ss[.fraction]], or with dots, with what sticks to it.
func (d *date) takeTime(w string) bool {
	end := 0
	for end < len(w) && (w[end] >= '0' && w[end] <= '9' || w[end] == ':' || w[end] == '.') {
		end++
	}
	rest := w[end:]
	var part [3]int
	digits, n := 0, 0
	for i := 0; i <= end && n < 3; i++ {
		if i < end && w[i] >= '0' && w[i] <= '9' {
			if digits++; digits > 2 {
				return false
			}
			part[n] = part[n]*10 + int(w[i]-'0')
			continue
		}
		if digits == 0 {
			return false
		}
		digits = 0
		n++
	}
	if n < 2 {
		return false
	}
	d.hour, d.minute, d.second = part[0], part[1], part[2]
	d.hasTime = true
	if rest == "" {
		return true
	}
	if rest[0] == '+' || rest[0] == '-' {
		return d.takeOffset(rest)
	}
	return d.takeName(rest)
}

// takeDashed reads 2006-01-02, 2006-01-02T15:04:05Z or 02-Jan-06.
func (d *date) takeDashed(w string) bool {
	whole, clock, both := strings.Cut(w, "T")
	if both && (len(whole) == 0 || whole[len(whole)-1] < '0' || whole[len(whole)-1] > '9') { // the T of OCT
		whole, both = w, false
	}
	a, rest, _ := strings.Cut(whole, "-")
	b, c, _ := strings.Cut(rest, "-")
	x, okA := number(a)
	z, okC := number(c)
	if !okA || !okC {
		return false
	}
	y, okB := number(b)
	switch {
	case okB && len(a) == 4:
		d.year, d.month, d.day = x, time.Month(y), z
	case !okB && len(b) >= 3 && index3("janfebmaraprmayjunjulaugsepoctnovdec", b) >= 0:
		d.day, d.year = x, fullYear(z, len(c))
		d.month = time.Month(1 + index3("janfebmaraprmayjunjulaugsepoctnovdec", b))
	default:
		return false
	}
	d.hasDay, d.hasYear = true, true
	return !both || d.takeTime(clock)
}

// time gives the instant, if all the words make one.
func (d *date) time() (time.Time, bool) {
	if !d.hasDay || !d.hasYear || d.month < 1 || d.month > 12 || d.day < 1 || d.year < 1900 ||
		d.hour > 23 || d.minute > 59 || d.second > 60 {
		return time.Time{}, false
	}
	if d.day > time.Date(d.year, d.month+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return time.Time{}, false
	}
	zone := time.UTC
	if d.offset != 0 {
		zone = time.FixedZone("", d.offset)
	}
	// A leap second is the one before, since time.Time has none.
	return time.Date(d.year, d.month, d.day, d.hour, d.minute, min(d.second, 59), 0, zone), true
}

// fullYear reads short years. RFC 5322 §4.3
func fullYear(n, digits int) int {
	switch {
	case digits <= 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

// number reads up to nine digits and nothing else.
func number(s string) (int, bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' || i == 9 {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, s != ""
}

// index3 finds the name among names of three letters by its first three.
func index3(names, w string) int {
	for i := 0; i < len(names); i += 3 {
		if lower(w[0]) == names[i] && lower(w[1]) == names[i+1] && lower(w[2]) == names[i+2] {
			return i / 3
		}
	}
	return -1
}
