package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
)

// A Size is a number of octets. In the file it is a string with a unit, "50MB"
// (a thousand thousands) or "50MiB" (1024 times 1024); "0" needs none.
type Size int64

const megabyte Size = 1_000_000

var sizeUnits = []struct {
	name   string
	octets int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a size as the file and the command line write it.
func ParseSize(s string) (Size, error) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := s[len(number):]
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a size; write for example \"50MB\"", s)
	}
	if unit == "" && n == 0 {
		return 0, nil
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(unit, u.name) {
			if n > math.MaxInt64/u.octets {
				return 0, fmt.Errorf("%q is too large", s)
			}
			return Size(n * u.octets), nil
		}
	}
	if unit == "" {
		return 0, fmt.Errorf("%q needs a unit; write \"%dMB\" or \"%dB\"", s, n, n)
	}
	return 0, fmt.Errorf("%q has an unknown unit %q; use KB, MB, GB, TB or KiB, MiB, GiB, TiB", s, unit)
}

// String gives the size with the largest unit that divides it.
func (z Size) String() string {
	if z == 0 {
		return "0"
	}
	best := sizeUnits[len(sizeUnits)-1]
	for _, u := range sizeUnits {
		if int64(z)%u.octets == 0 && u.octets > best.octets {
			best = u
		}
	}
	return strconv.FormatInt(int64(z)/best.octets, 10) + best.name
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (z *Size) UnmarshalText(text []byte) (err error) {
	*z, err = ParseSize(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// A Duration is a span of time. In the file it is a string such as "30s",
// "5m", "1h30m" or "30d".
type Duration time.Duration

const day = 24 * time.Hour

// ParseDuration reads a duration as the file and the command line write it.
func ParseDuration(s string) (Duration, error) {
	bad := fmt.Errorf("%q is not a length of time; write for example \"30s\", \"5m\", \"12h\" or \"30d\"", s)
	rest, days := s, time.Duration(0)
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/day)-1 {
			return 0, bad
		}
		rest, days = after, time.Duration(n)*day
		if rest == "" {
			return Duration(days), nil
		}
	}
	if _, err := strconv.Atoi(rest); err == nil && rest != "0" {
		return 0, fmt.Errorf("%q needs a unit; write %q or %q", s, rest+"s", rest+"m")
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, bad
	}
	if days+d < 0 {
		return 0, errors.New("length of time is too large")
	}
	return Duration(days + d), nil
}

// String gives the duration as ParseDuration reads it.
func (d Duration) String() string {
	t := time.Duration(d)
	if t == 0 {
		return "0s"
	}
	var b strings.Builder
	if n := t / day; n > 0 {
		fmt.Fprintf(&b, "%dd", n)
		t -= n * day
	}
	if n := t / time.Hour; n > 0 {
		fmt.Fprintf(&b, "%dh", n)
		t -= n * time.Hour
	}
	if n := t / time.Minute; n > 0 {
		fmt.Fprintf(&b, "%dm", n)
		t -= n * time.Minute
	}
	if t > 0 {
		b.WriteString(t.String())
	}
	return b.String()
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Std gives the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Octets gives the size as the rooms have it.
func (z Size) Octets() mail.ByteCount { return mail.ByteCount(z) }
