package config

import (
	"encoding/hex"
	"strings"
)

// transport checks how mail to a domain is protected.
func (d *decoder) transport(path string, t Transport) {
	if t.Domain != "*" && !isDomainPattern(t.Domain) {
		d.invalid(path, "domain %q is neither a domain nor such as \".example.org\" nor \"*\"", t.Domain)
	}
	d.oneOf(path+".tls", t.TLS, TLSNone, TLSMay, TLSRequire, TLSDANE, TLSVerify, TLSFingerprint)
	if len(t.Names) > 0 && t.TLS != TLSVerify {
		d.invalid(path, "names are for tls = \"verify\"")
	}
	for _, name := range t.Names {
		if !isDomainPattern(name) || strings.HasPrefix(name, ".") {
			d.invalid(path, "name %q is not that of a server", name)
		}
	}
	if len(t.Fingerprints) > 0 != (t.TLS == TLSFingerprint) {
		d.invalid(path, "fingerprints and tls = \"fingerprint\" go together")
	}
	for _, f := range t.Fingerprints {
		kind, digits, _ := strings.Cut(f, ":")
		sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
		if kind != "sha256" && kind != "key-sha256" || err != nil || len(sum) != 32 {
			d.invalid(path, "fingerprint %q is neither \"sha256:\" nor \"key-sha256:\" and 64 hexadecimal digits", f)
		}
	}
}
