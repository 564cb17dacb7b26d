//go:build peers

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// guarded runs a server that trusts nobody, this machine neither, with more
// settings of the door.
func guarded(t *testing.T, door string) (b bench, address string) {
	t.Helper()
	dir := t.TempDir()
	address = freePorts(t, 1)[0]
	config := fmt.Sprintf("hostname = \"mx.example.test\"\n[listen]\nmx = [%q]\n"+
		"submission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n[tls]\nsource = \"own-ca\"\n"+
		"[door]\ntrusted = []\n%s", address, door)
	file := filepath.Join(dir, "waxwing.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	background(t, system.Binary(t), "serve", "--config", file)
	system.WaitListening(t, address)
	b = bench{T: t, Waxwing: &system.Waxwing{Dir: dir}, dir: t.TempDir()}
	b.administered()
	b.administer("domain", "add", "example.test")
	b.administer("account", "add", system.Bob, "--generate")
	return b, address
}

// administered waits until the server can be administered, which is some
// moments after its ports are open.
func (b bench) administered() {
	b.Helper()
	b.eventually("administration", func() bool {
		_, err := b.try("", system.Binary(b.T), "domain", "list", "--config", filepath.Join(b.Dir, "waxwing.toml"))
		return err == nil
	})
}

// administer runs a command against the server.
func (b bench) administer(args ...string) string {
	b.Helper()
	return b.run(system.Binary(b.T), append(args, "--config", filepath.Join(b.Dir, "waxwing.toml"))...)
}

// A stranger's mail is put off, comes back and is taken; after three such it
// is believed. An administrator sees it all, and can decide otherwise.
func TestGreylisted(t *testing.T) {
	b, address := guarded(t, "greylist = \"strangers\"\ngreylist_delay = \"1s\"\ngreeting_delay = \"100ms\"\n")
	swaks := func(from string) (string, error) {
		return b.try("", "swaks", "--server", address, "--from", from, "--to", system.Bob, "--helo", "client.test", "--body", "hello")
	}
	for i := range 3 {
		from := fmt.Sprintf("ann%d@elsewhere.test", i)
		out, err := swaks(from)
		if err == nil || !strings.Contains(out, "451 4.7.1 greylisted: try again in 2 seconds") {
			t.Fatalf("%v\n%s", err, out)
		}
		time.Sleep(1100 * time.Millisecond)
		if out, err := swaks(from); err != nil {
			t.Fatalf("it came back: %v\n%s", err, out)
		}
	}
	if out, err := swaks("ann4@elsewhere.test"); err != nil {
		t.Errorf("three have come back: %v\n%s", err, out)
	}
	b.contains(b.administer("peers", "list"), "127.0.0.1 ", "127.0.0.0/24 ")
	b.contains(b.administer("peers", "show", "127.0.0.1"), "it has brought good mail")
	b.administer("peers", "block", "127.0.0.0/8", "--reason", "for the test")
	if out, err := swaks("ann4@elsewhere.test"); err == nil || !strings.Contains(out, "554 5.7.1 no mail is taken from your address") {
		t.Errorf("blocked: %v\n%s", err, out)
	}
	b.administer("peers", "allow", "127.0.0.1")
	if out, err := swaks("ann4@elsewhere.test"); err != nil {
		t.Errorf("allowed: %v\n%s", err, out)
	}
}

// Postfix is put off, and comes back by itself.
func TestPostfixIsGreylisted(t *testing.T) {
	b, address := guarded(t, "greylist = \"strangers\"\ngreylist_delay = \"1s\"\n")
	_, port, _ := strings.Cut(address, ":")
	postfix := system.NewPostfix(t, "myhostname = mail.postfix.test\ntransport_maps = inline:{example.test=smtp:[127.0.0.1]:"+port+"}\n"+
		"minimal_backoff_time = 2s\nmaximal_backoff_time = 3s\nqueue_run_delay = 2s\n")
	postfix.Start()
	b.run("swaks", "--server", postfix.Addr(), "--from", "carol@postfix.test", "--to", system.Bob, "--body", "hello")
	b.eventually("Postfix has been put off, and come back", func() bool {
		log := postfix.Log()
		return strings.Contains(log, "451 4.7.1 greylisted: try again") && strings.Contains(log, "status=sent (250 2.0.0 delivered as")
	})
}
