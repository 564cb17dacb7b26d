package app

import (
	"context"
	"errors"
	"io"
	"os"

	"waxwing/app/config"
	"waxwing/serve/adminapi"
)

// Verify checks the stores of a server that does not run; see API.Verify.
func Verify(ctx context.Context, c config.Config, request adminapi.VerifyRequest, logTo io.Writer, tell func(adminapi.VerifyEvent)) (err error) {
	if _, err := os.Stat(c.Data); err != nil {
		return err
	}
	c.Log.Level = "error"
	log, _, _ := newLog(logTo, c.Log)
	s, err := openStores(c, Options{Reading: true}, memoryOf(os.DirFS("/")), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(), own(c, c.Data)) }()
	api := adminapi.New(adminapi.Options{Directory: s.directory, Mailboxes: s.mailboxes, Index: s.index, Queue: s.queue, Log: log})
	return api.Verify(ctx, request, tell)
}
