package submit_test

import (
	"net/netip"
	"strings"
	"testing"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/test/house"
)

// What the header says of TLS is kept with what is queued, for recipients and
// for those to whom an alias forwards, and counts nothing beside REQUIRETLS.
// RFC 8689 §3, §4.1, §6
func TestTLSRequiredField(t *testing.T) {
	for name, tt := range map[string]struct {
		header   string
		required bool
		want     bool
	}{
		"none":            {"", false, false},
		"no":              {"TLS-Required: No\r\n", false, true},
		"in other case":   {"tls-required:\r\n no \r\n", false, true},
		"yes":             {"TLS-Required: Yes\r\n", false, false},
		"twice":           {"TLS-Required: No\r\nTLS-Required: No\r\n", false, false},
		"beside another":  {"TLS-Required: Yes\r\nTLS-Required: No\r\n", false, false},
		"with REQUIRETLS": {"TLS-Required: No\r\n", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := house.New(t)
			h.Alias("away@example.test", "carol@far.test")
			env := mail.Envelope{From: h.Alice.Address, RequireTLS: tt.required}
			var to []deliver.Recipient
			for _, address := range []string{"dave@far.test", "away@example.test"} {
				r, err := h.Submitter.Recipient(t.Context(), mail.Recipient{Address: house.Address(address)})
				if err != nil {
					t.Fatal(err)
				}
				to = append(to, r)
			}
			hop := deliver.Hop{Hello: "[192.0.2.1]", Addr: netip.MustParseAddr("192.0.2.1"), By: house.Hostname, Protocol: "ESMTPSA"}
			text := tt.header + "From: alice@example.test\r\nSubject: your certificate\r\n\r\nhas expired\r\nTLS-Required: No\r\n"
			if _, err := h.Submitter.Message(t.Context(), house.Identity(h.Alice), nil, env, to, hop, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			items := h.Queued()
			if len(items) != 2 {
				t.Fatalf("%d items", len(items))
			}
			for _, it := range items {
				if it.Envelope.OptionalTLS != tt.want || it.Envelope.RequireTLS != tt.required {
					t.Errorf("to %v: optional %v, required %v", it.Envelope.To, it.Envelope.OptionalTLS, it.Envelope.RequireTLS)
				}
			}
		})
	}
}
