package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"waxwing/mail"
)

// A destination is a mailbox of ours that a message goes to.
type destination struct {
	name string
	role mail.Role
}

// What Gmail's labels mean, as IMAP and as Takeout spell them. Those with an
// empty destination say something else than where a message is.
var labels = map[string]destination{
	`\inbox`: {"INBOX", mail.RoleInbox}, "inbox": {"INBOX", mail.RoleInbox},
	`\sent`: {"Sent", mail.RoleSent}, "sent": {"Sent", mail.RoleSent},
	`\draft`: {"Drafts", mail.RoleDrafts}, `\drafts`: {"Drafts", mail.RoleDrafts}, "drafts": {"Drafts", mail.RoleDrafts},
	`\junk`: {"Junk", mail.RoleJunk}, `\spam`: {"Junk", mail.RoleJunk}, "spam": {"Junk", mail.RoleJunk},
	`\trash`: {"Trash", mail.RoleTrash}, "trash": {"Trash", mail.RoleTrash},
	`\important`: {}, "important": {}, `\starred`: {}, "starred": {}, `\muted`: {},
	"unread": {}, "opened": {}, "archived": {}, "muted": {},
}

// archive is where a message goes that is in no mailbox.
var archive = destination{"Archive", mail.RoleArchive}

// labelled gives the mailboxes for labels; several names for one mailbox count
// once.
func labelled(list []string) []destination {
	var to []destination
	seen := map[string]bool{}
	for _, l := range list {
		d, known := labels[strings.ToLower(l)]
		if !known && !strings.HasPrefix(l, `\`) && !strings.HasPrefix(strings.ToLower(l), "category ") {
			d = destination{name: levelsName(strings.Split(l, "/"))}
		}
		if d.name != "" && !seen[d.name] {
			seen[d.name] = true
			to = append(to, d)
		}
	}
	if len(to) == 0 {
		return []destination{archive}
	}
	if len(to) > maxLabels {
		to = to[:maxLabels]
	}
	return to
}

// maxLabels is in how many mailboxes a message is put.
const maxLabels = 40

// labelItem tells the places of one message apart.
func labelItem(item string, d destination) string {
	if len(item) > 31 {
		item = item[:31] // 124 bits of the hash are plenty
	}
	sum := sha256.Sum256([]byte(d.name))
	return item + "." + hex.EncodeToString(sum[:4])
}
