package smtpclient

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// Errors of Auth that come before anything is sent.
var (
	ErrNoMechanism = errors.New("the server offers no authentication mechanism that we know")
	ErrPlaintext   = errors.New("the password would travel without TLS")
)

// Auth logs in with PLAIN (RFC 4616) or, where that is not offered, LOGIN.
// It does so only under TLS. RFC 4954 §4
func (c *Client) Auth(ctx context.Context, user, password string) error {
	if c.tls == nil {
		return ErrPlaintext
	}
	offered := strings.Fields(strings.ToUpper(c.offers["AUTH"]))
	encode := base64.StdEncoding.EncodeToString
	switch {
	case slices.Contains(offered, "PLAIN"):
		_, err := c.command(ctx, "AUTH", "AUTH PLAIN "+encode([]byte("\x00"+user+"\x00"+password)), commandTimeout, 2)
		return err
	case slices.Contains(offered, "LOGIN"):
		if _, err := c.command(ctx, "AUTH", "AUTH LOGIN", commandTimeout, 3); err != nil {
			return err
		}
		if _, err := c.command(ctx, "AUTH", encode([]byte(user)), commandTimeout, 3); err != nil {
			return err
		}
		_, err := c.command(ctx, "AUTH", encode([]byte(password)), commandTimeout, 2)
		return err
	}
	return ErrNoMechanism
}
