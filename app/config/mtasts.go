package config

import (
	"fmt"
	"strings"
	"time"
)

// The values of MTASTS.Mode. MTASTSDefault is one of the others, by where
// certificates come from.
const (
	MTASTSDefault = ""
	MTASTSTesting = "testing"
	MTASTSEnforce = "enforce"
	MTASTSNone    = "none"
	MTASTSOff     = "off"
)

// mtaSTS checks the policies of our domains.
func (d *decoder) mtaSTS(c MTASTS) {
	modes := []string{MTASTSTesting, MTASTSEnforce, MTASTSNone, MTASTSOff}
	if c.Mode != MTASTSDefault {
		d.oneOf("mta_sts.mode", c.Mode, modes...)
	}
	// RFC 8461 §3.2: a year at most.
	if c.MaxAge < Duration(24*time.Hour) || c.MaxAge > Duration(365*24*time.Hour) {
		d.invalid("mta_sts.max_age", "must be between 1d and 365d")
	}
	for i, host := range c.MX {
		d.hostname(fmt.Sprintf("mta_sts.mx[%d]", i), strings.TrimPrefix(host, "*."), "a server of the MX records, such as \"backup.example.net\"")
	}
	for i, o := range c.Domains {
		path := fmt.Sprintf("mta_sts.domains[%d]", i)
		d.hostname(path+".domain", o.Domain, "a domain of yours")
		d.oneOf(path+".mode", o.Mode, modes...)
	}
}

// ModeOf gives the mode of a domain's policy.
func (c Config) ModeOf(domain string) string {
	for _, o := range c.MTASTS.Domains {
		if strings.EqualFold(o.Domain, domain) {
			return o.Mode
		}
	}
	switch {
	case c.MTASTS.Mode != MTASTSDefault:
		return c.MTASTS.Mode
	case c.TLS.Source == SourceOwnCA:
		return MTASTSOff // nobody else could fetch it
	}
	return MTASTSTesting
}
