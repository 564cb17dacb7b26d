package sasl

import (
	"bytes"
	"context"
	"fmt"
)

// login is the LOGIN mechanism, which has no RFC but many clients: two
// prompts, two answers. An initial response is the user.
// draft-murchison-sasl-login-00 §2.1
type login struct {
	peer     Peer
	backend  Backend
	identity Identity
	asked    bool
	user     []byte
	ended    bool
}

func (l *login) Identity() Identity { return l.identity }

func (l *login) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case l.ended:
		return nil, false, fmt.Errorf("%w: the exchange has ended", ErrMalformed)
	case response == nil && !l.asked:
		l.asked = true
		// QUIRK: clients compare the prompts; the draft's "User Name" would
		// confuse them.
		return []byte("Username:"), false, nil
	case len(response) > MaxMessage/2 || bytes.IndexByte(response, 0) >= 0:
		l.ended = true
		return nil, false, fmt.Errorf("%w: too long or holds NUL", ErrMalformed)
	case l.user == nil:
		if len(response) == 0 {
			l.ended = true
			return nil, false, fmt.Errorf("%w: user is empty", ErrMalformed)
		}
		l.user = bytes.Clone(response)
		return []byte("Password:"), false, nil
	}
	l.ended = true
	user, password, err := prepareLogin(l.user, response)
	if err != nil {
		return nil, false, err
	}
	id, err := l.backend.Password(ctx, l.peer, "", user, password)
	if err != nil {
		return nil, false, err
	}
	id.Mechanism = Login
	l.identity = id
	return nil, true, nil
}
