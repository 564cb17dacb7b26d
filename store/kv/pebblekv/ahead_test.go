package pebblekv

import "testing"

// What lies one behind the other in a file is one stretch; what is far away, in
// another file, compressed, written by the transaction itself or not yet in the
// file is not.
func TestStretch(t *testing.T) {
	const settled = place(3)<<32 | 900_000
	in := func(segment, offset, length uint32) wanted {
		return wanted{ref: reference{tag: tagLog, place: at(segment, offset), length: length, whole: length}}
	}
	packed := in(1, 9100, 100)
	packed.ref.tag = tagPacked
	for name, tt := range map[string]struct {
		list []wanted
		want int
	}{
		"one":               {[]wanted{in(1, 100, 5000)}, 1},
		"close together":    {[]wanted{in(1, 100, 4000), in(1, 4100, 4000), in(1, 9000, 10)}, 3},
		"as far as it goes": {[]wanted{in(1, 100, 4000), in(1, 4100+maxBetween, 4000), in(1, 8101+2*maxBetween, 10)}, 2},
		"backwards":         {[]wanted{in(1, 9000, 4000), in(1, 100, 4000)}, 1},
		"twice the same":    {[]wanted{in(1, 100, 4000), in(1, 100, 4000)}, 1},
		"too long":          {[]wanted{in(1, 0, maxStretch-10), in(1, maxStretch-10, 10), in(1, maxStretch, 10)}, 2},
		"another file":      {[]wanted{in(1, 100, 4000), in(2, 4100, 4000)}, 1},
		"compressed":        {[]wanted{in(1, 5000, 4000), packed}, 1},
		"compressed first":  {[]wanted{packed, in(1, 9200, 4000)}, 0},
		"not yet written":   {[]wanted{in(3, 895_000, 4000), in(3, 899_000, 2000)}, 1},
		"none is":           {[]wanted{in(3, 899_999, 2), in(3, 900_001, 2000)}, 0},
		"its own":           {[]wanted{in(0, 0, 2000), in(0, 2000, 2000)}, 0},
	} {
		if got := stretch(tt.list, settled); got != tt.want {
			t.Errorf("%s: %d, not %d", name, got, tt.want)
		}
	}
}
