package imapserver

import (
	"slices"

	"waxwing/proto/imap"
)

// A deed is what a command of this session has done to mailboxes, of which
// NOTIFY does not tell it as well. RFC 5465 §5
type deed struct {
	made, gone string // CREATE, DELETE
	from, to   string // RENAME
	subscribed string
	on         bool // or not any more
	noted      *imap.SetMetadata
	notedIn    string // the name of its mailbox
}

// did notes what the command that is being run has done.
func (c *conn) did(d deed) {
	if c.notifying != nil {
		c.notifying.deed = d
	}
}

// is tells whether what has happened to the name of a mailbox, or to its
// subscription, is the deed. Levels above come and go with what is below them.
func (d *deed) is(n *News) bool {
	name := n.Status.Name
	switch {
	case name == "":
		return false
	case n.Deleted:
		return d.gone == name || imap.IsBelow(d.gone, name)
	case n.Created:
		return d.made == name || imap.IsBelow(d.made, name) || d.to == name || imap.IsBelow(d.to, name)
	case n.Before != "":
		return d.from == n.Before && d.to == name
	}
	return n.Changed && d.subscribed == name && d.on == n.Subscribed
}

// left gives the annotations that have changed, without those of the deed.
func (d *deed) left(n *News) []string {
	if d.noted == nil || d.notedIn != n.Status.Name {
		return n.Noted
	}
	return slices.DeleteFunc(slices.Clone(n.Noted), func(name string) bool {
		return slices.ContainsFunc(d.noted.Entries, func(e imap.MetadataEntry) bool { return e.Name == name })
	})
}
