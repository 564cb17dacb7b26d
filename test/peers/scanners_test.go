//go:build peers

package peers

import (
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/flow/spam"
	"waxwing/test/system"
)

// eicar is the file by which virus scanners are tried, in two halves so that
// none finds it here.
const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR` + `-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// clamd runs ClamAV with a database of its own, which knows eicar alone.
func clamd(t *testing.T) string {
	t.Helper()
	dir := shortDir(t)
	write(t, filepath.Join(dir, "test.ndb"), "Eicar.Test:0:*:"+hex.EncodeToString([]byte(eicar))+"\n")
	socket := filepath.Join(dir, "s")
	conf := write(t, filepath.Join(dir, "clamd.conf"), fmt.Sprintf(
		"Foreground yes\nDatabaseDirectory %[1]s\nLocalSocket %[1]s/s\nStreamMaxLength 1M\nTemporaryDirectory %[1]s\nLogFile %[1]s/log\n", dir))
	daemon(t, "unix", socket, "clamd", "-c", conf)
	return socket
}

func TestClamAV(t *testing.T) {
	socket := clamd(t)
	scanner := &spam.ClamAV{Network: "unix", Address: socket, TooLarge: spam.Quarantine}
	if v, err := scanner.Version(t.Context()); err != nil || !strings.HasPrefix(v, "ClamAV ") {
		t.Errorf("version %q, %v", v, err)
	}
	f := filter(t, spam.Options{ClamAV: scanner})
	attached := "From: a@far.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n" +
		"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nWDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJELUFOVElWSVJVUy1URVNU\r\nLUZJTEUhJEgrSCo=\r\n--b--\r\n"
	for what, text := range map[string]string{"attached": attached, "in the text": "Subject: x\r\n\r\n" + eicar + "\r\n"} {
		if err := f.take(t, "a@far.test", text, "bob@example.test"); !refusedWith(err, "554 5.7.1", "Eicar.Test") {
			t.Errorf("%s: %v", what, err)
		}
		if err := f.send(t, strings.Replace(text, "a@far.test", "alice@example.test", 1), "carol@far.test"); !refusedWith(err, "554 5.7.1", "Eicar.Test") {
			t.Errorf("%s, a user's: %v", what, err)
		}
	}
	if err := f.take(t, "a@far.test", "Subject: clean\r\n\r\nhello\r\n", "bob@example.test"); err != nil {
		t.Error(err)
	}
	if err := f.take(t, "a@far.test", "Subject: large\r\n\r\n"+strings.Repeat("hello\r\n", 400_000), "bob@example.test"); err != nil {
		t.Errorf("what is too large: %v", err)
	}
	if inbox, junk := f.Inbox(f.Bob), f.In(f.Bob, "Junk"); len(inbox) != 1 || len(junk) != 1 || len(f.Queued()) != 0 {
		t.Errorf("%d in INBOX, %d in Junk, %d queued", len(inbox), len(junk), len(f.Queued()))
	}
}

// rspamd runs Rspamd with what its package brings, but no lookups: it gives
// the address of the normal worker and that of the proxy that speaks milter.
func rspamd(t *testing.T) (normal, proxy string) {
	t.Helper()
	dir := shortDir(t)
	normal = fmt.Sprintf("127.0.0.1:%d", system.FreePort(t))
	proxy = fmt.Sprintf("127.0.0.1:%d", system.FreePort(t))
	write(t, filepath.Join(dir, "tld"), "test\n") // all of them take a minute to compile
	conf := write(t, filepath.Join(dir, "rspamd.conf"), fmt.Sprintf(`
options {
  filters = "chartable,dkim,regexp";
  dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }
  enable_test_patterns = true; pidfile = "%[1]s/pid"; rrd = "%[1]s/rrd"; stats_file = "%[1]s/stats"; history_file = "%[1]s/history";
  hs_cache_dir = "%[1]s"; control_socket = "%[1]s/control mode=0600"; local_addrs = "192.0.2.0/24"; task_timeout = 20s;
  url_tld = "%[1]s/tld"; disable_hyperscan = true;
}
logging { type = "console"; level = "warning"; }
actions { reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; subject = "[junk] %%s"; }
worker "normal" { bind_socket = "%[2]s"; count = 1; }
worker "rspamd_proxy" { bind_socket = "%[3]s"; count = 1; milter = yes; timeout = 20s; upstream "local" { default = yes; self_scan = yes; } }
milter_headers { use = ["x-spamd-bar", "x-rspamd-server"]; skip_local = false; skip_authenticated = false; }
modules { path = "/usr/share/rspamd/plugins/milter_headers.lua"; }
lua = "/usr/share/rspamd/rules/rspamd.lua";
`, dir, normal, proxy))
	daemon(t, "tcp", normal, "rspamd", "-f", "-i", "-u", "root", "-g", "root", "-c", conf)
	return normal, proxy
}

// gtube is what Rspamd takes for spam of each kind, by the first letter.
const gtube = "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

const letter = "From: a@far.test\r\nTo: bob@example.test\r\nSubject: hello\r\nDate: Sun, 22 Nov 2026 03:00:00 +0000\r\n" +
	"Message-ID: <1@far.test>\r\nX-Spam: Yes\r\nX-Spam-Flag: YES\r\nX-Rspamd-Action: no action\r\n\r\n"

func TestRspamd(t *testing.T) {
	normal, proxy := rspamd(t)
	server, err := spam.NewRspamd("http://"+normal, 0, spam.TempFail)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(proxy)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]spam.Options{
		"HTTP":   {Rspamd: server},
		"milter": {Milters: []spam.Milter{{Network: "tcp", Address: net.JoinHostPort(host, port)}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := filter(t, o)
			if err := f.take(t, "a@far.test", letter+"X"+gtube+"\r\n", "bob@example.test"); !refusedWith(err, "554 5.7.1") {
				t.Errorf("spam: %v", err)
			}
			for _, body := range []string{"hello", "A" + gtube, "Y" + gtube, "Z" + gtube} {
				if err := f.take(t, "a@far.test", letter+body+"\r\n", "bob@example.test"); err != nil {
					t.Errorf("%.10s: %v", body, err)
				}
			}
			inbox, junk := f.Inbox(f.Bob), f.In(f.Bob, "Junk")
			if name == "milter" && len(junk) == 1 { // what has another subject has no mark
				junk = append(junk, inbox[len(inbox)-1])
				inbox = inbox[:len(inbox)-1]
			}
			if len(inbox) != 2 || len(junk) != 2 {
				t.Fatalf("%d in INBOX, %d in Junk: %.2000q", len(inbox), len(junk), inbox)
			}
			for _, text := range inbox {
				if strings.Contains(text, "X-Spam: Yes") || strings.Contains(text, "X-Spam-Flag") || strings.Contains(text, "X-Rspamd-Action") {
					t.Errorf("a stranger's mark is left: %.1000q", text)
				}
			}
			if !strings.Contains(junk[0], "X-Spam: Yes\r\n") || !strings.Contains(junk[1], "Subject: [junk] hello\r\n") {
				t.Errorf("Junk: %.2000q", junk)
			}
			if name == "HTTP" && !strings.Contains(inbox[0], "X-Spam-Score: ") {
				t.Errorf("no score: %.1000q", inbox[0])
			}
		})
	}
	f := filter(t, spam.Options{Rspamd: server})
	if err := f.send(t, strings.Replace(letter, "a@far.test", "alice@example.test", 1)+"Y"+gtube+"\r\n", "carol@far.test"); !refusedWith(err, "550 5.7.1") {
		t.Errorf("a user's spam: %v", err)
	}
}

// Scanners that are not there.
func TestScannersDown(t *testing.T) {
	gone := filepath.Join(shortDir(t), "gone")
	for when, want := range map[spam.WhenDown]string{spam.TempFail: "451 4.7.1", spam.Refuse: "550 5.7.1", spam.Pass: "", spam.Quarantine: ""} {
		server, err := spam.NewRspamd("unix:"+gone, 0, when)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []spam.Options{{Rspamd: server}, {ClamAV: &spam.ClamAV{Network: "unix", Address: gone, WhenDown: when}}} {
			f := filter(t, o)
			err := f.take(t, "ann@far.test", "Subject: x\r\n\r\n", "bob@example.test")
			if want == "" && err != nil || want != "" && !refusedWith(err, want) {
				t.Errorf("%s: %v", when, err)
			}
			if n := len(f.In(f.Bob, "Junk")); (n == 1) != (when == spam.Quarantine) {
				t.Errorf("%s: %d in Junk", when, n)
			}
		}
	}
}
