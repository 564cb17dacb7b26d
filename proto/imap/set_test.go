package imap

import (
	"reflect"
	"testing"
)

func TestResolve(t *testing.T) {
	tests := []struct {
		in      string
		largest uint32
		want    []Range
	}{
		{"1", 9, []Range{{1, 1}}},
		{"*", 9, []Range{{9, 9}}},
		{"5:*", 3, []Range{{3, 5}}},
		{"*:2", 9, []Range{{2, 9}}},
		{"4:2,1,7:8,3:5,9", 9, []Range{{1, 5}, {7, 9}}},
		{"1:4294967295,5", 9, []Range{{1, 1<<32 - 1}}},
		{"1,1,1", 9, []Range{{1, 1}}},
		{"*", 0, []Range{{0, 0}}},
	}
	for _, tt := range tests {
		set, err := ParseSet(tt.in)
		if got := set.Resolve(tt.largest); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s of %d: %v, %v; want %v", tt.in, tt.largest, got, err, tt.want)
		}
	}
}

func TestAppendNumbers(t *testing.T) {
	for want, in := range map[string][]uint32{
		"": {}, "1": {1}, "1:3": {1, 2, 3}, "1,3,5:6": {1, 3, 5, 6}, "4,1:2": {4, 1, 2}, "1,1": {1, 1},
	} {
		if got := string(AppendNumbers(nil, in)); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
	}
}

// A set is written as it was read, and resolves to ascending ranges that do
// not touch.
func FuzzSet(f *testing.F) {
	for _, s := range []string{"1", "*", "1:*", "$", "3:1,7,*:4", "4294967295,1"} {
		f.Add(s, uint32(7))
	}
	f.Fuzz(func(t *testing.T, s string, largest uint32) {
		set, err := ParseSet(s)
		if err != nil {
			return
		}
		again, err := ParseSet(set.String())
		if err != nil || !reflect.DeepEqual(set, again) {
			t.Fatalf("%q -> %q -> %+v, %v", s, set.String(), again, err)
		}
		var last int64 = -2
		for _, r := range set.Resolve(largest) {
			if int64(r.From) < last+2 || r.To < r.From {
				t.Fatalf("%q: %v", s, set.Resolve(largest))
			}
			last = int64(r.To)
		}
	})
}
