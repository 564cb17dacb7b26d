//go:build peers

package peers

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1" // of Claws Mail's choice
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"waxwing/test/system"
)

// Claws Mail fetches, filters by header and body, files, flags, searches and
// reads. Its IMAP is libetpan's.
func TestClawsMail(t *testing.T) {
	b := newBench(t)
	b.send("one", "two", "three")
	b.imap("INBOX", "CREATE Queue") // which Claws Mail takes for granted
	c := b.claws()
	b.eventually("what is filtered is filed", func() bool { return strings.Contains(b.imap("INBOX", "STATUS Archive (MESSAGES)"), "MESSAGES 1") })
	b.eventually("what is filtered is flagged", func() bool { return strings.Contains(b.imap("INBOX", "UID FETCH 2 (FLAGS)"), `\Flagged`) })
	b.eventually("all folders are counted", func() bool {
		text := c.ask("--status-full")
		return strings.Contains(text, "2     2 #imap/bob/INBOX") && strings.Contains(text, "1     1 #imap/bob/Archive")
	})
	c.ask("--search", "#imap/bob/INBOX", "mixed", "TWO dots")
	c.ask("--select", "#imap/bob/INBOX/1")
	b.eventually("what is read is seen", func() bool { return strings.Contains(b.imap("INBOX", "UID FETCH 1 (FLAGS)"), `\Seen`) })
	c.ask("--quit")
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("Claws Mail: %v", err)
	}
}

// A claws is a Claws Mail that runs on a screen that nobody sees.
type claws struct {
	bench
	dir     string
	display string
	cmd     *exec.Cmd
}

// claws starts one with an account, which fetches mail at once.
func (b bench) claws() *claws {
	b.Helper()
	salt := bytes.Repeat([]byte{'s'}, 64)
	dir := filepath.Dir(b.file("claws/clawsrc", "[Common]\nconfig_version=3\nuse_master_passphrase=0\nmaster_passphrase_salt="+
		base64.StdEncoding.EncodeToString(salt)+"\n"))
	b.file("claws/passwordstorerc", "[config_version:2]\n[account:1]\nrecv "+clawsPassword(b.T, system.Password, salt)+"\n\n")
	b.file("claws/accountrc", b.fill(`[Account: 1]
config_version=4
account_name=bob
is_default=1
name=Bob
address=bob@example.test
user_id=bob@example.test
protocol=1
receive_server=localhost
smtp_server=localhost
ssl_imap=1
set_imapport=1
imap_port=@993@
ssl_certs_auto_accept=1
receive_at_get_all=1
filter_on_recv=1
`))
	b.file("claws/folderlist.xml", `<?xml version="1.0" encoding="UTF-8"?>
<folderlist>
  <folder type="imap" name="bob" account_id="1">
    <folderitem type="inbox" name="INBOX" path="INBOX"/>
    <folderitem type="outbox" name="Sent" path="Sent"/>
    <folderitem type="draft" name="Drafts" path="Drafts"/>
    <folderitem type="queue" name="Queue" path="Queue"/>
    <folderitem type="trash" name="Trash" path="Trash"/>
    <folderitem type="normal" name="Archive" path="Archive"/>
  </folder>
</folderlist>
`)
	b.file("claws/matcherrc", `[preglobal]

[postglobal]

[filtering]
enabled rulename "away" subject matchcase "three" move "#imap/bob/Archive"
enabled rulename "important" body_part matchcase "Two dots" & subject matchcase "two" mark

`)
	c := &claws{bench: b, dir: dir, display: b.display()}
	out, err := os.Create(filepath.Join(b.dir, "claws.out"))
	if err != nil {
		b.Fatal(err)
	}
	c.cmd = c.command("--receive-all")
	c.cmd.Stdout, c.cmd.Stderr = out, out
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		_ = out.Close()
		if b.Failed() {
			b.Logf("Claws Mail said:\n%.4000s", readFile(b.T, out.Name()))
		}
	})
	return c
}

func (c *claws) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.Context(), "claws-mail", append([]string{"--alternate-config-dir", c.dir}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.bench.dir, "DISPLAY="+c.display, "LC_ALL=C.UTF-8", "SSL_CERT_FILE="+c.CA(), "NO_AT_BRIDGE=1")
	return cmd
}

// ask tells the one that runs to do something, and gives what it answers.
func (c *claws) ask(args ...string) string {
	c.Helper()
	out, err := c.command(args...).CombinedOutput()
	if err != nil {
		c.Fatalf("claws-mail %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// clawsPassword gives a password as Claws Mail keeps it: behind one block of
// anything, in AES-256-CBC, by a key that everybody knows.
func clawsPassword(t *testing.T, password string, salt []byte) string {
	t.Helper()
	const rounds = 50000
	key, err := pbkdf2.Key(sha1.New, "passkey0", salt, rounds, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, aes.BlockSize+128)
	copy(text[aes.BlockSize:], password)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(text, text)
	return fmt.Sprintf("{AES-256-CBC,%d}%s", rounds, base64.StdEncoding.EncodeToString(text))
}

// display starts an X server without a screen and gives its name.
func (b bench) display() string {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var number int
	if _, err := fmt.Fscan(r, &number); err != nil {
		b.Fatal("Xvfb did not start: ", err)
	}
	return fmt.Sprintf(":%d", number)
}
