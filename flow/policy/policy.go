// Package policy decides about those who come to the door: who may speak, who
// has to wait, whose mail is taken. Its functions are pure: what is known is
// gathered by others (flow/receive, flow/submit) as facts, and the verdict is
// theirs to carry out.
//
// Each verdict has a reason in plain words, for the log and for whoever asks
// why, besides what the other side is told.
package policy

import (
	"fmt"
	"net/netip"
	"time"

	"waxwing/proto/smtp"
)

// How strictly something is held that is not forbidden but odd.
type Strictness uint8

// The degrees.
const (
	Mark   Strictness = iota // it is noted, and makes a stranger suspicious
	Ignore                   // it does not matter
	Refuse                   // mail is refused for it
)

// Greylist says whose mail is put off at first.
type Greylist uint8

// The choices.
const (
	GreySuspicious Greylist = iota // strangers with marks
	GreyOff                        // nobody
	GreyStrangers                  // everybody who is not known yet
)

// Rules are the settings. The zero value has no limits; Defaults are those of
// the program.
type Rules struct {
	// Trusted are networks for which no rule holds.
	Trusted []netip.Prefix

	// Connections is how many connections an address may make in a minute;
	// Messages and Recipients, what it may give us in an hour. Zero for no
	// limit.
	Connections, Messages, Recipients int

	// Guesses is how many unknown recipients in an hour make an address
	// suspicious of guessing: each recipient then takes Pause, and longer
	// with each more. With MaxGuesses it has to go away. Zero for no limit.
	Guesses, MaxGuesses int
	Pause, MaxPause     time.Duration

	// GreetingDelay is for how long those wait for the greeting who have no
	// history; who talks meanwhile is refused.
	GreetingDelay time.Duration

	// ReverseName is how it is held that a host has no name that leads back
	// to its address; Hello, that it calls itself something that cannot be.
	ReverseName, Hello Strictness

	// ListScore is the weight of block lists that refuses; zero for never.
	ListScore int

	// Greylist says whose mail is put off. GreyDelay is for how long, and
	// GreyPasses how many messages have to come back until a neighbourhood is
	// believed.
	Greylist   Greylist
	GreyDelay  time.Duration
	GreyPasses int

	// Trust says what follows from what is proven of a message.
	Trust Trust

	// Sending is what an account of ours may send.
	Sending Sending
}

// Sending limits what an account may send. Zeros are no limits.
type Sending struct {
	// Messages and Recipients are for an hour, RecipientsADay for a day.
	// Recipients are counted once a day each.
	Messages, Recipients, RecipientsADay int
	// JumpFloor and JumpFactor tell when an account suddenly sends too much:
	// in a day to more than JumpFloor different recipients, and to more than
	// JumpFactor times as many as it used to.
	JumpFloor  int
	JumpFactor float64
}

// Defaults are rules that do not hit normal mail.
func Defaults() Rules {
	return Rules{
		Connections: 300, Messages: 10_000, Recipients: 50_000,
		Guesses: 10, MaxGuesses: 100, Pause: time.Second, MaxPause: 20 * time.Second,
		GreetingDelay: 2 * time.Second, ListScore: 1,
		GreyDelay: 4 * time.Minute, GreyPasses: 3,
		Trust:   Trust{DMARC: HeedAll},
		Sending: Sending{Messages: 500, Recipients: 1000, RecipientsADay: 3000, JumpFloor: 500, JumpFactor: 10},
	}
}

// A Verdict is what is to be done.
type Verdict struct {
	// Refusal is what the other side is told; nil lets it go on. Its Err is the
	// reason, for our log.
	Refusal *smtp.Refusal
	// Delay is how long it waits for the answer, whatever that is.
	Delay time.Duration
	// Pause says that the account is to be paused, and why.
	Pause string
	// Greylisted says that the refusal is a greylist's.
	Greylisted bool
	// Came says that the message has come back after a greylist put it off.
	Came bool
	// Junk says that the message is set aside.
	Junk bool
	// Reason says why a message is set aside, or taken though much speaks
	// against it.
	Reason string
	// Override says why other is done with a message than its author's domain
	// wants done with what DMARC fails for; None if nothing else is done.
	Override Override
}

// An Override is a reason not to do what a domain wants, in the words of its
// reports. RFC 9990 §3.1.6
type Override string

// The reasons.
const (
	None             Override = ""
	LocalPolicy      Override = "local_policy"
	TrustedForwarder Override = "trusted_forwarder"
	MailingList      Override = "mailing_list"
)

// refuse makes a verdict of a refusal and its reason.
func refuse(code int, class, subject, detail uint16, text, reason string, args ...any) Verdict {
	return Verdict{Refusal: &smtp.Refusal{
		Code: code, Enhanced: smtp.Enhanced{class, subject, detail}, Text: text,
		Err: fmt.Errorf(reason, args...),
	}}
}
