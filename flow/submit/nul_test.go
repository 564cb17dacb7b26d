package submit_test

import (
	"net/netip"
	"strings"
	"testing"

	"waxwing/flow/deliver"
	"waxwing/mail"
	"waxwing/test/house"
)

// A NUL makes a message binary, whatever its client says of it: hosts without
// BINARYMIME get it encoded. RFC 2045 §2.9, RFC 3030 §3
func TestNULIsBinary(t *testing.T) {
	for text, want := range map[string]bool{
		"From: alice@example.test\r\n\r\na\x00b\r\n": true,
		"From: alice@example.test\r\n\r\nab\r\n":     false,
	} {
		h := house.New(t)
		to, err := h.Submitter.Recipient(t.Context(), mail.Recipient{Address: house.Address("dave@far.test")})
		if err != nil {
			t.Fatal(err)
		}
		hop := deliver.Hop{Hello: "[192.0.2.1]", Addr: netip.MustParseAddr("192.0.2.1"), By: house.Hostname, Protocol: "ESMTPSA"}
		_, err = h.Submitter.Message(t.Context(), house.Identity(h.Alice), nil, mail.Envelope{From: h.Alice.Address}, []deliver.Recipient{to}, hop, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if items := h.Queued(); len(items) != 1 || items[0].Envelope.Binary != want || items[0].Envelope.EightBit != want {
			t.Errorf("%q: %+v", text, items)
		}
	}
}
