package smtpserver

import (
	"bytes"
	"errors"

	"waxwing/proto/smtp"
)

// overheard lets the Session hear of a MAIL or RCPT that cannot be read.
func (c *conn) overheard(line []byte, err error) {
	refusal, ok := errors.AsType[*smtp.Refusal](err)
	verb, _, _ := bytes.Cut(line, []byte(" "))
	switch {
	case !ok:
	case bytes.EqualFold(verb, []byte("MAIL")):
		c.declined(smtp.Mail{}, refusal)
	case bytes.EqualFold(verb, []byte("RCPT")):
		c.declined(smtp.Rcpt{}, refusal)
	}
}

// declined lets the Session hear of what is refused without asking it.
func (c *conn) declined(cmd smtp.Command, why *smtp.Refusal) {
	if b, ok := c.session.(Bystander); ok && !c.refused {
		b.Declined(cmd, why)
	}
}
