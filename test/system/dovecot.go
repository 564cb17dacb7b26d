package system

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A Dovecot is a running Dovecot from Debian's packages with a configuration
// and mailboxes of its own. Every user exists, with any password;
// there is no TLS.
type Dovecot struct {
	Dir  string
	IMAP string // address
	POP3 string
	LMTP string // path of the socket
	tb   testing.TB
	cmd  *exec.Cmd
}

// StartDovecot starts one until the test ends. location is mail_location, such
// as "mdbox:~/mdbox". Needs root.
func StartDovecot(tb testing.TB, location string) *Dovecot {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skip("Dovecot needs root to start")
	}
	dir, err := os.MkdirTemp("", "waxwing-dovecot-")
	if err != nil {
		tb.Fatal(err)
	}
	d := &Dovecot{Dir: dir, LMTP: filepath.Join(dir, "lmtp"), tb: tb}
	tb.Cleanup(func() {
		if d.cmd != nil && d.cmd.Process != nil {
			_ = exec.Command("doveadm", "-c", d.conf(), "stop").Run()
			_ = d.cmd.Wait()
		}
		if tb.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			tb.Logf("Dovecot said:\n%s", text)
		}
		_ = os.RemoveAll(dir)
	})
	imap, pop3 := FreePort(tb), FreePort(tb)
	d.IMAP = net.JoinHostPort("127.0.0.1", strconv.Itoa(imap))
	d.POP3 = net.JoinHostPort("127.0.0.1", strconv.Itoa(pop3))
	conf := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap pop3 lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = %[2]s
mail_home = %[1]s/mail/%%n
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
default_client_limit = 12000
default_process_limit = 12000
default_vsz_limit = 0
mail_max_userip_connections = 20000
auth_username_format = %%n
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%[1]s/mail/%%n
}
service imap-login {
  inet_listener imap {
    port = %[3]d
  }
  inet_listener imaps {
    port = 0
  }
  service_count = 0
}
service pop3-login {
  inet_listener pop3 {
    port = %[4]d
  }
  inet_listener pop3s {
    port = 0
  }
}
service lmtp {
  unix_listener %[1]s/lmtp {
    mode = 0666
  }
}
namespace inbox {
  inbox = yes
  separator = /
}
`, dir, location, imap, pop3)
	if err := os.WriteFile(d.conf(), []byte(conf), 0o644); err != nil {
		tb.Fatal(err)
	}
	for _, sub := range []string{"", "mail", "run", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			tb.Fatal(err)
		}
		_ = os.Chmod(filepath.Join(dir, sub), 0o755)
	}
	if out, err := exec.Command("chown", "mail:mail", filepath.Join(dir, "mail")).CombinedOutput(); err != nil {
		tb.Fatalf("chown: %v %s", err, out)
	}
	d.cmd = exec.Command("dovecot", "-F", "-c", d.conf())
	if err := d.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	WaitListening(tb, d.IMAP)
	for range 100 {
		if _, err := os.Stat(d.LMTP); err == nil {
			return d
		}
		time.Sleep(50 * time.Millisecond)
	}
	tb.Fatal("Dovecot has no LMTP socket")
	return nil
}

func (d *Dovecot) conf() string { return filepath.Join(d.Dir, "dovecot.conf") }

// PID is the number of the master process.
func (d *Dovecot) PID() int { return d.cmd.Process.Pid }
