package migrate

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"waxwing/mail"
	"waxwing/proto/imap"
	"waxwing/store/mailbox"
)

// wellKnown are names under which mail programs keep what has a role, where no
// SPECIAL-USE (RFC 6154) says so.
var wellKnown = map[string]mail.Role{
	"inbox": mail.RoleInbox,
	"sent":  mail.RoleSent, "sent items": mail.RoleSent, "sent messages": mail.RoleSent, "sent mail": mail.RoleSent,
	"gesendet": mail.RoleSent, "gesendete elemente": mail.RoleSent, "gesendete objekte": mail.RoleSent,
	"envoyés": mail.RoleSent, "éléments envoyés": mail.RoleSent, "enviados": mail.RoleSent, "elementos enviados": mail.RoleSent,
	"inviati": mail.RoleSent, "posta inviata": mail.RoleSent, "verzonden items": mail.RoleSent, "отправленные": mail.RoleSent,
	"drafts": mail.RoleDrafts, "draft": mail.RoleDrafts, "entwürfe": mail.RoleDrafts, "brouillons": mail.RoleDrafts,
	"borradores": mail.RoleDrafts, "bozze": mail.RoleDrafts, "concepten": mail.RoleDrafts, "черновики": mail.RoleDrafts,
	"trash": mail.RoleTrash, "deleted items": mail.RoleTrash, "deleted messages": mail.RoleTrash, "bin": mail.RoleTrash,
	"papierkorb": mail.RoleTrash, "gelöschte elemente": mail.RoleTrash, "gelöschte objekte": mail.RoleTrash, "corbeille": mail.RoleTrash,
	"papelera": mail.RoleTrash, "cestino": mail.RoleTrash, "prullenbak": mail.RoleTrash, "корзина": mail.RoleTrash,
	"junk": mail.RoleJunk, "spam": mail.RoleJunk, "junk e-mail": mail.RoleJunk, "junk email": mail.RoleJunk, "bulk mail": mail.RoleJunk,
	"courrier indésirable": mail.RoleJunk, "спам": mail.RoleJunk,
	"archive": mail.RoleArchive, "archives": mail.RoleArchive, "archiv": mail.RoleArchive,
}

// giveRoles gives roles by name to folders of the top level, where no other
// folder has the role; each role is given once.
func giveRoles(list []Folder) {
	taken := map[mail.Role]bool{}
	for i := range list {
		f := &list[i]
		if f.Role != mail.RoleNone && taken[f.Role] {
			f.Role = mail.RoleNone
		}
		taken[f.Role] = true
	}
	for i := range list {
		f := &list[i]
		role := wellKnown[strings.ToLower(norm.NFC.String(f.Name))]
		if f.Role == mail.RoleNone && role != mail.RoleNone && !taken[role] {
			f.Role, taken[role] = role, true
		}
	}
}

// sortFolders puts INBOX first and parents before their children.
func sortFolders(list []Folder) {
	slices.SortStableFunc(list, func(a, b Folder) int {
		inA, inB := a.Name == mailbox.InboxName, b.Name == mailbox.InboxName
		switch {
		case inA && !inB:
			return -1
		case inB && !inA:
			return 1
		}
		return slices.Compare(strings.Split(a.Name, mailbox.Separator), strings.Split(b.Name, mailbox.Separator))
	})
}

// levelsName makes a name of ours of levels that may hold anything.
func levelsName(levels []string) string {
	clean := make([]string, 0, len(levels))
	for _, level := range levels {
		clean = append(clean, cleanLevel(level))
	}
	name := strings.Join(clean, mailbox.Separator)
	if strings.HasPrefix(name, "#") {
		name = "_" + name // RFC 9051 §5.1.2.1: # is for namespaces
	}
	if len(name) > maxName { // some level has gone mad
		name = strings.ToValidUTF8(name[:maxName], "")
		name = strings.TrimRight(name, mailbox.Separator+" ")
	}
	return imap.FoldInbox(name)
}

const maxName = 900

// cleanLevel replaces what a mailbox's name cannot have.
func cleanLevel(level string) string {
	level = strings.Map(func(r rune) rune {
		switch {
		case r == '%' || r == '*' || r == '/' || r == utf8.RuneError || unicode.IsControl(r) || r == 0x2028 || r == 0x2029:
			return '_'
		}
		return r
	}, norm.NFC.String(strings.ToValidUTF8(level, "_")))
	level = strings.TrimSpace(level)
	if level == "" || level == "." || level == ".." {
		return "_" + strings.Repeat("_", len(level))
	}
	return level
}

// diskLevel reads one level of a folder's name from a disk: modified UTF-7, as
// servers write it, or UTF-8, and with the escapes of Dovecot's listescape,
// which we write for what else would not fit.
func diskLevel(raw string) string {
	if name, err := imap.DecodeUTF7(raw); err == nil {
		raw = name
	}
	return unescapeLevel(raw)
}

// unescapeLevel reads "\2e" for ".".
func unescapeLevel(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.WriteByte(c[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escapeLevel is the opposite, for what a file system or a layout cannot have
// in a name, and for backslashes.
func escapeLevel(level, special string) string {
	var b strings.Builder
	for i := 0; i < len(level); i++ {
		c := level[i]
		if c < ' ' || c == 0x7f || c == '/' || c == '\\' || strings.IndexByte(special, c) >= 0 {
			b.WriteString(`\` + hex.EncodeToString([]byte{c}))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// fileName shortens a name that no file system takes; its hash keeps it apart
// from others.
func fileName(name string) string {
	const longest = 240 // of 255, to leave room for what is put behind
	if len(name) <= longest {
		return name
	}
	cut := strings.ToValidUTF8(name[:longest-20], "")
	return cut + "-" + sourceID(name)[:16]
}
