package mail

import (
	"encoding/json"
	"testing"
)

func TestAddressInJSON(t *testing.T) {
	for _, a := range []Address{{}, {"ann", "example.test"}, {"a b", "x.test"}, {"Postmaster", ""}} {
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var got Address
		if err := json.Unmarshal(b, &got); err != nil || got != a {
			t.Errorf("%+v -> %s -> %+v, %v", a, b, got, err)
		}
	}
	var a Address
	if err := json.Unmarshal([]byte(`"ann"`), &a); err == nil {
		t.Error("a bare local part was accepted")
	}
}
