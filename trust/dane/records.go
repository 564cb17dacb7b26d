package dane

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"

	"waxwing/dns"
)

// Usages, selectors and matching types. RFC 7218 §2
const (
	usageTA, usageEE = 2, 3

	selectCert, selectKey = 0, 1

	matchFull, matchSHA256, matchSHA512 = 0, 1, 2
)

// maxUsable bounds how many records are compared with a chain; nobody needs
// that many.
const maxUsable = 32

// Usable gives the records that can be used to authenticate a host: of a kind
// that is known, well-formed, and of those that differ in nothing but the digest
// the strongest. None means that TLS is demanded and the certificate does not
// matter. RFC 7672 §2.2, RFC 7671 §9
func Usable(records []dns.TLSA) []dns.TLSA {
	var usable []dns.TLSA
	strongest := map[[2]uint8]uint8{} // by usage and selector
	for _, r := range records {
		if len(usable) < maxUsable && wellFormed(r) {
			usable = append(usable, r)
			of := [2]uint8{r.Usage, r.Selector}
			strongest[of] = max(strongest[of], r.Matching)
		}
	}
	kept := usable[:0]
	for _, r := range usable {
		// Full is no digest: it is compared whatever else there is.
		if r.Matching == matchFull || r.Matching == strongest[[2]uint8{r.Usage, r.Selector}] {
			kept = append(kept, r)
		}
	}
	return kept
}

// wellFormed tells whether a record can be used.
func wellFormed(r dns.TLSA) bool {
	if r.Usage != usageTA && r.Usage != usageEE || r.Selector > selectKey {
		return false
	}
	switch r.Matching {
	case matchSHA256:
		return len(r.Data) == sha256.Size
	case matchSHA512:
		return len(r.Data) == sha512.Size
	case matchFull:
		var err error
		if r.Selector == selectCert {
			_, err = x509.ParseCertificate(r.Data)
		} else {
			_, err = x509.ParsePKIXPublicKey(r.Data)
		}
		return err == nil
	}
	return false
}

// Format writes a record as it stands in a zone file, with the octets clipped
// where they are not a digest: "3 1 1 ab12…".
func Format(r dns.TLSA) string {
	const most = sha512.Size
	data, rest := r.Data, ""
	if len(data) > most {
		data, rest = data[:most], "…"
	}
	return fmt.Sprintf("%d %d %d %s%s", r.Usage, r.Selector, r.Matching, hex.EncodeToString(data), rest)
}
