package pop3server

import (
	"strconv"

	"waxwing/obs"
	"waxwing/proto/pop3"
)

// index gives the message with a message-number, or refuses one that there is
// not or that is marked as deleted. RFC 1939 §5
func (d *maildrop) index(number int) (int, error) {
	i := number - 1
	switch {
	case i < 0 || i >= d.session.Len():
		return 0, &pop3.Refusal{Phrase: pop3.NoSuchMessage, Args: []any{d.session.Len()}}
	case d.deleted.has(i):
		return 0, &pop3.Refusal{Phrase: pop3.AlreadyDeleted, Args: []any{number}}
	}
	return i, nil
}

// stat is STAT. RFC 1939 §5
func (c *conn) stat(pop3.Command) {
	c.out.line("+OK " + strconv.Itoa(c.drop.count) + " " + strconv.FormatInt(int64(c.drop.size), 10))
}

// list is LIST. RFC 1939 §5
func (c *conn) list(cmd pop3.Command) {
	appendSize := func(b []byte, i int) []byte {
		return strconv.AppendInt(b, int64(c.drop.session.Size(i)), 10)
	}
	c.listing(cmd, appendSize, func() { c.ok(pop3.ScanListing, c.drop.count, int64(c.drop.size)) })
}

// uidl is UIDL. RFC 1939 §7
func (c *conn) uidl(cmd pop3.Command) {
	c.listing(cmd, c.drop.session.AppendUniqueID, func() { c.ok(pop3.UniqueIDs) })
}

// listing tells something of one message or of all that are not marked as
// deleted.
func (c *conn) listing(cmd pop3.Command, appendTo func([]byte, int) []byte, begin func()) {
	line := make([]byte, 0, 96)
	appendLine := func(i int) {
		line = append(strconv.AppendInt(line, int64(i+1), 10), ' ')
		line = append(appendTo(line, i), '\r', '\n')
		_, _ = c.out.Write(line) // the error stays in c.out
		line = line[:0]
	}
	if cmd.Single {
		i, err := c.drop.index(cmd.Message)
		if err != nil {
			c.blame(err)
			return
		}
		line = append(line, "+OK "...)
		appendLine(i)
		return
	}
	begin()
	for i := range c.drop.session.Len() {
		if !c.drop.deleted.has(i) {
			appendLine(i)
		}
	}
	c.out.line(".")
}

// retrieve is RETR. RFC 1939 §5
func (c *conn) retrieve(cmd pop3.Command) {
	if i, sent := c.send(cmd, -1); sent {
		c.drop.retrieved.set(i)
	}
}

// top is TOP. RFC 1939 §7
func (c *conn) top(cmd pop3.Command) { c.send(cmd, cmd.Lines) }

// send sends a message or, with lines >= 0, the top of it.
func (c *conn) send(cmd pop3.Command, lines int) (i int, sent bool) {
	i, err := c.drop.index(cmd.Message)
	if err != nil {
		c.blame(err)
		return 0, false
	}
	m, err := c.drop.session.Open(c.work, i, c.utf8)
	if err != nil {
		c.refuse(err)
		return 0, false
	}
	if lines >= 0 {
		c.ok(pop3.TopFollows)
	} else {
		c.ok(pop3.Octets, int64(m.Size()))
	}
	err = copyMessage(&c.out, m, m.Size(), lines)
	if errClose := m.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		// There is no way to take back what has been sent; a connection that
		// breaks off is not mistaken for the end of the message.
		if c.out.err == nil {
			c.info.Log.Error("message cannot be read", "message", cmd.Message, obs.Err, err)
		}
		c.ending = true
		return 0, false
	}
	c.out.line(".")
	return i, true
}

// dele is DELE: the message is only marked. RFC 1939 §5
func (c *conn) dele(cmd pop3.Command) {
	i, err := c.drop.index(cmd.Message)
	if err != nil {
		c.blame(err)
		return
	}
	c.drop.delete(i)
	c.ok(pop3.MarkedDeleted, cmd.Message)
}

// reset is RSET. RFC 1939 §5
func (c *conn) reset(pop3.Command) {
	c.drop.restore()
	c.ok(pop3.Maildrop, c.drop.count, int64(c.drop.size))
}
