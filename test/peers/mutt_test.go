//go:build peers

package peers

import (
	"path/filepath"
	"testing"
)

// mutt and neomutt send with an attachment, file the copy, read, flag, copy,
// delete: what a person does in a morning.
func TestMutt(t *testing.T) {
	for _, program := range []string{"mutt", "neomutt"} {
		t.Run(program, func(t *testing.T) {
			b := newBench(t)
			rc := b.file("muttrc", b.fill(`
set ssl_starttls=yes ssl_force_tls=yes
set certificate_file=@CA@ ssl_ca_certificates_file=@CA@
set imap_user=bob@example.test imap_pass=waxwing
set folder=imaps://127.0.0.1:@993@/ spoolfile=+INBOX record=+Sent postponed=+Drafts
set smtp_url=smtp://bob@example.test@127.0.0.1:@587@ smtp_pass=waxwing
set from=bob@example.test realname="Bob Müller" use_envelope_from=yes copy=yes
set confirmappend=no confirmcreate=no delete=yes quit=yes move=no wait_key=no timeout=1 header_cache=@DIR@/cache
set sleep_time=0
`))
			attachment := b.file("notes.txt", "Überschrift\n"+"a line\n")
			if out, err := b.try("Hello\n.\n", program, "-n", "-F", rc, "-s", "Grüße an mich", "-a", attachment, "--", "bob@example.test"); err != nil {
				t.Fatalf("sending: %v\n%s", err, out)
			}
			b.contains(b.imap("INBOX", "FETCH 1 (BODYSTRUCTURE)"), `"notes.txt"`, `"mixed"`)
			if program == "mutt" { // without a screen neomutt files nothing by IMAP
				b.contains(b.imap("Sent", "STATUS Sent (MESSAGES)"), "MESSAGES 1")
			}

			// A screen is needed to read: script makes one.
			b.send("second", "third")
			keys := `<flag-message><copy-message>=Archive<enter><last-entry><delete-message><sync-mailbox><quit>`
			b.run("script", "-qec", program+" -n -F "+rc+" -e 'push \""+keys+"\"'", filepath.Join(b.dir, "screen"))
			b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 2")
			b.contains(b.imap("INBOX", "FETCH 1 (FLAGS)"), `\Flagged`)
			b.contains(b.imap("Archive", "FETCH 1 (ENVELOPE)"), `"second"`)
		})
	}
}
