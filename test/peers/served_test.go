//go:build peers

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"waxwing/test/system"
)

// servedPassword is that of the accounts: administrators may not choose one as
// short as that of "waxwing dev".
const servedPassword = "waxwing-waxwing"

// A served is a server with a configuration of its own: the domain
// example.test, alice and bob.
type served struct {
	bench
	mx, submission string // addresses
	process        *os.Process
}

// reload has the server read its configuration again.
func (s served) reload() {
	s.Helper()
	if err := s.process.Signal(syscall.SIGHUP); err != nil {
		s.Fatal(err)
	}
}

// serve runs a server with these tables besides those of its listeners, in a
// directory.
func serve(t *testing.T, dir, settings string) served {
	t.Helper()
	return serveAt(t, dir, freePorts(t, 1)[0], settings)
}

// serveAt is serve with an address for mail from outside.
func serveAt(t *testing.T, dir, mx, settings string) served {
	t.Helper()
	ports := append([]string{mx}, freePorts(t, 2)...)
	config := fmt.Sprintf("hostname = \"mx.example.test\"\n[listen]\nmx = [%q]\nsubmission = [%q]\nimaps = [%q]\n"+
		"submissions = []\nimap = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n[tls]\nsource = \"own-ca\"\n%s", ports[0], ports[1], ports[2], settings)
	file := filepath.Join(dir, "waxwing.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	process := background(t, system.Binary(t), "serve", "--config", file)
	for _, p := range ports {
		system.WaitListening(t, p)
	}
	s := served{bench{T: t, Waxwing: &system.Waxwing{Dir: dir}, dir: t.TempDir()}, ports[0], ports[1], process.Process}
	s.administered()
	s.administer("domain", "add", system.Domain)
	for _, who := range []string{system.Alice, system.Bob} {
		out, err := s.try(servedPassword+"\n", system.Binary(t), "account", "add", who, "--password-stdin", "--config", file)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return s
}

// inbox gives the messages in INBOX of one of the accounts.
func (s served) inbox(who string) []string {
	s.Helper()
	dir := filepath.Join(s.T.TempDir(), "mail")
	s.run(system.Binary(s.T), "export", "--account", who, "--to", dir, "--mailbox", "INBOX", "--config", filepath.Join(s.Dir, "waxwing.toml"))
	var all []string
	for _, sub := range []string{"new", "cur"} {
		files, _ := filepath.Glob(filepath.Join(dir, sub, "*"))
		for _, f := range files {
			all = append(all, readFile(s.T, f))
		}
	}
	return all
}

// submit sends a message of alice's with swaks.
func (s served) submit(args ...string) string {
	s.Helper()
	return s.run("swaks", append([]string{"--server", s.submission, "--tls", "--auth", "PLAIN", "--auth-user", system.Alice,
		"--auth-password", servedPassword, "--from", system.Alice, "--helo", "client.test"}, args...)...)
}

// traced gives what the server remembers, once it remembers what is wanted.
func (s served) traced(about string, wanted ...string) {
	s.Helper()
	var told string
	s.eventually(fmt.Sprintf("a trace of %s with %q", about, wanted), func() bool {
		told = s.administer("trace", about)
		return !slices.ContainsFunc(wanted, func(w string) bool { return !strings.Contains(told, w) })
	})
}
