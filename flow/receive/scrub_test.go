package receive

import (
	"bytes"
	"strings"
	"testing"

	"waxwing/format/message"
	"waxwing/trust/verify"
)

const ours = "mx.example.test"

// scrubbed gives what passes of pieces.
func scrubbed(t testing.TB, pieces ...string) (string, int) {
	t.Helper()
	var b bytes.Buffer
	s := &scrubber{to: &b, server: ours}
	for _, p := range pieces {
		was := []byte(p)
		if n, err := s.Write(was); err != nil || n != len(p) {
			t.Fatal(n, err)
		}
		for i := range was { // nobody may keep what was lent
			was[i] = 'X'
		}
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	return b.String(), s.gone
}

func TestScrub(t *testing.T) {
	long := "Authentication-Results: other.example;\r\n" + strings.Repeat("\tdkim=pass header.d=a.example;\r\n", 4000)
	longOurs := strings.Replace(long, "other.example", ours, 1)
	huge := "X-Long: " + strings.Repeat("x", 3*maxClaim) + "\r\n"
	for name, tt := range map[string]struct {
		in, want string
		gone     int
	}{
		"nothing to take out":  {"Subject: x\r\n\r\nhello\r\n", "Subject: x\r\n\r\nhello\r\n", 0},
		"one":                  {"A: 1\r\nAuthentication-Results: " + ours + "; dkim=pass\r\nB: 2\r\n\r\nx", "A: 1\r\nB: 2\r\n\r\nx", 1},
		"folded":               {"AUTHENTICATION-results :\r\n\t" + ours + ";\r\n dkim=pass\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n", 1},
		"two, and another's":   {"Authentication-Results: " + ours + "\r\nAuthentication-Results: a.example; none\r\nAuthentication-Results: MX.Example.Test 1; none\r\n\r\n", "Authentication-Results: a.example; none\r\n\r\n", 2},
		"illegible":            {"Authentication-Results: (\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n", 1},
		"the last":             {"B: 2\r\nAuthentication-Results: " + ours, "B: 2\r\n", 1},
		"the last, another's":  {"B: 2\r\nAuthentication-Results: a.example", "B: 2\r\nAuthentication-Results: a.example", 0},
		"with bare LF":         {"B: 2\nAuthentication-Results: " + ours + "\n dkim=pass\nC: 3\n\nx", "B: 2\nC: 3\n\nx", 1},
		"in the body":          {"B: 2\r\n\r\nAuthentication-Results: " + ours + "\r\n", "B: 2\r\n\r\nAuthentication-Results: " + ours + "\r\n", 0},
		"of the chain":         {"ARC-Authentication-Results: i=1; " + ours + "\r\n\r\n", "ARC-Authentication-Results: i=1; " + ours + "\r\n\r\n", 0},
		"longer name":          {"Authentication-Results-Old: " + ours + "\r\n\r\n", "Authentication-Results-Old: " + ours + "\r\n\r\n", 0},
		"behind no field":      {"hello\r\nAuthentication-Results: " + ours + "\r\n\r\n", "hello\r\n\r\n", 1},
		"long, another's":      {long + "B: 2\r\n\r\nx", long + "B: 2\r\n\r\nx", 0},
		"long, ours":           {longOurs + "B: 2\r\n\r\nx", "B: 2\r\n\r\nx", 1},
		"a line without end":   {huge + "Authentication-Results: " + ours + "\r\n\r\n", huge + "\r\n", 1},
		"a fold without field": {" x\r\nB: 2\r\n\r\n", " x\r\nB: 2\r\n\r\n", 0},
		"a picture":            {"A: 1\r\nBIMI-Location: v=BIMI1;\r\n l=https://bank.example/\r\nbimi-indicator : PHN2\r\nBIMI-Selector: v=BIMI1\r\nBIMI-Locations: x\r\n\r\n", "A: 1\r\nBIMI-Selector: v=BIMI1\r\nBIMI-Locations: x\r\n\r\n", 2},
		"two kinds":            {"BIMI-Indicator: x\r\nAuthentication-Results: " + ours + "\r\nBIMI-Location: x\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n", 3},
		"of SPF":               {"A: 1\r\nReceived-SPF: pass (yes)\r\n receiver=" + ours + ";\r\nReceived-SPF: fail receiver=a.example\r\n\r\n", "A: 1\r\nReceived-SPF: fail receiver=a.example\r\n\r\n", 1},
		"empty":                {"", "", 0},
		"empty header":         {"\r\nx", "\r\nx", 0},
	} {
		if got, gone := scrubbed(t, tt.in); got != tt.want || gone != tt.gone {
			t.Errorf("%s: %q, %d gone; want %q, %d", name, cut(got), gone, cut(tt.want), tt.gone)
		}
		if len(tt.in) > 500 {
			continue
		}
		for i := range tt.in {
			if got, gone := scrubbed(t, tt.in[:i], tt.in[i:]); got != tt.want || gone != tt.gone {
				t.Errorf("%s, cut at %d: %q, %d gone", name, i, got, gone)
			}
		}
		if got, _ := scrubbed(t, strings.Split(tt.in, "")...); got != tt.want {
			t.Errorf("%s, octet by octet: %q", name, got)
		}
	}
}

func cut(s string) string { return s[:min(len(s), 200)] }

// What passes has no field that claims to be ours, however it comes, and a
// message without one passes as it is.
func FuzzScrub(f *testing.F) {
	for _, s := range []string{"A: b\r\n\r\nx", "Authentication-Results: mx.example.test\r\n x\r\n\r\n", "authentication-results:\n mx.example.test\n\n", "\n", "a"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, text string, at int) {
		at = min(max(at, 0), len(text))
		whole, gone := scrubbed(t, text)
		parts, goneToo := scrubbed(t, text[:at], text[at:])
		if whole != parts || gone != goneToo {
			t.Fatalf("%q, or %q", whole, parts)
		}
		if gone == 0 && whole != text {
			t.Fatalf("%q became %q", text, whole)
		}
		for field := range message.Fields([]byte(whole)) {
			raw := []byte(whole)[field.Start:field.End]
			if verify.Forged(raw, ours) || begins(raw, onlyOurs) {
				t.Fatalf("%q passes", raw)
			}
		}
	})
}
