package app

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/app/config"
	"waxwing/serve/adminapi"
)

// A directory without a store is not taken for an empty store: neither a check
// nor a backup makes one.
func TestNoStore(t *testing.T) {
	c := config.Default()
	c.Hostname, c.Data = "mx.example.test", t.TempDir()
	tell := func(e adminapi.VerifyEvent) { t.Errorf("verify tells %+v", e) }
	if err := Verify(t.Context(), c, adminapi.VerifyRequest{}, io.Discard, tell); err == nil || !strings.Contains(err.Error(), "there is none in") {
		t.Errorf("verify: %v", err)
	}
	if o, err := OpenOffline(c, false); err == nil {
		t.Errorf("a backup opens %v", o.Close())
	}
	if _, err := os.Stat(filepath.Join(c.Data, storeFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a store: %v", err)
	}
	o, err := OpenOffline(c, true) // a restore makes one
	if err == nil {
		err = o.Close()
	}
	if err == nil {
		err = Verify(t.Context(), c, adminapi.VerifyRequest{}, io.Discard, func(adminapi.VerifyEvent) {})
	}
	if err != nil {
		t.Error(err)
	}
}
