package config

import (
	"fmt"
	"strings"
	"time"

	"waxwing/mail"
)

// reports checks how is reported to others, and how they report.
func (d *decoder) reports(c Reports) {
	if c.From != "" {
		if a, err := mail.ParseAddress(c.From); err != nil || a.Domain == "" || strings.HasPrefix(a.Domain, "[") {
			d.invalid("reports.from", "must be a mail address in a domain of yours, such as \"postmaster@example.org\"")
		}
	}
	if c.Spread < 0 || c.Spread > Duration(12*time.Hour) {
		d.invalid("reports.spread", "must be at most 12h: those who get the reports wait for them")
	}
	if c.FailuresPerDay < 1 || c.FailuresPerDay > 10_000 {
		d.invalid("reports.failures_per_day", "must be between 1 and 10000")
	}
	for i, local := range c.Addresses {
		if a, err := mail.ParseAddress(local + "@example.org"); err != nil || a.Local != local || strings.EqualFold(local, "postmaster") {
			d.invalid(fmt.Sprintf("reports.addresses[%d]", i), "must be what stands before the @, such as \"dmarc-reports\", and not postmaster")
		}
	}
	if c.Keep < Duration(7*24*time.Hour) {
		d.invalid("reports.keep", "must be at least 7d")
	}
	if c.Size < 1<<20 {
		d.invalid("reports.size", "must be at least 1MiB")
	}
}
