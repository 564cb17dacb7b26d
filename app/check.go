package app

import (
	"fmt"
	"log/slog"
	"os"

	"waxwing/app/certs"
	"waxwing/app/config"
	"waxwing/app/confine"
)

// Check reads a configuration file as Serve does, and says all that is wrong
// with it; also, if it is well-formed, which of the files and the user that it
// names would not do. It changes nothing.
func Check(file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	found := config.Problems{File: file}
	note := func(key string, err error) {
		if err != nil {
			found.List = append(found.List, config.Problem{Key: key, Text: err.Error()})
		}
	}
	if c.User != "" {
		note("user", confine.Known(c.User))
	}
	for i, pair := range pairsOf(c.TLS.Files) {
		_, err := certs.OpenFiles([]certs.Pair{pair}, slog.New(slog.DiscardHandler))
		note(fmt.Sprintf("tls.files[%d]", i), err)
	}
	if c.TLS.ACME.Roots != "" {
		_, err := os.ReadFile(c.TLS.ACME.Roots)
		note("tls.acme.roots", err)
	}
	if len(found.List) > 0 {
		return &found
	}
	return nil
}
