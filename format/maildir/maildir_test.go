package maildir

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"waxwing/mail"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		want Name
		back string // "" for the same
	}{
		{"1136455872.M20046P2137.mailhost", Name{Unique: "1136455872.M20046P2137.mailhost", Size: -1, Wire: -1}, "1136455872.M20046P2137.mailhost:2,"},
		{"1136455872.M1P2.h,S=4120,W=4200:2,FSab", Name{Unique: "1136455872.M1P2.h", Size: 4120, Wire: 4200, Flags: mail.Flagged | mail.Seen, Letters: "ab"}, ""},
		{"1.h:2,DFPRST", Name{Unique: "1.h", Size: -1, Wire: -1, Flags: mail.Draft | mail.Flagged | mail.Answered | mail.Seen | mail.Deleted, Passed: true}, ""},
		{"1.h,U=17,S=3:2,S", Name{Unique: "1.h,U=17", Size: 3, Wire: -1, Flags: mail.Seen}, ""},
		{"1.h!2,TS", Name{Unique: "1.h", Size: -1, Wire: -1, Flags: mail.Seen | mail.Deleted}, "1.h:2,ST"},
		{"1.h;2,S", Name{Unique: "1.h", Size: -1, Wire: -1, Flags: mail.Seen}, "1.h:2,S"},
		{"1.h:1,x", Name{Unique: "1.h", Size: -1, Wire: -1}, "1.h:2,"},
		{"1.h:2,SX", Name{Unique: "1.h", Size: -1, Wire: -1, Flags: mail.Seen, Others: "X"}, ""},
		{"1.h,S=-4:2,", Name{Unique: "1.h", Size: -1, Wire: -1}, "1.h:2,"},
		{"", Name{Size: -1, Wire: -1}, ":2,"},
	} {
		got := ParseName(tt.name)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, want %+v", tt.name, got, tt.want)
		}
		if tt.back == "" {
			tt.back = tt.name
		}
		if got.String() != tt.back {
			t.Errorf("%q became %q", tt.name, got.String())
		}
	}
	if at := ParseName("1136455872.M1P2.h").Time(); at != 1136455872 {
		t.Error(at)
	}
	if at := ParseName("99999999999999999999.x").Time(); at != 0 {
		t.Error(at)
	}
}

func TestKeywords(t *testing.T) {
	k := ParseKeywords([]byte("0 $Forwarded\n1 Work\n25 last\n26 too-far\nx y\n-1 z\n"))
	if got := k.Words("abzc?"); !slices.Equal(got, []mail.Keyword{"$Forwarded", "Work", "last"}) {
		t.Errorf("%q", got)
	}
	if l, ok := k.Letter("work"); !ok || l != "b" {
		t.Error(l, ok)
	}
	if l, ok := k.Letter("new"); !ok || l != "c" {
		t.Error(l, ok)
	}
	for i := range 30 {
		_, ok := k.Letter(mail.Keyword("more" + strings.Repeat("x", i)))
		if ok != (i < 22) {
			t.Fatal(i, ok)
		}
	}
	if again := ParseKeywords(k.Append(nil)); again != k {
		t.Errorf("%q", again)
	}
}

func TestSubscriptions(t *testing.T) {
	want := [][]string{{"Sent"}, {"Lists", "Go"}, {"a\tb"}}
	if got := ParseSubscriptions(AppendSubscriptions(nil, want), "."); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	if got := ParseSubscriptions([]byte("Sent\r\nLists.Go\n\n"), "."); !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("%q", got)
	}
}

// Whatever a name says, it says it again once it has been written.
func FuzzName(f *testing.F) {
	f.Add("1136455872.M1P2.h,S=4120,W=4200:2,FSab")
	f.Add("x,,S=1,S=2!2,Q:2,,a")
	f.Fuzz(func(t *testing.T, name string) {
		n := ParseName(name)
		again := ParseName(n.String())
		if n.Unique == "" || strings.Contains(n.Unique, ":2,") || strings.Contains(n.Unique, "!2,") || strings.Contains(n.Unique, ";2,") || strings.Contains(n.Unique, ":1,") {
			return
		}
		if again.Unique != n.Unique || again.Flags != n.Flags || again.Passed != n.Passed || len(again.Letters) != len(n.Letters) || again.Size != n.Size || again.Wire != n.Wire {
			t.Fatalf("%q: %+v, then %+v of %q", name, n, again, n.String())
		}
	})
}
