package relay

import (
	"context"
	"time"

	"waxwing/mail"
)

// sender gives the reverse-path for other hosts: what our own users send may
// carry a tag by which its bounces are known. It is made anew for each try, so
// that it does not expire while the message waits here.
func (a *attempt) sender(ctx context.Context, from mail.Address) (mail.Address, error) {
	if a.item.Origin.Service != "submission" {
		return from, nil
	}
	return a.deliverer.Sender(ctx, time.Now(), from)
}
