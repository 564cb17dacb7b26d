//go:build peers

package peers

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"waxwing/test/system"
)

// Thunderbird sets up an account, lists, reads, flags, searches, makes a
// folder, moves, copies and deletes, and is told of a new message by IDLE.
func TestThunderbird(t *testing.T) {
	b := newBench(t)
	b.send("one", "two", "three")
	bird := b.thunderbird()
	script := readFile(t, "testdata/thunderbird.js")
	do := func(what string, args map[string]any) string {
		t.Helper()
		v, err := bird.run(script, what, args)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return string(v)
	}
	is := func(what string, args map[string]any, want ...string) {
		t.Helper()
		b, err := json.Marshal(append([]string{}, want...))
		if err != nil {
			t.Fatal(err)
		}
		if got := do(what, args); got != string(b) {
			t.Errorf("%s %v: %s, want %s", what, args, got, b)
		}
	}
	block, _ := pem.Decode([]byte(readFile(t, b.CA())))
	is("account", map[string]any{
		"host": "127.0.0.1", "port": b.Port(993), "user": system.Bob, "password": system.Password,
		"ca": base64.StdEncoding.EncodeToString(block.Bytes),
	}, "Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash")
	is("list", map[string]any{"box": "INBOX", "count": 3}, "one", "three", "two")
	b.contains(do("read", map[string]any{"box": "INBOX", "subject": "one"}), `A line with a dot.\r\n..Two dots.\r\n`)
	do("flag", map[string]any{"box": "INBOX", "subject": "two"})
	is("search", map[string]any{"box": "INBOX", "word": "two DOTS"}, "one", "three", "two")
	is("search", map[string]any{"box": "INBOX", "word": "hay"})
	do("create", map[string]any{"name": "Projekt ü"})
	do("move", map[string]any{"from": "INBOX", "subject": "three", "to": "Projekt ü"})
	is("list", map[string]any{"box": "Projekt ü", "count": 1}, "three")
	do("move", map[string]any{"from": "INBOX", "subject": "two", "to": "Archive", "copy": true})
	do("remove", map[string]any{"box": "INBOX", "subject": "two"})
	is("list", map[string]any{"box": "Trash", "count": 1}, "two flagged")
	is("list", map[string]any{"box": "INBOX", "count": 1}, "one read")

	// Nobody asks for it.
	b.send("pushed")
	do("wait", map[string]any{"box": "INBOX", "subject": "pushed"})

	// Thunderbird does things at home first, and here soon after.
	for path, want := range map[string]string{
		"INBOX": "MESSAGES 2 UNSEEN 1", "Archive": "MESSAGES 1 UNSEEN 1", "Trash": "MESSAGES 1 UNSEEN 1", "Projekt &APw-": "MESSAGES 1 UNSEEN 1",
	} {
		b.patiently(path+" has "+want, func() bool {
			return strings.Contains(b.imap("INBOX", `STATUS "`+path+`" (MESSAGES UNSEEN)`), want)
		})
	}
	b.contains(b.imap("Archive", "FETCH 1 (FLAGS)"), `\Flagged`)
}

// patiently is eventually for a large program on a machine that is busy.
func (b bench) patiently(what string, check func() bool) {
	b.Helper()
	for end := time.Now().Add(marionetteTimeout); !check(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s did not come to pass within %v", what, marionetteTimeout)
		}
	}
}

// thunderbird starts one without a screen and with an empty profile.
func (b bench) thunderbird() *marionette {
	b.Helper()
	profile := filepath.Dir(b.file("profile/user.js", `
user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("app.donation.eoy.version.viewed", 999);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
`))
	out, err := os.Create(filepath.Join(b.dir, "thunderbird.out"))
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile)
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "LC_ALL=C.UTF-8", "MOZ_HEADLESS=1", "MOZ_CRASHREPORTER_DISABLE=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // its profile goes too
		_ = cmd.Wait()
		_ = out.Close()
		if b.Failed() {
			b.Logf("Thunderbird said:\n%.3000s", readFile(b.T, out.Name()))
		}
	})
	port := 0
	b.patiently("Thunderbird listens", func() bool {
		text, err := os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		if err == nil {
			port, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	m, err := openMarionette(port)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.conn.Close() })
	return m
}
