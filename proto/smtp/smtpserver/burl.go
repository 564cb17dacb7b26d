package smtpserver

import (
	"context"
	"errors"
	"io"

	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
)

// A Fetcher resolves IMAP URLs with URLAUTH for those who have logged in.
// RFC 4468 §3.3
type Fetcher interface {
	// Fetch opens what a URL names, in the name of who. It refuses a
	// "submit+" URL that is not for that user. Errors are *smtp.Refusal, as
	// RFC 4468 §6 lists them, or something else for 554 5.6.6.
	Fetch(ctx context.Context, who sasl.Identity, url string) (io.ReadCloser, error)
}

// burl takes a message of which a piece is fetched. RFC 4468 §3.2
func (c *conn) burl(ctx context.Context, cmd smtp.Command) {
	switch {
	case c.options.Fetch == nil:
		c.refuse(notImplemented)
	case c.info.Identity == nil:
		c.refuse(refuse(530, 5, 7, 0, "Authentication required"))
	default:
		c.chunked(ctx, cmd)
	}
}

func (c *conn) fetch(ctx context.Context, b smtp.Burl) (io.ReadCloser, error) {
	r, err := c.options.Fetch.Fetch(ctx, *c.info.Identity, b.URL)
	if err != nil {
		return nil, urlFailed(err)
	}
	return r, nil
}

// urlFailed says that a URL has led to nothing. RFC 4468 §6
func urlFailed(err error) error {
	var r *smtp.Refusal
	if errors.As(err, &r) {
		return err
	}
	return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 6, 6}, Text: "IMAP URL resolution failed", Err: err}
}
