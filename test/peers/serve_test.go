//go:build peers

package peers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/test/system"
)

// Started by root, the server opens its ports, becomes its user for good and
// cannot gain privileges again.
func TestPrivilegesAreDropped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root has privileges to drop")
	}
	dir, err := os.MkdirTemp("", "waxwing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // the user must get in
		t.Fatal(err)
	}
	address := freePorts(t, 1)[0]
	config := fmt.Sprintf("hostname = \"mx.example.test\"\nuser = \"nobody\"\n[listen]\nmx = [%q]\n"+
		"submission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\nhttps = []\n[tls]\nsource = \"own-ca\"\n", address)
	file := filepath.Join(dir, "waxwing.toml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	server := background(t, system.Binary(t), "serve", "--config", file)
	eventually(t, "a greeting", func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 4)
		if _, err := c.Read(b); err != nil || string(b) != "220 " {
			return errors.Join(err, fmt.Errorf("%q", b))
		}
		return nil
	})
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", server.Process.Pid))
	if err != nil || len(tasks) < 2 {
		t.Fatal(tasks, err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, want := range []string{"Uid:\t65534\t65534\t65534\t65534\n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", task, want, text)
			}
		}
	}
}
