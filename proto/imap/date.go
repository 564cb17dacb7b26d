package imap

import (
	"strings"
	"time"
)

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// A Date is a day in the calendar, without time and zone, as SEARCH compares
// them. RFC 9051 §6.4.4
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf gives the day of t in t's own zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// Compare gives -1, 0 or +1 as d is before, on or after e.
func (d Date) Compare(e Date) int {
	switch a, b := d.ordinal(), e.ordinal(); {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (d Date) ordinal() int { return d.Year<<9 | int(d.Month)<<5 | d.Day }

// String gives the date as IMAP writes it: "1-Feb-1994".
func (d Date) String() string {
	return string(appendDecimal(nil, d.Day)) + "-" + monthName(d.Month) + "-" + string(appendPadded(nil, d.Year, 4))
}

// date takes a date, quoted or not. RFC 9051 §9
func (s *scanner) date() Date {
	quoted := s.accept('"')
	d := s.dateText()
	if quoted {
		s.expect('"')
	}
	return d
}

// dateText takes day "-" month "-" year.
func (s *scanner) dateText() Date {
	var d Date
	day := s.span(digitChar)
	if len(day) == 0 || len(day) > 2 {
		s.fail("bad day of month")
		return Date{}
	}
	for _, c := range day {
		d.Day = d.Day*10 + int(c-'0')
	}
	s.expect('-')
	d.Month = s.month()
	s.expect('-')
	d.Year = s.digits(4)
	if s.err == nil && (d.Day < 1 || d.Day > daysIn(d.Year, d.Month)) {
		s.fail("no such day")
	}
	if s.err != nil {
		return Date{}
	}
	return d
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func (s *scanner) month() time.Month {
	if s.err == nil && len(s.b)-s.i >= 3 {
		name := string(s.b[s.i : s.i+3])
		for m := range 12 {
			if strings.EqualFold(name, months[3*m:3*m+3]) {
				s.i += 3
				return time.Month(m + 1)
			}
		}
	}
	s.fail("bad month")
	return 1
}

// digits takes exactly n digits.
func (s *scanner) digits(n int) int {
	if s.err != nil || len(s.b)-s.i < n {
		s.fail("expected %d digits", n)
		return 0
	}
	v := 0
	for range n {
		c := s.b[s.i]
		if c < '0' || c > '9' {
			s.fail("expected %d digits", n)
			return 0
		}
		v = v*10 + int(c-'0')
		s.i++
	}
	return v
}

// dateTime takes a date-time. RFC 9051 §9
func (s *scanner) dateTime() time.Time {
	s.expect('"')
	s.accept(' ') // QUIRK: some clients send one digit without the space before it.
	d := s.dateText()
	s.sp()
	hour := s.digits(2)
	s.expect(':')
	minute := s.digits(2)
	s.expect(':')
	second := s.digits(2)
	s.sp()
	sign := 1
	if s.accept('-') {
		sign = -1
	} else {
		s.expect('+')
	}
	zone := s.digits(4)
	s.expect('"')
	if s.err == nil && (hour > 23 || minute > 59 || second > 60 || zone/100 > 23 || zone%100 > 59) {
		s.fail("no such time")
	}
	if s.err != nil {
		return time.Time{}
	}
	offset := sign * (zone/100*3600 + zone%100*60)
	return time.Date(d.Year, d.Month, d.Day, hour, minute, second, 0, time.FixedZone("", offset))
}

// AppendDateTime writes a date-time with its quotes: "17-Jul-1996 02:44:25
// -0700".
func AppendDateTime(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, '"')
	if day < 10 {
		dst = append(dst, ' ', byte('0'+day))
	} else {
		dst = appendPadded(dst, day, 2)
	}
	dst = append(dst, '-')
	dst = append(dst, monthName(month)...)
	dst = append(dst, '-')
	dst = appendPadded(dst, year, 4)
	dst = append(dst, ' ')
	dst = appendPadded(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, second, 2)
	_, offset := t.Zone()
	if offset < 0 {
		dst = append(dst, " -"...)
		offset = -offset
	} else {
		dst = append(dst, " +"...)
	}
	dst = appendPadded(dst, offset/3600, 2)
	dst = appendPadded(dst, offset%3600/60, 2)
	return append(dst, '"')
}

func monthName(m time.Month) string { return months[3*(m-1) : 3*m] }

// appendPadded writes n with exactly width digits; years that need more are
// clipped to 9999.
func appendPadded(dst []byte, n, width int) []byte {
	n = max(n, 0)
	limit := 1
	for range width {
		limit *= 10
	}
	n = min(n, limit-1)
	for limit /= 10; limit > 0; limit /= 10 {
		dst = append(dst, byte('0'+n/limit%10))
	}
	return dst
}
