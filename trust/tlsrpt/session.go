package tlsrpt

import "net/netip"

// A PolicyType says what kind of policy was applied. RFC 8460 §4.4
type PolicyType string

// The types of policies.
const (
	TLSA          PolicyType = "tlsa"            // DANE, RFC 7672
	STS           PolicyType = "sts"             // MTA-STS, RFC 8461
	NoPolicyFound PolicyType = "no-policy-found" // neither
)

// A Policy is what a domain has published about how its mail is to travel, as
// it was applied.
type Policy struct {
	Type PolicyType `json:"policy-type"`
	// Domain is the policy domain, in lower case and A-labels: the recipients'
	// domain for STS and NoPolicyFound, the TLSA base domain (of the receiving
	// server) for TLSA. RFC 8460 §1.1
	Domain string `json:"policy-domain"`
	// Text is the policy: of TLSA the data of each record ("3 1 1 …"), of STS
	// the lines of the policy ("version: STSv1", …); none for NoPolicyFound.
	// RFC 8460 §4.5
	Text []string `json:"policy-string,omitempty"`
	// MX are the patterns of hosts that an STS policy names.
	MX []string `json:"mx-host,omitempty"`
}

// A ResultType says how an attempt failed. Success is the zero value.
// RFC 8460 §4.3
type ResultType string

// The results.
const (
	Success ResultType = "" // encrypted, and as the policy wants

	STARTTLSNotSupported    ResultType = "starttls-not-supported"
	CertificateHostMismatch ResultType = "certificate-host-mismatch"
	CertificateExpired      ResultType = "certificate-expired"
	CertificateNotTrusted   ResultType = "certificate-not-trusted"
	ValidationFailure       ResultType = "validation-failure" // of what kind says the reason

	TLSAInvalid   ResultType = "tlsa-invalid"   // no record of the set is usable, or none matches
	DNSSECInvalid ResultType = "dnssec-invalid" // the records' signatures are wrong
	DANERequired  ResultType = "dane-required"  // by our configuration, and there is none

	STSPolicyFetchError ResultType = "sts-policy-fetch-error"
	STSPolicyInvalid    ResultType = "sts-policy-invalid"
	STSWebPKIInvalid    ResultType = "sts-webpki-invalid" // the policy's own server
)

// A Session is what became of one attempt to reach a host with TLS, which is
// what is counted and reported. It is one for each connection that was made, or
// could not be made for a reason of TLS, not for each message. What fails
// without having to do with TLS (a host that does not answer) is none.
// RFC 8460 §4.3.4
//
// Where an attempt says something about two policies (an MTA-STS policy that
// cannot be fetched, and the session that was held without one), there are two.
type Session struct {
	// Domain is the recipients' domain, or the configured next host's, in lower
	// case and A-labels: its record says who gets the report.
	Domain string
	Policy Policy
	// Result is Success, or how it failed; of several failures the first.
	Result ResultType
	// Reason says in a few words of the library or our own why it failed.
	Reason string

	MX          string     // the host by its name in the MX record
	Helo        string     // how it named itself, if it did
	SendingIP   netip.Addr // ours, if there was a connection
	ReceivingIP netip.Addr // its address, if there was a connection
}
