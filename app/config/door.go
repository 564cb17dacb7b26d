package config

import (
	"fmt"
	"time"

	"waxwing/trust/dnsbl"
)

// maxGreetingDelay is how long clients wait for a greeting with certainty.
// RFC 5321 §4.5.3.2.1 asks for five minutes; not all have read it.
const maxGreetingDelay = Duration(30 * time.Second)

// door checks who is let in, and how much may be sent.
func (d *decoder) door(c *Config) {
	if _, err := Networks(c.Door.Trusted); err != nil {
		d.invalid("door.trusted", "%v", err)
	}
	d.oneOf("door.reverse_name", c.Door.ReverseName, DoorRefuse, DoorMark, DoorIgnore)
	d.oneOf("door.hello", c.Door.Hello, DoorRefuse, DoorMark, DoorIgnore)
	d.oneOf("door.greylist", c.Door.Greylist, GreySuspicious, GreyStrangers, GreyOff)
	for path, n := range map[string]int{
		"door.connections_per_minute": c.Door.ConnectionsPerMinute,
		"door.messages_per_hour":      c.Door.MessagesPerHour,
		"door.recipients_per_hour":    c.Door.RecipientsPerHour,
		"door.unknown_recipients":     c.Door.UnknownRecipients,
		"door.max_unknown_recipients": c.Door.MaxUnknownRecipients,
		"door.list_score":             c.Door.ListScore,
		"sending.messages_per_hour":   c.Sending.MessagesPerHour,
		"sending.recipients_per_hour": c.Sending.RecipientsPerHour,
		"sending.recipients_per_day":  c.Sending.RecipientsPerDay,
		"sending.sudden_recipients":   c.Sending.SuddenRecipients,
	} {
		if n < 0 {
			d.invalid(path, "must not be negative; 0 is no limit")
		}
	}
	if c.Door.GreylistPasses < 1 {
		d.invalid("door.greylist_passes", "must be at least 1")
	}
	if c.Door.GreetingDelay > maxGreetingDelay {
		d.invalid("door.greeting_delay", "must not be longer than %s: senders give up", maxGreetingDelay)
	}
	if c.Door.GreylistDelay > Duration(time.Hour) {
		d.invalid("door.greylist_delay", "must not be longer than 1h: senders wait long enough without it")
	}
	for i, l := range c.Door.Lists {
		d.dnsList(fmt.Sprintf("door.lists[%d]", i), l)
	}
}

func (d *decoder) dnsList(path string, l DNSList) {
	d.hostname(path+".zone", l.Zone, "the name of the list, such as \"zen.spamhaus.org\"")
	if _, err := Codes(l.Codes); err != nil {
		d.invalid(path+".codes", "%v", err)
	}
	if l.Weight < 0 {
		d.invalid(path+".weight", "must not be negative; an allow list has allow = true")
	}
}

// Codes reads the answers of a list that count.
func Codes(list []string) ([]dnsbl.Code, error) {
	var all []dnsbl.Code
	for _, s := range list {
		code, err := dnsbl.ParseCode(s)
		if err != nil {
			return nil, err
		}
		all = append(all, code)
	}
	return all, nil
}
