package dnssec

import (
	"errors"
	"fmt"
	"strings"

	wire "github.com/miekg/dns"
)

// RootAnchors are the keys of the root zone that the program comes with:
// KSK-2017 and KSK-2024, as IANA publishes their digests (RFC 9718).
const RootAnchors = `
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
`

// ParseAnchors reads trust anchors in zone-file form, DS and DNSKEY records of
// any zones, and gives them as DS records by zone. At least one is wanted.
func ParseAnchors(text string) (map[string][]*wire.DS, error) {
	anchors := make(map[string][]*wire.DS)
	parser := wire.NewZoneParser(strings.NewReader(text), ".", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		zone := wire.CanonicalName(rr.Header().Name)
		switch rr := rr.(type) {
		case *wire.DS:
			anchors[zone] = append(anchors[zone], rr)
		case *wire.DNSKEY:
			if _, ok := parseKey(rr, true); !ok {
				return nil, fmt.Errorf("trust anchor %s: not a zone key of a known algorithm", zone)
			}
			anchors[zone] = append(anchors[zone], AnchorOf(rr))
		default:
			return nil, fmt.Errorf("trust anchor %s: want a DS or DNSKEY record, not %s", zone, wire.Type(rr.Header().Rrtype))
		}
	}
	if err := parser.Err(); err != nil {
		return nil, fmt.Errorf("trust anchors: %w", err)
	}
	if len(anchors) == 0 {
		return nil, errors.New("trust anchors: there are none")
	}
	return anchors, nil
}

// AnchorOf names a key by its digest, without the mark of revocation.
func AnchorOf(record *wire.DNSKEY) *wire.DS {
	k := *record
	k.Hdr.Name = wire.CanonicalName(k.Hdr.Name)
	k.Flags &^= flagRevoke
	return k.ToDS(wire.SHA256)
}
