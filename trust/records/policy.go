package records

import (
	"crypto/sha256"
	"encoding/hex"

	"waxwing/trust/mtasts"
)

// PolicyID gives what the record of an MTA-STS policy of ours says about it: it
// changes exactly when the policy does. RFC 8461 §3.1
func PolicyID(p mtasts.Policy) string {
	sum := sha256.Sum256([]byte(p.String()))
	return hex.EncodeToString(sum[:10])
}

// policyRecords lists what makes the policy known.
func (d Domain) policyRecords(domain, host string) []Record {
	if d.Policy.Mode == "" {
		return nil
	}
	return []Record{
		{Name: "mta-sts." + domain, Type: "CNAME", Data: host, Optional: true, kind: alias,
			Why: "MTA-STS: where others fetch the policy, over HTTPS"}, // RFC 8461 §3.3
		{Name: mtasts.RecordName(domain), Type: "TXT", Data: Quote("v=STSv1; id=" + PolicyID(d.Policy)), Optional: true, kind: stsRecord,
			Why: "MTA-STS: others deliver encrypted, or not at all (mode " + string(d.Policy.Mode) + ")"}, // RFC 8461 §3.1
	}
}
