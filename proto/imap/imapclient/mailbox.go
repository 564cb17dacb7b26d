package imapclient

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
)

// Listed is a mailbox of the server.
type Listed struct {
	Raw        string // its name as the server has it
	Levels     []string
	Role       mail.Role // of RFC 6154
	NoSelect   bool      // only a name
	Subscribed bool
}

// maxMailboxes bounds what LIST may bring.
const maxMailboxes = 100_000

// List lists all mailboxes of the user. What stands before all of them, as
// "INBOX." at Courier and Cyrus, is left out of their levels.
func (c *Client) List(ctx context.Context) ([]Listed, error) {
	prefix := ""
	if c.Has("NAMESPACE") {
		_, err := c.command(ctx, "NAMESPACE", func(r *response) error {
			if r.word == "NAMESPACE" {
				prefix = personal(r.values)
			}
			return nil
		})
		if err != nil && c.broken != nil {
			return nil, err
		}
	}
	c.prefix = prefix
	command := `LIST "" "*"`
	extended := c.Has("LIST-EXTENDED") || c.Has("IMAP4REV2")
	if extended {
		command += " RETURN (SUBSCRIBED"
		if c.Has("SPECIAL-USE") || c.Has("IMAP4REV2") {
			command += " SPECIAL-USE"
		}
		command += ")"
	}
	list, err := c.list(ctx, command, prefix)
	if err != nil {
		return nil, err
	}
	if !extended {
		subscribed, err := c.list(ctx, `LSUB "" "*"`, prefix)
		if err != nil && c.broken != nil {
			return nil, err
		}
		is := map[string]bool{}
		for _, l := range subscribed {
			is[l.Raw] = true
		}
		for i := range list {
			list[i].Subscribed = is[list[i].Raw]
		}
	}
	return list, nil
}

// personal gives the prefix of the first personal namespace. RFC 2342 §5
func personal(values []value) string {
	if len(values) > 0 && len(values[0].list) > 0 && len(values[0].list[0].list) > 0 {
		return values[0].list[0].list[0].text
	}
	return ""
}

func (c *Client) list(ctx context.Context, command, prefix string) ([]Listed, error) {
	var list []Listed
	seen := map[string]bool{}
	_, err := c.command(ctx, command, func(r *response) error {
		if r.word != "LIST" && r.word != "LSUB" || len(r.values) < 3 {
			return nil
		}
		l := Listed{Raw: r.values[2].text}
		if seen[l.Raw] {
			return nil
		}
		if len(list) >= maxMailboxes {
			return errors.New("there is no end of mailboxes")
		}
		seen[l.Raw] = true
		if c.separator == "" {
			c.separator = r.values[1].text // NIL is ""
		}
		gone := false
		for _, v := range r.values[0].list {
			switch strings.ToLower(v.text) {
			case `\noselect`:
				l.NoSelect = true
			case `\nonexistent`:
				l.NoSelect, gone = true, true
			case `\subscribed`:
				l.Subscribed = true
			default:
				if role, ok := imap.AttributeRole(v.text); ok {
					l.Role = role
				}
			}
		}
		if gone && !l.Subscribed {
			return nil
		}
		l.Levels = c.levels(l.Raw, r.values[1].text, prefix)
		list = append(list, l)
		return nil
	})
	return list, err
}

// levels takes a name apart. What cannot be decoded stays as it is.
func (c *Client) levels(raw, separator, prefix string) []string {
	if !strings.EqualFold(raw, imap.Inbox) && prefix != "" && len(raw) > len(prefix) && strings.EqualFold(raw[:len(prefix)], prefix) {
		raw = raw[len(prefix):]
	}
	levels := []string{raw}
	if separator != "" {
		levels = strings.Split(raw, separator)
	}
	for i, level := range levels {
		if name, err := imap.DecodeMailbox(level, c.utf8); err == nil {
			levels[i] = name
		}
	}
	return levels
}

// Opened is a mailbox that was opened.
type Opened struct {
	UIDValidity mail.UIDValidity
	Messages    int
	Permanent   []string // flags that can be set for good; nil if the server has not said
}

// Examine opens a mailbox for reading: nothing is changed in it, not even what
// is recent. RFC 9051 §6.3.3
func (c *Client) Examine(ctx context.Context, raw string) (Opened, error) {
	return c.open(ctx, "EXAMINE", raw)
}

func (c *Client) open(ctx context.Context, command, raw string) (Opened, error) {
	var e Opened
	_, err := c.command(ctx, command+" "+quote(raw), func(r *response) error {
		if r.word == "EXISTS" {
			e.Messages = int(r.number)
		}
		if r.code == "PERMANENTFLAGS" { // RFC 9051 §7.1
			e.Permanent = strings.Fields(strings.Trim(r.argument, "()"))
		}
		if r.code == "UIDVALIDITY" {
			if n, err := strconv.ParseUint(r.argument, 10, 32); err == nil {
				e.UIDValidity = mail.UIDValidity(n)
			}
		}
		return nil
	})
	return e, err
}

// quote writes a string that has no line ends.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "", "\x00", "").Replace(s) + `"`
}
