package policy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"waxwing/mail"
	"waxwing/store/peers"
	"waxwing/trust/dnsbl"
)

// Host is what is known of a host that has connected.
type Host struct {
	Addr  netip.Addr
	Peer  peers.Peer // what its address has done
	Near  peers.Peer // what its neighbourhood has done
	Early bool       // it spoke before the greeting

	// Rule is what an administrator has said of the address, or of its name.
	Rule *peers.Rule

	// Name is its name in the DNS, and whether that leads back to it.
	Name ReverseName
	// Hello is what it calls itself.
	Hello Hello
	// Lists are those that hold its address.
	Lists []dnsbl.Hit
}

// ReverseName is what the DNS says of an address.
type ReverseName struct {
	State NameState
	Name  string // the one that leads back, else the first
}

// NameState says how a name stands.
type NameState uint8

// The states. Only what the DNS has answered is held against anybody.
const (
	NameNotKnown  NameState = iota // not asked, or no answer
	NameMissing                    // there is none
	NameMismatch                   // it does not lead back to the address
	NameConfirmed                  // it does
)

// Hello is what a host calls itself.
type Hello struct {
	Name  string
	State HelloState
}

// HelloState says what is odd about a name in HELO or EHLO.
type HelloState uint8

// The states.
const (
	HelloFine       HelloState = iota // or not known
	HelloMalformed                    // no domain and no address literal. RFC 5321 §4.1.1.1
	HelloBareIP                       // an address without brackets. RFC 5321 §4.1.3
	HelloOurs                         // our own name or address
	HelloNoSuchName                   // a name that the DNS does not have
)

// CheckHello says what is odd about a name, as far as it tells by itself.
// Ours are our names; local is the address that the host has connected to.
func CheckHello(name string, local netip.Addr, ours ...string) HelloState {
	folded := strings.ToLower(strings.TrimSuffix(name, "."))
	if ip, err := mail.ParseLiteral(folded); err == nil {
		if ip == local && local.IsValid() {
			return HelloOurs
		}
		return HelloFine
	}
	if _, err := netip.ParseAddr(folded); err == nil {
		return HelloBareIP
	}
	if slices.ContainsFunc(ours, func(s string) bool { return strings.EqualFold(s, folded) }) {
		return HelloOurs
	}
	if network, domain, ok := peers.Canonical(folded); !ok || network.IsValid() || !strings.Contains(domain, ".") {
		return HelloMalformed
	}
	return HelloFine
}

// Transaction is what is known when a recipient is named.
type Transaction struct {
	From mail.Address
	// SenderRule is what an administrator has said of the sender's domain.
	SenderRule *peers.Rule
	// SenderLists are those that hold the sender's domain.
	SenderLists []dnsbl.Hit
	// Denied says that the sender's domain forbids the host to send for it, as
	// far as that is known by now: SPF.
	Denied bool
	To     mail.Address
	// Recipients is how many have been accepted before this one.
	Recipients int
	// Exists says that there is such a recipient here.
	Exists bool
	// WrittenTo says that the recipient has written to the sender lately.
	WrittenTo bool
	// Unasked says that the message has the null sender, and that its recipients
	// have sent nothing lately that it could be about.
	Unasked bool
	// Grey is what the greylist knows; GreyAsked, that it has been asked.
	GreyAsked  bool
	GreyFirst  time.Time
	GreyPassed bool
}

// Account is what is known of an account that wants to send.
type Account struct {
	Addr   netip.Addr
	Peer   peers.Peer
	Paused *peers.Pause
	// Recipients is how many the message has, with the one that is asked about.
	Recipients int
}

// Trusts tells whether no rule holds for an address: one of this machine that
// has none, or one in a trusted network.
func (r Rules) Trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return true
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(r.Trusted, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Known tells whether a host has a history that speaks for it.
func (h Host) Known() bool {
	return h.Rule != nil && h.Rule.Allow ||
		h.Peer.Counts[peers.Delivered] >= 3 && h.guesses() < 10 &&
			h.Peer.Counts[peers.Spam] < h.Peer.Counts[peers.Delivered]/2
}

// guesses are the unknown recipients that a host has named in an hour, but for
// one with every other message that was taken from it: large senders have some
// addresses in their lists that have gone.
func (h Host) guesses() float64 {
	return h.Peer.Counts[peers.Unknown] - h.Peer.Counts[peers.Messages]/2
}

// Public tells whether the DNS of the world can know of an address.
func Public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !sharedSpace.Contains(a.Unmap())
}

// sharedSpace is for carriers' address translation. RFC 6598 §7
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// Marks are what is odd about a host, in words.
func (h Host) Marks(r Rules) []string {
	var marks []string
	if r.ReverseName != Ignore {
		switch h.Name.State {
		case NameMissing:
			marks = append(marks, "its address has no name")
		case NameMismatch:
			marks = append(marks, "its name "+h.Name.Name+" does not lead back to its address")
		}
	}
	if words := h.Hello.State.words(h.Hello.Name); words != "" && r.Hello != Ignore {
		marks = append(marks, words)
	}
	for _, hit := range h.Lists {
		if !hit.List.Allow {
			marks = append(marks, hit.String())
		}
	}
	if h.Peer.Counts[peers.FailedLogins] >= 5 {
		marks = append(marks, "logins from there have failed lately")
	}
	if spam := h.Peer.Counts[peers.Spam]; spam >= 1 && spam >= h.Peer.Counts[peers.Delivered]/2 {
		marks = append(marks, "spam has come from there lately")
	}
	return marks
}

func (s HelloState) words(name string) string {
	switch s {
	case HelloMalformed:
		return "it calls itself \"" + name + "\", which is not a host name"
	case HelloBareIP:
		return "it calls itself by an address without brackets, " + name
	case HelloOurs:
		return "it calls itself by our own name, " + name
	case HelloNoSuchName:
		return "it calls itself " + name + ", which the DNS does not know"
	}
	return ""
}
