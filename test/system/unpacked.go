package system

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unpackedDir is where test/packages.sh unpacks servers that cannot be
// installed beside Postfix.
const unpackedDir = "/var/cache/waxwing-test"

// An Unpacked is a mail server from a Debian package that was unpacked and not
// installed: it runs in a file system of its own, in which it looks as if it
// had been.
type Unpacked struct {
	Dir  string
	Port int
	tb   testing.TB
	cmd  *exec.Cmd
	log  logBuffer
}

// The users that the servers want, and the one who gets mail.
const unpackedUsers = `Debian-exim:x:64009:64009::/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:64010:64010::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:64011:64011::/var/lib/opensmtpd/empty:/usr/sbin/nologin
postbox:x:64012:64012::/nonexistent:/bin/sh
`

const unpackedGroups = `Debian-exim:x:64009:
opensmtpd:x:64010:
opensmtpq:x:64011:
postbox:x:64012:
`

// unpackedScript makes the file system and becomes the server. $1 is the
// package, $2 our directory, the rest is the server's command line.
const unpackedScript = `set -e
package=$1 dir=$2
shift 2
mount -t overlay overlay -o lowerdir=$package/usr:/usr /usr
mount -t overlay overlay -o lowerdir=$dir/etc:/etc /etc
mount -t overlay overlay -o lowerdir=/var,upperdir=$dir/var,workdir=$dir/work /var
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
exec "$@"
`

// newUnpacked prepares a server. Needs root and a kernel that lets it mount.
func newUnpacked(tb testing.TB, name string) *Unpacked {
	tb.Helper()
	if err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/run").Run(); err != nil {
		tb.Skipf("%s cannot have a file system of its own: %v", name, err)
	}
	if _, err := os.Stat(filepath.Join(unpackedDir, name)); err != nil {
		tb.Skipf("%s has not been unpacked: %v", name, err)
	}
	dir, err := os.MkdirTemp("", "waxwing-"+name+"-")
	if err != nil {
		tb.Fatal(err)
	}
	u := &Unpacked{Dir: dir, Port: FreePort(tb), tb: tb}
	tb.Cleanup(func() {
		u.stop()
		if tb.Failed() {
			tb.Logf("%s said:\n%s", name, u.Log())
		}
		_ = os.RemoveAll(dir)
	})
	for _, d := range []string{"", "etc", "etc/exim4", "var", "work", "spool", "log", "mail"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, d), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for file, more := range map[string]string{"passwd": unpackedUsers, "group": unpackedGroups} {
		have, err := os.ReadFile("/etc/" + file)
		if err != nil {
			tb.Fatal(err)
		}
		u.write("etc/"+file, string(have)+more, 0o644)
	}
	for sub, owner := range map[string]int{"mail": 64012, "spool": 64009, "log": 64009} {
		if err := os.Chown(filepath.Join(dir, sub), owner, owner); err != nil {
			tb.Fatal(err)
		}
	}
	return u
}

func (u *Unpacked) write(name, text string, mode os.FileMode) {
	u.tb.Helper()
	if err := os.WriteFile(filepath.Join(u.Dir, name), []byte(text), mode); err != nil {
		u.tb.Fatal(err)
	}
}

// start runs the server in the foreground until the test ends.
func (u *Unpacked) start(name string, command ...string) {
	u.tb.Helper()
	args := append([]string{"-m", "sh", "-c", unpackedScript, "sh", filepath.Join(unpackedDir, name), u.Dir}, command...)
	u.cmd = exec.Command("unshare", args...)
	u.cmd.Stdout, u.cmd.Stderr = &u.log, &u.log
	u.cmd.WaitDelay = 5 * time.Second // its children have the pipes as well
	if err := u.cmd.Start(); err != nil {
		u.tb.Fatal(err)
	}
	WaitListening(u.tb, u.Addr())
}

func (u *Unpacked) stop() {
	if u.cmd != nil && u.cmd.Process != nil {
		_ = u.cmd.Process.Signal(syscall.SIGTERM)
		_ = u.cmd.Wait()
	}
}

// Addr is where it listens.
func (u *Unpacked) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(u.Port)) }

// Log gives what it has said and logged.
func (u *Unpacked) Log() string {
	text := u.log.String()
	logs, _ := filepath.Glob(filepath.Join(u.Dir, "log", "*"))
	for _, f := range logs {
		more, _ := os.ReadFile(f)
		text += string(more)
	}
	return text
}

// Mail gives the texts of all messages that have been delivered.
func (u *Unpacked) Mail() []string {
	u.tb.Helper()
	files, _ := filepath.Glob(filepath.Join(u.Dir, "mail", "new", "*"))
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			u.tb.Fatal(err)
		}
		all = append(all, string(bytes.Clone(text)))
	}
	return all
}

// The certificate that Debian makes for tests (package ssl-cert).
const (
	snakeoilCert = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
	snakeoilKey  = "/etc/ssl/private/ssl-cert-snakeoil.key"
)

// StartExim starts Debian's Exim until the test ends. Mail for domain goes to
// one Maildir; transport is the smtp transport for all else, and
// authenticators what it logs in with. route is where that goes, as
// "127.0.0.1::10025".
func StartExim(tb testing.TB, domain, route, transport, authenticators string) *Unpacked {
	tb.Helper()
	u := newUnpacked(tb, "exim")
	key, err := os.ReadFile(snakeoilKey)
	if err != nil {
		tb.Fatal(err)
	}
	u.write("key.pem", string(key), 0o600)
	if err := os.Chown(filepath.Join(u.Dir, "key.pem"), 64009, 64009); err != nil {
		tb.Fatal(err)
	}
	u.write("etc/exim4/exim4.conf", fmt.Sprintf(`primary_hostname = mail.%[2]s
qualify_domain = %[2]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[3]d
tls_advertise_hosts = *
tls_certificate = `+snakeoilCert+`
tls_privatekey = %[1]s/key.pem
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
chunking_advertise_hosts = *
message_size_limit = 60M
smtp_accept_max_per_host = 100
smtp_accept_queue_per_connection = 0
remote_max_parallel = 4
rfc1413_query_timeout = 0s
host_lookup =
trusted_users = root
never_users =
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
acl_smtp_vrfy = accept
begin routers
ours:
  driver = accept
  domains = %[2]s
  transport = maildir
others:
  driver = manualroute
  route_list = * %[4]s byname
  self = send
  transport = smtp
begin transports
maildir:
  driver = appendfile
  directory = %[1]s/mail
  maildir_format
  user = postbox
  group = postbox
smtp:
  driver = smtp
  message_linelength_limit = 100000000
  hosts_try_dane =
%[5]s
begin retry
* * F,1h,1s
begin rewrite
begin authenticators
%[6]s
`, u.Dir, domain, u.Port, route, transport, authenticators), 0o644)
	u.start("exim", "/usr/sbin/exim4", "-bdf", "-q2s")
	return u
}

// StartOpenSMTPD starts Debian's OpenSMTPD until the test ends. Mail for domain
// goes to one Maildir, all else the way that relay says, the words after
// "relay" in an action; secrets are logins, "label user:password".
func StartOpenSMTPD(tb testing.TB, domain, relay, secrets string) *Unpacked {
	tb.Helper()
	u := newUnpacked(tb, "opensmtpd")
	key, err := os.ReadFile(snakeoilKey)
	if err != nil {
		tb.Fatal(err)
	}
	u.write("key.pem", string(key), 0o600)
	u.write("secrets", secrets+"\n", 0o640)
	if err := os.Chown(filepath.Join(u.Dir, "secrets"), 0, 64010); err != nil {
		tb.Fatal(err)
	}
	conf := fmt.Sprintf(`table secrets file:%[1]s/secrets
pki mail.%[2]s cert "`+snakeoilCert+`"
pki mail.%[2]s key "%[1]s/key.pem"
smtp max-message-size 60M
listen on 127.0.0.1 port %[3]d hostname mail.%[2]s tls pki mail.%[2]s
action "local" maildir "%[1]s/mail" virtual { "@" = postbox }
action "relay" relay %[4]s
match from any for domain "%[2]s" action "local"
match from any for any action "relay"
`, u.Dir, domain, u.Port, strings.TrimSpace(relay))
	u.write("smtpd.conf", conf, 0o644)
	u.start("opensmtpd", "/usr/sbin/smtpd", "-d", "-f", filepath.Join(u.Dir, "smtpd.conf"))
	return u
}
