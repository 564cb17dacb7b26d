package imap

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/store/directory"
)

// The owner of an account whose mail is on another server, by
// directory.SettingMoved, and who shares its mailboxes are told where to go.
// RFC 2221, RFC 2193

// referral is the URL of a mailbox of an account elsewhere, or of the account
// itself where mailbox is empty. RFC 5092, RFC 2221 §4.1
func referral(who mail.Address, host, mailbox string) string {
	// ";", which begins a parameter, and "/" are not for a user's name.
	user := strings.NewReplacer(";", "%3B", "/", "%2F", "&", "%26", "=", "%3D").Replace(url.PathEscape(who.String()))
	u := "imap://" + user + ";AUTH=*@" + host + "/"
	for i, level := range strings.Split(mailbox, "/") {
		if i > 0 {
			u += "/"
		}
		u += url.PathEscape(level)
	}
	return u
}

// movedAway refers the owner of an account to where it has gone. RFC 2221 §4
func (a *account) movedAway(ctx context.Context) error {
	if a.door.people == nil {
		return nil
	}
	own, err := a.door.people.Account(ctx, a.account.ID())
	if errors.Is(err, directory.ErrNotFound) {
		return nil // the store says what that means
	}
	if err != nil {
		return err
	}
	if host := own.Settings[directory.SettingMoved]; host != "" {
		return &imap.Refusal{Code: "REFERRAL " + referral(own.Address, host, ""), Text: "The account is on another server"}
	}
	return nil
}

// moved turns a refusal of a mailbox whose account has gone elsewhere into a
// referral. RFC 2193 §4
func (a *account) moved(p *place, otherwise error) error {
	if p.owner == nil {
		return otherwise
	}
	host := p.owner.Settings[directory.SettingMoved]
	if host == "" || !p.neighbour {
		return otherwise
	}
	return &imap.Refusal{Code: "REFERRAL " + referral(a.who.Login, host, p.name), Text: "The mailbox is on another server"}
}
