package imapserver

import (
	"context"
	"slices"

	"waxwing/obs"
	"waxwing/proto/imap"
)

// noop is NOOP and CHECK: the news of the mailbox is what they are for.
// RFC 9051 §6.1.2, RFC 3501 §6.4.1
func (c *conn) noop(context.Context, imap.Bare) (reply, error) { return reply{}, nil }

// logout is LOGOUT. RFC 9051 §6.1.3
func (c *conn) logout(context.Context, imap.Bare) (reply, error) {
	c.remark("BYE", "", "Logging out")
	c.deselect()
	c.ending = true
	return reply{}, nil
}

// id is ID. RFC 2971 §3
func (c *conn) id(_ context.Context, cmd imap.ID) (reply, error) {
	if len(cmd.Fields) > 0 && c.account != nil {
		var name, version string
		for _, f := range cmd.Fields {
			switch f.Name {
			case "name":
				name = f.Value
			case "version":
				version = f.Value
			}
		}
		c.info.Log.Info("client identified", "name", name, "version", version)
	}
	c.out.begin()
	c.out.b = append(c.out.b, `* ID ("name" "Waxwing"`...)
	if v := c.server.options.Version; v != "" && c.account != nil {
		c.out.b = append(c.out.b, ` "version" `...)
		c.out.b = imap.AppendString(c.out.b, v, false)
	}
	c.out.b = append(c.out.b, ")\r\n"...)
	return reply{}, nil
}

// enable is ENABLE. RFC 9051 §6.3.1
func (c *conn) enable(_ context.Context, cmd imap.Enable) (reply, error) {
	list := ""
	add := func(name string, on *bool) {
		if !*on {
			*on = true
			list += " " + name
		}
	}
	aware := false
	for i, name := range cmd.Capabilities {
		switch name {
		case "IMAP4REV2":
			// It includes what UTF8=ACCEPT is about. RFC 9051 §5.1
			add("IMAP4rev2", &c.rev2)
			c.utf8 = true
		case "UTF8=ACCEPT":
			add(name, &c.utf8) // RFC 6855 §3
		case "CONDSTORE", "QRESYNC": // RFC 7162 §3.2.3
			if name == "QRESYNC" {
				add(name, &c.qresync)
			} else if !slices.Contains(cmd.Capabilities[:i], name) {
				list += " CONDSTORE"
			}
			aware = true
		case "UIDONLY":
			add(name, &c.uidOnly) // RFC 9586 §3
			if c.view != nil {
				c.view.followByUID()
			}
		}
	}
	c.out.line("* ENABLED%s", list)
	if aware {
		c.useModSeq()
	}
	c.info.Log.Debug("enabled", obs.Reply, list)
	return reply{}, nil
}
