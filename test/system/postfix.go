package system

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Postfix is a running Postfix from Debian's packages with a configuration,
// queue and log of its own, listening on loopback only.
type Postfix struct {
	Dir  string
	Port int
	tb   testing.TB
	up   bool
}

// masterServices is Debian's master.cf without the network service, the
// chroots and what is not used.
const masterServices = `
pickup    unix  n  -  n  60    1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  1     1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
verify    unix  -  -  n  -     1  verify
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
proxywrite unix -  -  n  -     1  proxymap
smtp      unix  -  -  n  -     -  smtp
relay     unix  -  -  n  -     -  smtp
showq     unix  n  -  n  -     -  showq
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
discard   unix  -  -  n  -     -  discard
local     unix  -  n  n  -     -  local
virtual   unix  -  n  n  -     -  virtual
lmtp      unix  -  -  n  -     -  lmtp
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
postlog   unix-dgram n - n  -  1  postlogd
`

// NewPostfix writes a configuration; main is added to a main.cf that listens
// on a free port and delivers nothing locally. Start starts it. Needs root.
func NewPostfix(tb testing.TB, main string) *Postfix {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skip("Postfix needs root to start")
	}
	// Postfix's own users have to get at it: not below tb.TempDir.
	dir, err := os.MkdirTemp("", "waxwing-postfix-")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Postfix{Dir: dir, Port: FreePort(tb), tb: tb}
	tb.Cleanup(func() {
		p.abort()
		if tb.Failed() {
			tb.Logf("Postfix said:\n%s", p.Log())
		}
		_ = os.RemoveAll(dir)
	})
	for _, d := range []string{"", "etc", "queue", "lib", "mail"} {
		p.mkdir(d, 0o755)
	}
	// The log has to be below one of the built-in prefixes, or stdout.
	p.write("etc/main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = %[1]s/log
maillog_file_prefixes = /tmp, /var
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtp_host_lookup = native
in_flow_delay = 0
disable_dns_lookups = yes
%[2]s
`, dir, main))
	p.write("etc/master.cf", fmt.Sprintf("127.0.0.1:%d inet n - n - - smtpd\n%s", p.Port, masterServices))
	p.chown("lib")
	p.chown("mail")
	return p
}

// VirtualUsers gives settings that deliver the users of a domain to Maildirs
// below Dir/mail/DOMAIN/USER/.
func VirtualUsers(domain string, users ...string) string {
	var maps []string
	for _, u := range users {
		maps = append(maps, fmt.Sprintf("{ %s@%s = %s/%s/ }", u, domain, domain, u))
	}
	return fmt.Sprintf(`virtual_mailbox_domains = %s
virtual_mailbox_maps = inline:{ %s }
virtual_mailbox_base = $queue_directory/../mail
virtual_uid_maps = static:%s
virtual_gid_maps = static:%s
`, domain, strings.Join(maps, ", "), id("-u", "postfix"), id("-g", "postfix"))
}

// OneMailbox gives settings that deliver every user of a domain to one
// Maildir, Dir/mail/all/.
func OneMailbox(domain string) string {
	return fmt.Sprintf(`virtual_mailbox_domains = %s
virtual_mailbox_maps = static:all/
virtual_mailbox_base = $queue_directory/../mail
virtual_mailbox_limit = 0
virtual_uid_maps = static:%s
virtual_gid_maps = static:%s
`, domain, id("-u", "postfix"), id("-g", "postfix"))
}

func id(flag, user string) string {
	out, err := exec.Command("id", flag, user).Output()
	if err != nil {
		return "65534"
	}
	return strings.TrimSpace(string(out))
}

// Start starts Postfix and waits until it listens.
func (p *Postfix) Start() {
	p.tb.Helper()
	if out, err := exec.Command("postfix", "-c", filepath.Join(p.Dir, "etc"), "start").CombinedOutput(); err != nil {
		p.tb.Fatalf("postfix start: %v\n%s\n%s", err, out, p.Log())
	}
	p.up = true
	WaitListening(p.tb, p.Addr())
}

// Stop stops it; what is queued stays.
func (p *Postfix) Stop() {
	if p.up {
		p.up = false
		_ = exec.Command("postfix", "-c", filepath.Join(p.Dir, "etc"), "stop").Run()
	}
}

// abort ends it at once: nobody needs what it has. Stop waits, a second at a
// time, until its processes have come to rest.
func (p *Postfix) abort() {
	if p.up {
		p.up = false
		_ = exec.Command("postfix", "-c", filepath.Join(p.Dir, "etc"), "abort").Run()
	}
}

// Addr is where it listens.
func (p *Postfix) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)) }

// PID is its first process, below which the others are.
func (p *Postfix) PID() int {
	text, err := os.ReadFile(filepath.Join(p.Dir, "queue", "pid", "master.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// Log gives what it has logged.
func (p *Postfix) Log() string {
	text, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
	return string(text)
}

// Mail gives the texts of the messages delivered to a user of VirtualUsers.
func (p *Postfix) Mail(domain, user string) []string {
	p.tb.Helper()
	files, _ := filepath.Glob(filepath.Join(p.Dir, "mail", domain, user, "new", "*"))
	var all []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			p.tb.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

func (p *Postfix) mkdir(name string, mode os.FileMode) {
	path := filepath.Join(p.Dir, name)
	if err := os.MkdirAll(path, mode); err != nil {
		p.tb.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *Postfix) write(name, text string) {
	if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(text), 0o644); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *Postfix) chown(name string) {
	if out, err := exec.Command("chown", "postfix:postfix", filepath.Join(p.Dir, name)).CombinedOutput(); err != nil {
		p.tb.Fatalf("chown: %v %s", err, out)
	}
}

// FreePort gives a port of 127.0.0.1 that is free.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// WaitListening waits until something listens there.
func WaitListening(tb testing.TB, addr string) {
	tb.Helper()
	for range 200 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	tb.Fatalf("nothing listens on %s", addr)
}
