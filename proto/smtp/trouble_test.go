package smtp_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"waxwing/proto/smtp"
)

func TestTrouble(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("no idea"), "451 4.3.0 try later"},
		{syscall.EIO, "451 4.3.0 try later"},
		{fmt.Errorf("spool: %w", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), "452 4.3.1 insufficient system storage, try later"},
		{errors.Join(errors.New("and"), syscall.EDQUOT), "452 4.3.1 insufficient system storage, try later"},
	} {
		r := smtp.Trouble("try later", tt.err)
		if got := r.Reply().String(); got != tt.want || !errors.Is(r, tt.err) {
			t.Errorf("%v: %q", tt.err, got)
		}
	}
}
