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
)

// StartKnot serves zones with Debian's knot on a free port of 127.0.0.1 until
// the test ends, and gives its address. The zones are given as the text of
// their records; SOA and NS are added.
func StartKnot(tb testing.TB, zones map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	port := FreePort(tb)
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
    rundir: %[1]s
    listen: 127.0.0.1@%[2]d
    user: root:root
database:
    storage: %[1]s
log:
  - target: stderr
    any: warning
zone:
`, dir, port)
	for name, records := range zones {
		file := filepath.Join(dir, name+"zone")
		text := fmt.Sprintf("$ORIGIN %s.\n$TTL 60\n@ SOA ns.%s. hostmaster.%s. 1 3600 900 604800 60\n@ NS ns.%s.\n%s\n",
			name, name, name, name, records)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&conf, "  - domain: %s\n    file: %s\n", name, file)
	}
	path := filepath.Join(dir, "knot.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	log := new(logBuffer)
	cmd := exec.Command("knotd", "-c", path)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if tb.Failed() {
			tb.Logf("knot said:\n%s", log)
		}
	})
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	WaitListening(tb, addr)
	return addr
}
