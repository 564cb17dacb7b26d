package submit

import (
	"context"
	"errors"
	"strings"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/store/directory"
)

// Verify tells a user whether an address exists. Who has no domain is looked
// for in the user's own. RFC 5321 §3.5.1
func (s *Submitter) Verify(ctx context.Context, who sasl.Identity, address string) (smtp.Reply, error) {
	a, err := s.named(who, address)
	if err != nil {
		return smtp.Reply{}, err
	}
	_, err = s.directory.Resolve(ctx, a)
	switch {
	case err == nil:
		return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 1, 5}, Text: "<" + a.String() + ">"}, nil
	case errors.Is(err, directory.ErrNotLocal):
		return smtp.Reply{
			Code: 252, Enhanced: smtp.Enhanced{2, 0, 0},
			Text: "<" + a.String() + "> is elsewhere: send some mail and it will be attempted",
		}, nil
	}
	return smtp.Reply{}, s.unknown(err)
}

// Expand tells a user which addresses are behind an alias. RFC 5321 §3.5.2
func (s *Submitter) Expand(ctx context.Context, who sasl.Identity, list string) (smtp.Reply, error) {
	a, err := s.named(who, list)
	if err != nil {
		return smtp.Reply{}, err
	}
	route, err := s.directory.Resolve(ctx, a)
	if err != nil {
		return smtp.Reply{}, s.unknown(err)
	}
	var lines []string
	for _, target := range route.Accounts {
		lines = append(lines, "<"+target.Address.String()+">")
	}
	for _, forward := range route.Forwards {
		lines = append(lines, "<"+forward.String()+">")
	}
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 1, 5}, Text: strings.Join(lines, "\n")}, nil
}

// named reads what people type after VRFY and EXPN.
func (s *Submitter) named(who sasl.Identity, text string) (mail.Address, error) {
	text = strings.TrimSpace(text)
	text = strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
	if !strings.Contains(text, "@") {
		text += "@" + who.Login.Domain
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, &smtp.Refusal{Code: 553, Enhanced: smtp.Enhanced{5, 1, 3}, Text: "not an address", Err: err}
	}
	return a, nil
}

func (s *Submitter) unknown(err error) error {
	if errors.Is(err, directory.ErrNoUser) || errors.Is(err, directory.ErrNotLocal) {
		return &smtp.Refusal{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "no such user here"}
	}
	return &smtp.Refusal{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "cannot look that up just now", Err: err}
}
