package imap

import (
	"reflect"
	"testing"

	"waxwing/mail"
)

// Commands about what stands beside messages: rights, limits, annotations.
func TestParseBeside(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Command // nil for a syntax error
	}{
		{"SETACL a bob lr", SetACL{Mailbox: "a", Identifier: "bob", Rights: mail.RightLookup | mail.RightRead}},
		{`SETACL a -bob "+c"`, SetACL{Mailbox: "a", Identifier: "-bob", Op: StoreAdd, Rights: mail.RightCreate | mail.RightDelete}},
		{`SETACL a bob -`, SetACL{Mailbox: "a", Identifier: "bob", Op: StoreRemove}},
		{`SETACL a bob ""`, SetACL{Mailbox: "a", Identifier: "bob"}},
		{"SETACL a bob lz", nil},
		{"SETACL a bob", nil},
		{"DELETEACL a bob", SetACL{Mailbox: "a", Identifier: "bob", Delete: true}},
		{"LISTRIGHTS a bob", ListRights{"a", "bob"}},
		{"SETQUOTA r (STORAGE 5 message 7)", SetQuota{"r", []ResourceLimit{{"STORAGE", 5}, {"MESSAGE", 7}}}},
		{`SETQUOTA "" ()`, SetQuota{Root: ""}},
		{"SETQUOTA r (STORAGE 99999999999999999999)", nil},
		{"GETMETADATA a /Shared/x", GetMetadata{Mailbox: "a", MaxSize: -1, Entries: []string{"/shared/x"}}},
		{"GETMETADATA (MAXSIZE 5 DEPTH infinity) a (/private/x /shared)",
			GetMetadata{Mailbox: "a", MaxSize: 5, Depth: DepthInfinity, Entries: []string{"/private/x", "/shared"}}},
		{`GETMETADATA "" (DEPTH 1) /private`, GetMetadata{MaxSize: -1, Depth: DepthOne, Entries: []string{"/private"}}},
		{"GETMETADATA a ()", nil},
		{"GETMETADATA a /privately/x", nil},
		{"SETMETADATA a (/private/x NIL /shared/y ~{3}\r\na\x00b)",
			SetMetadata{"a", []MetadataEntry{{"/private/x", nil}, {"/shared/y", []byte("a\x00b")}}}},
		{`SETMETADATA a (/private/x "")`, SetMetadata{"a", []MetadataEntry{{"/private/x", []byte{}}}}},
		{"SETMETADATA a (/private/x ~{9}\r\nshort)", nil},
		{"SETMETADATA a (/shared/vendor/acme/b/ NIL)", nil},
		{"LANGUAGE", Language{}},
		{"LANGUAGE de \"en\"", Language{[]string{"de", "en"}}},
		{`RLIST "" *`, List{Remote: true, Patterns: []string{"*"}}},
		{`LIST "" a RETURN (MYRIGHTS METADATA ("/shared/a"))`,
			List{Patterns: []string{"a"}, Extended: true, Return: ReturnMyRights | ReturnMetadata, Entries: []string{"/shared/a"}}},
	} {
		got, err := Parse([]byte(tt.in))
		if (err == nil) != (tt.want != nil) || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
}
