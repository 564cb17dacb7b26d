package sasl

import (
	"bytes"
	"context"
	"fmt"
	"unicode/utf8"
)

// plain is the PLAIN mechanism. RFC 4616
type plain struct {
	peer     Peer
	backend  Backend
	identity Identity
	asked    bool
	ended    bool
}

func (p *plain) Identity() Identity { return p.identity }

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if p.ended {
		return nil, false, fmt.Errorf("%w: the exchange has ended", ErrMalformed)
	}
	if response == nil && !p.asked { // no initial response: an empty challenge asks for it
		p.asked = true
		return []byte{}, false, nil
	}
	p.ended = true
	authzid, user, password, err := parsePlain(response)
	if err != nil {
		return nil, false, err
	}
	id, err := p.backend.Password(ctx, p.peer, authzid, user, password)
	if err != nil {
		return nil, false, err
	}
	id.Mechanism = Plain
	p.identity = id
	return nil, true, nil
}

// parsePlain takes apart message = [authzid] NUL authcid NUL passwd, and
// prepares the strings as RFC 4616 §2 says.
func parsePlain(message []byte) (authzid, user, password string, err error) {
	if len(message) > MaxMessage || !utf8.Valid(message) {
		return "", "", "", fmt.Errorf("%w: too long or not UTF-8", ErrMalformed)
	}
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return "", "", "", fmt.Errorf("%w: not authzid NUL authcid NUL passwd", ErrMalformed)
	}
	if authzid, err = prepareName(parts[0]); err != nil {
		return "", "", "", err
	}
	user, password, err = prepareLogin(parts[1], parts[2])
	return authzid, user, password, err
}

// prepareLogin prepares a user and a password. Strings that preparation
// refuses fail as wrong ones do. RFC 4616 §2
func prepareLogin(rawUser, rawPassword []byte) (user, password string, err error) {
	if user, err = prepareName(rawUser); err != nil {
		return "", "", err
	}
	if user == "" {
		return "", "", fmt.Errorf("%w: user is empty", ErrCredentials)
	}
	if password, err = Prepare(string(rawPassword)); err != nil || password == "" {
		return "", "", fmt.Errorf("%w: password can not be prepared", ErrCredentials)
	}
	return user, password, nil
}

func prepareName(raw []byte) (string, error) {
	name, err := Prepare(string(raw))
	if err != nil {
		return "", fmt.Errorf("%w: name can not be prepared", ErrCredentials)
	}
	return name, nil
}
