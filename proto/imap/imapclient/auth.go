package imapclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
)

// ErrNoMechanism says that the server offers no way to log in that we know.
var ErrNoMechanism = errors.New("the server offers no way to log in that we know")

// Login proves who we are with a password: by SCRAM-SHA-256 (RFC 7677), PLAIN
// (RFC 4616) or the LOGIN command, as the server offers it. Whether the
// connection is one that a password may travel on is for the caller to know.
func (c *Client) Login(ctx context.Context, user, password string) error {
	if c.preauth {
		return c.settle(ctx)
	}
	if err := c.capability(ctx); err != nil {
		return err
	}
	var err error
	switch {
	case c.Has("AUTH=SCRAM-SHA-256"):
		var client *scram.Client
		if client, err = scram.SHA256.NewClient(user, password, ""); err != nil {
			return fmt.Errorf("user and password: %w", err)
		}
		talk := client.NewConversation()
		err = c.authenticate(ctx, "SCRAM-SHA-256", func(challenge []byte) ([]byte, error) {
			if challenge == nil || !talk.Done() {
				answer, err := talk.Step(string(challenge))
				return []byte(answer), err
			}
			return []byte{}, nil
		})
		if err == nil && !talk.Valid() { // RFC 5802 §3: the server has to know the password, too
			err = c.lost(ctx, "SCRAM-SHA-256", errors.New("the server has not proved that it knows the password"))
		}
	case c.Has("AUTH=PLAIN"):
		err = c.authenticate(ctx, "PLAIN", once([]byte("\x00"+user+"\x00"+password)))
	case !c.Has("LOGINDISABLED"):
		err = c.login(ctx, user, password)
	default:
		err = ErrNoMechanism
	}
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

// LoginToken proves who we are with an OAuth 2.0 access token: OAUTHBEARER (RFC
// 7628) or XOAUTH2, which Google and Microsoft have.
func (c *Client) LoginToken(ctx context.Context, user, token string) error {
	if err := c.capability(ctx); err != nil {
		return err
	}
	var err error
	switch {
	case c.Has("AUTH=XOAUTH2"):
		err = c.authenticate(ctx, "XOAUTH2", once([]byte("user="+user+"\x01auth=Bearer "+token+"\x01\x01")))
	case c.Has("AUTH=OAUTHBEARER"):
		escaped := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user)
		err = c.authenticate(ctx, "OAUTHBEARER", once([]byte("n,a="+escaped+",\x01auth=Bearer "+token+"\x01\x01")))
	default:
		err = ErrNoMechanism
	}
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

// once says one thing, and nothing to what follows: an error in base64, which
// wants an empty answer before the NO. RFC 7628 §3.2.3
func once(answer []byte) func([]byte) ([]byte, error) {
	said := false
	return func([]byte) ([]byte, error) {
		if said {
			return []byte{}, nil
		}
		said = true
		return answer, nil
	}
}

// authenticate runs a SASL exchange in which the client begins. RFC 9051 §6.2.2
func (c *Client) authenticate(ctx context.Context, mechanism string, step func(challenge []byte) ([]byte, error)) error {
	if c.broken != nil {
		return c.broken
	}
	defer c.watch(ctx)()
	encode := base64.StdEncoding.EncodeToString
	text := "AUTHENTICATE " + mechanism
	begun := c.Has("SASL-IR")
	if begun {
		first, err := step(nil)
		if err != nil {
			return err
		}
		text += " " + encode(first) // RFC 4959 §3
	}
	tag := c.begin(text)
	known := c.caps
	c.caps = nil // others after the login
	const mostSteps = 8
	for range mostSteps {
		if err := c.flush(); err != nil {
			return c.lost(ctx, "AUTHENTICATE", err)
		}
		r, err := c.await(ctx, "AUTHENTICATE", tag, nil, nil)
		if err != nil {
			if c.broken == nil {
				c.caps = known
			}
			return err
		}
		if r.tag != "+" {
			return nil
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.text))
		if err != nil && begun {
			return c.lost(ctx, "AUTHENTICATE", err)
		}
		if !begun {
			challenge, begun = nil, true
		}
		answer, err := step(challenge)
		if err != nil {
			return c.lost(ctx, "AUTHENTICATE", err)
		}
		_, _ = c.out.WriteString(encode(answer) + "\r\n")
	}
	return c.lost(ctx, "AUTHENTICATE", errors.New("the exchange has no end"))
}

// login is the LOGIN command. What cannot be quoted goes as a literal. RFC 9051
// §6.2.3
func (c *Client) login(ctx context.Context, user, password string) error {
	defer c.watch(ctx)()
	known := c.caps
	c.caps = nil
	c.tags++
	tag := fmt.Sprint("W", c.tags)
	_, _ = c.out.WriteString(tag + " LOGIN")
	for _, s := range []string{user, password} {
		_ = c.out.WriteByte(' ')
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			fmt.Fprintf(c.out, "{%d}\r\n", len(s))
			if err := c.flush(); err != nil {
				return c.lost(ctx, "LOGIN", err)
			}
			if r, err := c.await(ctx, "LOGIN", tag, nil, nil); err != nil {
				return err
			} else if r.tag != "+" {
				return c.lost(ctx, "LOGIN", errors.New("an answer before the question"))
			}
			_, _ = c.out.WriteString(s)
			continue
		}
		_, _ = c.out.WriteString(quote(s))
	}
	_, _ = c.out.WriteString("\r\n")
	if err := c.flush(); err != nil {
		return c.lost(ctx, "LOGIN", err)
	}
	_, err := c.await(ctx, "LOGIN", tag, nil, nil)
	if err != nil && c.broken == nil {
		c.caps = known
	}
	return err
}
