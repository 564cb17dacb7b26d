package config

import "fmt"

// trust checks how mail is verified.
func (d *decoder) trust(c Trust) {
	if _, err := Networks(c.Unverified); err != nil {
		d.invalid("trust.unverified", "%v", err)
	}
	d.oneOf("trust.dmarc", c.DMARC, DMARCEnforce, DMARCJunk, DMARCOff)
	d.oneOf("trust.spf", c.SPF, DoorRefuse, DoorMark, DoorIgnore)
	d.oneOf("trust.unknown", c.Unknown, UnknownAccept, UnknownDefer)
	for i, domain := range c.Sealers {
		d.hostname(fmt.Sprintf("trust.sealers[%d]", i), domain, "the domain that signs the seals, such as \"lists.example.org\"")
	}
	for i, o := range c.Domains {
		path := fmt.Sprintf("trust.domains[%d]", i)
		d.hostname(path+".domain", o.Domain, "the domain in From")
		d.oneOf(path+".dmarc", o.DMARC, DMARCEnforce, DMARCJunk, DMARCOff)
	}
}
