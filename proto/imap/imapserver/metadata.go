package imapserver

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"waxwing/proto/imap"
)

// Annotations is what an Account keeps beside its mailboxes.
type Annotations interface {
	// Annotations gives those of a mailbox that the user may see, by name;
	// of the server where mailbox is empty.
	Annotations(ctx context.Context, mailbox string) ([]imap.MetadataEntry, error)
	// Annotate sets annotations, all or none; those with a nil value go.
	// Refusals have the codes of RFC 5464 §4.3.
	Annotate(ctx context.Context, mailbox string, list []imap.MetadataEntry) error
}

// metadataName reads the name of a mailbox, which may be empty.
func (c *conn) metadataName(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	return c.mailboxName(raw)
}

// getMetadata is GETMETADATA. RFC 5464 §4.2
func (c *conn) getMetadata(ctx context.Context, cmd imap.GetMetadata) (reply, error) {
	name, err := c.metadataName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	all, err := c.account.Annotations(ctx, name)
	if err != nil {
		return reply{}, err
	}
	longest := 0 // of those that are too long
	var list []imap.MetadataEntry
	for _, e := range all {
		switch {
		case !askedFor(e.Name, cmd.Entries, cmd.Depth):
		case cmd.MaxSize >= 0 && int64(len(e.Value)) > cmd.MaxSize:
			longest = max(longest, len(e.Value))
		default:
			list = append(list, e)
		}
	}
	if cmd.Depth == imap.DepthZero && longest == 0 {
		list = withMissing(list, cmd.Entries)
	}
	c.tellMetadata(name, list)
	if longest > 0 { // RFC 5464 §4.2.1
		return reply{code: "METADATA LONGENTRIES " + strconv.Itoa(longest)}, nil
	}
	return reply{}, nil
}

// askedFor tells whether an entry is one of those named, or not too far below
// one. RFC 5464 §4.2.2
func askedFor(name string, entries []string, depth imap.Depth) bool {
	for _, e := range entries {
		below, ok := strings.CutPrefix(name, e)
		switch {
		case !ok || below != "" && below[0] != '/':
		case below == "", depth == imap.DepthInfinity, depth == imap.DepthOne && strings.Count(below, "/") == 1:
			return true
		}
	}
	return false
}

// chosen gives the entries that are named, those that are not there with NIL.
func chosen(all []imap.MetadataEntry, names []string) []imap.MetadataEntry {
	var list []imap.MetadataEntry
	for _, e := range all {
		if askedFor(e.Name, names, imap.DepthZero) {
			list = append(list, e)
		}
	}
	return withMissing(list, names)
}

// withMissing adds the entries that were asked for by name and are not there.
// RFC 5464 §4.2 requires an answer, and clients look for each name in it.
func withMissing(list []imap.MetadataEntry, entries []string) []imap.MetadataEntry {
	have := make(map[string]bool, len(list))
	for _, e := range list {
		have[e.Name] = true
	}
	for _, name := range entries {
		if !have[name] {
			have[name] = true
			list = append(list, imap.MetadataEntry{Name: name})
		}
	}
	return list
}

// tellMetadata writes a METADATA response with values. RFC 5464 §4.4.1
func (c *conn) tellMetadata(mailbox string, list []imap.MetadataEntry) {
	if len(list) == 0 {
		return
	}
	c.out.begin()
	b := append(c.out.b, "* METADATA "...)
	if mailbox == "" {
		b = append(b, `""`...)
	} else {
		b = imap.AppendMailbox(b, mailbox, c.utf8)
	}
	for i, e := range list {
		if i == 0 {
			b = append(b, " ("...)
		} else {
			b = append(b, ' ')
		}
		b = append(imap.AppendAString(b, e.Name, c.utf8), ' ')
		switch {
		case e.Value == nil:
			b = append(b, "NIL"...)
		case bytes.IndexByte(e.Value, 0) >= 0: // only a literal8 can hold it
			b = append(imap.AppendLiteralSize(append(b, '~'), int64(len(e.Value))), e.Value...)
		default:
			b = imap.AppendString(b, string(e.Value), c.utf8)
		}
	}
	c.out.b = append(b, ")\r\n"...)
	_ = c.out.room() // the failure sticks
}

// setMetadata is SETMETADATA. RFC 5464 §4.3
func (c *conn) setMetadata(ctx context.Context, cmd imap.SetMetadata) (reply, error) {
	name, err := c.metadataName(cmd.Mailbox)
	if err != nil {
		return reply{}, err
	}
	c.did(deed{noted: &cmd, notedIn: name})
	return reply{}, c.account.Annotate(ctx, name, cmd.Entries)
}
