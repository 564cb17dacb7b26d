package imap

import "strings"

// Notify is NOTIFY: SET with its event groups, or NONE without any.
// RFC 5465 §3.1
type Notify struct {
	Set    bool
	Status bool // STATUS of the mailboxes is wanted first
	Groups []NotifyGroup
	// Unknown says that an event was named that there is not. RFC 5465 §3.1
	Unknown bool
}

// A NotifyGroup is the events wanted of some mailboxes.
type NotifyGroup struct {
	Filter    NotifyFilter
	Mailboxes []string // of NotifySubtree and NotifyMailboxes, as they were written
	Events    NotifyEvents
	Fetch     []FetchItem // of new messages, with NotifySelected only
}

// A NotifyFilter says which mailboxes a group is about. RFC 5465 §6
type NotifyFilter uint8

// The filters.
const (
	NotifySelected NotifyFilter = iota
	NotifySelectedDelayed
	NotifyInboxes
	NotifyPersonal
	NotifySubscribed
	NotifySubtree
	NotifyMailboxes
)

var notifyFilters = map[string]NotifyFilter{
	"SELECTED": NotifySelected, "SELECTED-DELAYED": NotifySelectedDelayed, "INBOXES": NotifyInboxes,
	"PERSONAL": NotifyPersonal, "SUBSCRIBED": NotifySubscribed, "SUBTREE": NotifySubtree, "MAILBOXES": NotifyMailboxes,
}

// NotifyEvents is a set of events; none for NONE. RFC 5465 §5
type NotifyEvents uint8

// The events.
const (
	NotifyNew NotifyEvents = 1 << iota
	NotifyExpunge
	NotifyFlags
	NotifyMailboxName
	NotifySubscription
	NotifyMailboxMetadata
	NotifyServerMetadata

	// NotifyMessages are those of messages.
	NotifyMessages = NotifyNew | NotifyExpunge | NotifyFlags
)

var notifyEvents = map[string]NotifyEvents{
	"MESSAGENEW": NotifyNew, "MESSAGEEXPUNGE": NotifyExpunge, "FLAGCHANGE": NotifyFlags,
	"MAILBOXNAME": NotifyMailboxName, "SUBSCRIPTIONCHANGE": NotifySubscription,
	"MAILBOXMETADATACHANGE": NotifyMailboxMetadata, "SERVERMETADATACHANGE": NotifyServerMetadata,
}

// NotifyEventNames lists the events for BADEVENT. RFC 5465 §8
const NotifyEventNames = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange"

// Limits of one NOTIFY.
const (
	maxNotifyGroups    = 100
	maxNotifyMailboxes = 20_000
)

func (c Notify) Name() string { return "NOTIFY" }

func parseNotify(s *scanner) Command {
	var c Notify
	s.sp()
	switch s.word() {
	case "NONE":
		return c
	case "SET":
		c.Set = true
	default:
		s.fail("expected SET or NONE")
	}
	s.sp()
	if s.peek() != '(' {
		if c.Status = s.word() == "STATUS"; !c.Status {
			s.fail("expected STATUS or an event group")
		}
		s.sp()
	}
	selected, names := false, 0
	for !s.failed() {
		g := s.notifyGroup(&c)
		if g.Filter <= NotifySelectedDelayed {
			if selected { // RFC 5465 §6.1
				s.fail("SELECTED twice")
			}
			selected = true
		}
		if names += len(g.Mailboxes); len(c.Groups) >= maxNotifyGroups || names > maxNotifyMailboxes {
			s.fail("too many event groups")
		}
		c.Groups = append(c.Groups, g)
		if !s.more(0) {
			break
		}
	}
	return c
}

// notifyGroup takes an event-group. RFC 5465 §8
func (s *scanner) notifyGroup(c *Notify) NotifyGroup {
	var g NotifyGroup
	s.expect('(')
	filter, ok := notifyFilters[s.word()]
	if !ok {
		s.fail("unknown mailbox filter")
		return g
	}
	g.Filter = filter
	if filter >= NotifySubtree {
		s.sp()
		if s.peek() == '(' {
			s.list(false, func() {
				if len(g.Mailboxes) > maxNotifyMailboxes {
					s.fail("too many mailboxes")
				}
				g.Mailboxes = append(g.Mailboxes, s.astring())
			})
		} else {
			g.Mailboxes = []string{s.astring()}
		}
	}
	s.sp()
	if s.peek() == '(' {
		s.list(false, func() { s.notifyEvent(c, &g) })
		s.spaces()
		s.expect(')')
	} else {
		// QUIRK: the examples of RFC 5465 have the events without their
		// parentheses.
		for !s.failed() {
			if i := s.i; s.word() == "NONE" {
				s.spaces()
				s.expect(')')
				break
			} else if s.err == nil {
				s.i = i
			}
			s.notifyEvent(c, &g)
			if !s.more(')') {
				break
			}
		}
	}
	s.checkEvents(&g)
	return g
}

func (s *scanner) notifyEvent(c *Notify, g *NotifyGroup) {
	name := s.word()
	event, known := notifyEvents[name]
	if s.err == nil && !known {
		c.Unknown = true
	}
	g.Events |= event
	if event != NotifyNew {
		return
	}
	i := s.i
	if !s.spaces() || s.peek() != '(' {
		s.i = i
		return
	}
	s.list(false, func() { s.fetchItem(&g.Fetch) })
}

// checkEvents refuses what RFC 5465 §5 and §6.1 do not permit.
func (s *scanner) checkEvents(g *NotifyGroup) {
	both := NotifyNew | NotifyExpunge
	switch {
	case g.Events&both != 0 && g.Events&both != both:
		s.fail("MessageNew and MessageExpunge belong together")
	case g.Events&NotifyFlags != 0 && g.Events&both == 0:
		s.fail("FlagChange needs MessageNew and MessageExpunge")
	case g.Filter <= NotifySelectedDelayed && g.Events&^NotifyMessages != 0:
		s.fail("only events of messages happen in the selected mailbox")
	case g.Filter > NotifySelectedDelayed && len(g.Fetch) > 0:
		s.fail("items are for the selected mailbox only")
	}
}

// IsBelow tells whether a mailbox stands below another.
func IsBelow(name, parent string) bool {
	return len(name) > len(parent) && name[len(parent)] == Delimiter && strings.HasPrefix(name, parent)
}
