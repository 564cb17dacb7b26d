package mailbox

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/keys"
)

func hashedKey(prefix byte, n int) []byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	if prefix == keys.Body {
		return appendBodyKey(nil, (*blob.Sum)(&sum), 0)
	}
	return append([]byte{prefix}, sum[:16]...)
}

// Whatever has been added is there; what has not is not, but for some.
func TestKeyFilter(t *testing.T) {
	f := new(keyFilter)
	n := 0
	for ; n < 2*filterMost; n++ {
		if !f.add(hashedKey(keys.Mention, n)) {
			break
		}
		if n&(n-1) == 0 && !f.has(hashedKey(keys.Mention, n)) {
			t.Fatalf("key %d is lost at once", n)
		}
	}
	if n != filterMost || f.octets() != 1023<<8 {
		t.Errorf("there was room for %d keys in %d octets", n, f.octets())
	}
	wrong := 0
	for i := range n {
		if !f.has(hashedKey(keys.Mention, i)) {
			t.Fatalf("key %d is lost", i)
		}
	}
	for i := range n {
		if f.has(hashedKey(keys.Mention, n+i)) {
			wrong++
		}
	}
	if wrong > n/20 {
		t.Errorf("of %d other keys %d seem to be there", n, wrong)
	}
}

// The filter is about mentions and first chunks only.
func TestKeyFilterKeys(t *testing.T) {
	sum := blob.Sum{1}
	for _, c := range []struct {
		key  []byte
		want bool
	}{
		{hashedKey(keys.Mention, 1), true},
		{hashedKey(keys.Body, 1), true},
		{appendBodyKey(nil, &sum, 1), false},
		{appendRefsKey(nil, &sum), false},
		{appendReleaseKey(nil, &sum), false},
		{[]byte{keys.Mention}, false},
		{headKey, false},
		{nil, false},
	} {
		if got := filtered(c.key); got != c.want {
			t.Errorf("filtered(%x) is %v", c.key, got)
		}
	}
}

// What is kept has a limit, and the least recently used go first.
func TestKeptTable(t *testing.T) {
	var table keptTable
	heavy := new(keyFilter)
	for i := 0; heavy.add(hashedKey(keys.Mention, i)); i++ {
	}
	for i := range 100 {
		table.take(1)
		table.put(1, &kept{added: 1})
		table.put(mail.AccountID(i+2), &kept{known: heavy})
	}
	if table.octets > maxKeptOctets || table.recent.Len() != 1+maxKeptOctets/heavy.octets() {
		t.Errorf("%d octets of %d accounts are kept", table.octets, table.recent.Len())
	}
	if k := table.take(1); k.added != 1 {
		t.Error("the account in use was forgotten")
	}
	if k := table.take(1); k.added != 0 {
		t.Error("two have what is kept of an account")
	}
	for i := range 2 * maxKept {
		table.put(mail.AccountID(i+2), new(kept))
	}
	if table.recent.Len() != maxKept || len(table.of) != maxKept || table.octets != 0 {
		t.Errorf("%d, %d accounts are kept, with %d octets", table.recent.Len(), len(table.of), table.octets)
	}
}
