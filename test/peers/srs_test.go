//go:build peers

package peers

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"waxwing/format/srs"
	"waxwing/test/house"
)

// perlSRS has Mail::SRS rewrite or reverse an address.
func perlSRS(t *testing.T, script, arg string) string {
	t.Helper()
	if err := exec.Command("perl", "-MMail::SRS", "-e1").Run(); err != nil {
		t.Skip("Mail::SRS is not installed")
	}
	out, err := exec.Command("perl", "-MMail::SRS", "-e",
		`my $s = Mail::SRS->new(Secret => "a key", HashLength => 6, HashMin => 6, MaxAge => 21, Separator => "="); print `+script, arg).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// Mail::SRS writes what we write, and each reads what the other has written.
func TestMailSRS(t *testing.T) {
	key, now := []byte("a key"), time.Now()
	for _, sender := range []string{"ann@a.test", "Ann.B@a.test", "x=y+z@a.test", "SRS0=abcd=XX=z.test=ann@a.test", "SRS1=abcd=y.test==abcd=XX=z.test=ann@a.test"} {
		ours, err := srs.Forward(key, now, house.Address(sender), "b.test")
		if err != nil {
			t.Fatal(err)
		}
		theirs := perlSRS(t, `$s->forward($ARGV[0], "b.test")`, sender)
		if ours.String() != theirs {
			t.Errorf("%s: ours %s, theirs %s", sender, ours, theirs)
		}
		back, err := srs.Reverse([][]byte{key}, now, house.Address(theirs))
		if again := perlSRS(t, `scalar $s->reverse($ARGV[0])`, ours.String()); err != nil || !strings.EqualFold(back.String(), again) {
			t.Errorf("%s: ours %s (%v), theirs %s", sender, back, err, again)
		}
	}
}
