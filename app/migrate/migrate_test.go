package migrate

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waxwing/format/mbox"
	"waxwing/mail"
	"waxwing/serve/adminapi"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/directory"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
	"waxwing/test/bucket"
)

const ann = "ann@example.test"

// serve runs an administration socket over empty rooms with one account.
func serve(t *testing.T) *adminapi.Client { return serveWith(t, memblob.New(0)) }

// serveWith has its large bodies in a store that the caller closes.
func serveWith(t *testing.T, blobs blob.Store) *adminapi.Client {
	t.Helper()
	db := memkv.New()
	mailboxes := mailbox.New(db, blobs, mailbox.Options{})
	api := adminapi.New(adminapi.Options{
		Directory: directory.New(db), Mailboxes: mailboxes, Blobs: blobs,
		Queue: outqueue.New(db, blobs, outqueue.Options{Shards: 1}), Log: slog.New(slog.DiscardHandler),
	})
	dir := t.TempDir()
	l, err := adminapi.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler()}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		_ = mailboxes.Close()
	})
	client := adminapi.NewClient(dir)
	if _, err := client.AddDomain(t.Context(), adminapi.Domain{Name: "example.test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddAccount(t.Context(), adminapi.NewAccount{Address: ann}); err != nil {
		t.Fatal(err)
	}
	return client
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run imports and must not fail.
func run(t *testing.T, client *adminapi.Client, from string, im Import) Summary {
	t.Helper()
	source, err := Open(t.Context(), from, OpenOptions{MboxFormat: mbox.Auto})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	im.Client, im.Account, im.Source = client, ann, source
	sum, err := im.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return *sum
}

// contents gives all messages by mailbox: flags, date and text.
func contents(t *testing.T, client *adminapi.Client) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	boxes, err := client.Mailboxes(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range boxes {
		var uids []uint32
		for e := range client.Entries(t.Context(), ann, m.ID) {
			uids = append(uids, e.UID)
		}
		err := client.Messages(t.Context(), ann, m.ID, uids, func(e adminapi.Entry, r io.Reader) error {
			text, err := io.ReadAll(r)
			all[m.Name] = append(all[m.Name], fmt.Sprintf("%q %d %q", e.Flags, e.Internal, text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// A Maildir as twenty years leave it.
func oldMaildir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "Maildir")
	for name, text := range map[string]string{
		"cur/1000000001.M1.h,S=21:2,S":                   "Subject: one\n\nHello\n",
		"new/1000000002.M2.h":                            "Subject: two\n\nHello\n",
		"cur/1000000003.M3.h,S=24,W=24:2,RSa":            "Subject: crlf\r\n\r\nHello\r\n",
		"cur/1000000004.M4.h:2,PTb":                      "Subject: " + strings.Repeat("long ", 10) + "\n\n" + strings.Repeat("0123456789\n", 200_000),
		"cur/1000000005.M5.h,S=10,W=10:2,D":              "a: b\n\r\nx\ry",
		"tmp/1000000009.M9.h":                            "half a mess",
		"cur/.nfs0001":                                   "junk",
		"dovecot-keywords":                               "0 $Forwarded\n1 Work\n",
		"dovecot-uidlist":                                "3 V1 N2\n",
		"subscriptions":                                  "Sent Items\nLists.Gr&APwA3w-e\n",
		".Sent Items/cur/1000000006.M6.h:2,S":            "Subject: six\n\nx\n",
		".Sent Items/new/.keep":                          "",
		".Lists.Gr&APwA3w-e/cur/1000000007.M7.h:2,S":     "Subject: seven\n\nx\n",
		".Lists.Gr&APwA3w-e/maildirfolder":               "",
		".v1\\2e2/cur/1000000008.M8.h:2,":                "Subject: eight\n\nx\n",
		"Nested/Deep 100%/cur/1000000010.M10.h:2,F":      "Subject: ten\n\nx\n",
		".Bad&AOQ/cur/1000000011.M11.h:2,":               "Subject: eleven\n\nx\n",
		".INBOX.Courier/cur/1000000012.M12.h:2,":         "Subject: twelve\n\nx\n",
		"cur/1000000013.M13.h:2,S/cur/not-a-message.txt": "a directory where a message should be",
	} {
		write(t, filepath.Join(dir, name), text)
		date := time.Unix(1_100_000_000, 0)
		_ = os.Chtimes(filepath.Join(dir, name), date, date)
	}
	return dir
}

func TestMaildir(t *testing.T) {
	client, dir := serve(t), oldMaildir(t)
	if sum := run(t, client, dir, Import{DryRun: true}); sum.Imported != 11 || len(contents(t, client)["INBOX"]) != 0 {
		t.Errorf("dry: %+v", sum)
	}
	sum := run(t, client, dir, Import{})
	if sum.Imported != 11 || sum.There != 0 || len(sum.Notes) == 0 {
		t.Errorf("%+v", sum)
	}
	got := contents(t, client)
	inbox := got["INBOX"]
	for i, want := range []string{
		`["\\Seen"] 1100000000 "Subject: one\r\n\r\nHello\r\n"`, `[] 1100000000 "Subject: two\r\n\r\nHello\r\n"`,
		`["\\Seen" "\\Answered" "$Forwarded"] 1100000000 "Subject: crlf\r\n\r\nHello\r\n"`, `["\\Deleted" "$Forwarded" "Work"]`,
		`["\\Draft"] 1100000000 "a: b\n\r\nx\ry"`,
	} {
		if i >= len(inbox) || !sameWords(strings.Fields(inbox[i][:min(len(inbox[i]), len(want))]), strings.Fields(want)) && !strings.Contains(inbox[i], "long long") {
			t.Errorf("%d: %.100s, want %s", i, inbox[i], want)
		}
	}
	for _, name := range []string{"Sent", "Lists/Grüße", "v1.2", "Nested/Deep 100_", "Bad&AOQ", "Courier"} {
		if len(got[name]) != 1 {
			t.Errorf("%s has %d messages", name, len(got[name]))
		}
	}
	if again := run(t, client, dir, Import{}); again.Imported != 0 || again.There != 11 || again.Flags != 0 {
		t.Errorf("again: %+v", again)
	}
	// Flags change, a message goes, another comes.
	_ = os.Rename(filepath.Join(dir, "cur/1000000001.M1.h,S=21:2,S"), filepath.Join(dir, "cur/1000000001.M1.h,S=21:2,FS"))
	_ = os.Remove(filepath.Join(dir, "new/1000000002.M2.h"))
	write(t, filepath.Join(dir, "new/1000000020.M20.h"), "Subject: new\n\nx\n")
	if sum := run(t, client, dir, Import{KeepFlags: true}); sum.Imported != 1 || sum.Flags != 0 {
		t.Errorf("%+v", sum)
	}
	if sum := run(t, client, dir, Import{Delete: true}); sum.Imported != 0 || sum.Flags != 1 || sum.Deleted != 1 {
		t.Errorf("%+v", sum)
	}
	if got := contents(t, client)["INBOX"]; len(got) != 5 || !strings.Contains(got[0], `\\Flagged`) {
		t.Errorf("%.200q", got)
	}
}

// What is exported comes back as it was, in both formats, and again changes
// nothing; changed flags are carried over.
func TestRoundTrip(t *testing.T) {
	for _, format := range []string{"maildir", "mbox"} {
		t.Run(format, func(t *testing.T) {
			client, out := serve(t), t.TempDir()
			run(t, client, oldMaildir(t), Import{})
			odd := adminapi.WantedMailbox{Name: "A.mbox/..b/~.x\\y.sbd/" + strings.Repeat("ü", 50)}
			m, err := client.PutMailbox(t.Context(), ann, odd)
			if err != nil {
				t.Fatal(err)
			}
			var flags []string
			for i := range 40 {
				flags = append(flags, fmt.Sprint("keyword", i))
			}
			for i, text := range []string{"From me\r\n\r\nFrom you\r\n", "", "x\n", "Status: RO\r\n\r\n\r\n"} {
				_, err := client.AddMessages(t.Context(), ann, []adminapi.Outgoing{{
					Incoming: adminapi.Incoming{Size: int64(len(text)), Internal: int64(i), Flags: flags, Places: []adminapi.Place{
						{Mailbox: m.ID, Source: strings.Repeat("0", 32), Item: fmt.Sprint(i)}}},
					Text: strings.NewReader(text),
				}})
				if err != nil {
					t.Fatal(err)
				}
			}
			want := contents(t, client)
			export := func(exported, there, changed int) {
				t.Helper()
				ex := Export{Client: client, Account: ann, Dir: out, Mbox: format == "mbox"}
				sum, err := ex.Run(t.Context())
				if err != nil || sum.Exported != exported || sum.There != there || sum.Flags != changed {
					t.Errorf("%+v, %v", sum, err)
				}
			}
			export(15, 0, 0)
			export(0, 15, 0)

			other := serveWith(t, bucket.New(t))
			if sum := run(t, other, out, Import{}); sum.Imported != 15 || sum.Failed != 0 {
				t.Errorf("%+v", sum)
			}
			got := contents(t, other)
			for name, list := range want {
				slices.Sort(list)
				slices.Sort(got[name])
				if !slices.Equal(got[name], list) {
					t.Errorf("%s: %.300q\nwant %.300q", name, got[name], list)
				}
			}

			dir := oldMaildir(t)
			_ = os.Rename(filepath.Join(dir, "cur/1000000001.M1.h,S=21:2,S"), filepath.Join(dir, "cur/1000000001.M1.h,S=21:2,FS"))
			run(t, client, dir, Import{})
			export(0, 15, 1)
			if sum := run(t, other, out, Import{}); sum.Imported != 0 || sum.Flags != 1 {
				t.Errorf("%+v", sum)
			}
		})
	}
}

func TestTakeout(t *testing.T) {
	client := serve(t)
	message := func(subject, labels string) string {
		return "From 1@xxx Thu Jan 05 10:11:12 +0000 2006\nX-GM-THRID: 1\nX-Gmail-Labels: " + labels + "\nSubject: " + subject + "\n\nx\n\n"
	}
	path := filepath.Join(t.TempDir(), "All mail Including Spam and Trash.mbox")
	write(t, path, message("a", "Inbox,Important,Family/Möwe")+message("b", "Archived,Unread")+message("c", "Sent,Opened")+message("d", "Spam,Unread")+message("a", "Inbox,Important,Family/Möwe"))
	sum := run(t, client, path, Import{})
	if sum.Imported != 7 {
		t.Errorf("%+v", sum)
	}
	got := contents(t, client)
	for name, n := range map[string]int{"INBOX": 2, "Family/Möwe": 2, "Archive": 1, "Sent": 1, "Junk": 1} {
		if len(got[name]) != n {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	if !strings.HasPrefix(got["Archive"][0], "[] ") || !strings.Contains(got["INBOX"][0], `\\Seen`) {
		t.Errorf("%q", got)
	}
	if sum := run(t, client, path, Import{}); sum.Imported != 0 || sum.There != 7 {
		t.Errorf("%+v", sum)
	}
}

func TestChoice(t *testing.T) {
	client, dir := serve(t), oldMaildir(t)
	sum := run(t, client, dir, Import{Only: []string{"lists", "INBOX"}, Exclude: []string{"*grüße"}, MaxSize: 1000, Since: time.Unix(1_000_000_000, 0), Into: "Old/Mail"})
	if sum.Imported != 4 || sum.Left != 1 {
		t.Errorf("%+v", sum)
	}
	if got := contents(t, client); len(got) != 1 || len(got["Old/Mail/INBOX"]) != 4 {
		t.Errorf("%q", got)
	}
	source, err := Open(t.Context(), dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	im := Import{Client: client, Account: ann, Source: source, Only: []string{"nothing"}}
	if _, err := im.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "INBOX") {
		t.Error(err)
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"INBOX", "INBOX", true}, {"inbox", "INBOX/a", true}, {"INBOX", "INBOXES", false}, {"*", "a/b", true}, {"a*c", "abc", true},
		{"a*c", "ab", false}, {"*x*", "axb", true}, {"*/b", "a/b", true}, {"a*a", "a", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%q, %q: %v", tt.pattern, tt.name, got)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ levels, want string }{
		{"inbox/a", "INBOX/a"}, {"a\x00b/ c ", "a_b/c"}, {"../x", "___/x"}, {"#x", "_#x"}, {"100%/*", "100_/_"}, {"\xff", "_"}, {"", "_"},
	} {
		got := levelsName(strings.Split(tt.levels, "/"))
		if clean, err := mailbox.CleanName(got); got != tt.want || err != nil || clean != got {
			t.Errorf("%q: %q, want %q; %v", tt.levels, got, tt.want, err)
		}
	}
}

func TestLongNames(t *testing.T) {
	a, b := fileName(strings.Repeat("ü", 300)+"a"), fileName(strings.Repeat("ü", 300)+"b")
	if len(a) > 240 || a == b || !strings.HasPrefix(a, "üüü") || fileName("short") != "short" {
		t.Errorf("%q, %q", a, b)
	}
}

// Whatever a folder is called elsewhere, its name here is one that the store
// takes; and what we write to a disk is read as the same name.
func FuzzFolderName(f *testing.F) {
	f.Add("Gr&APwA3w-e/\\2e..")
	f.Add("#a/%*/ x")
	f.Fuzz(func(t *testing.T, raw string) {
		var levels []string
		for level := range strings.SplitSeq(raw, "/") {
			levels = append(levels, diskLevel(level))
		}
		name := levelsName(levels)
		clean, err := mailbox.CleanName(name)
		if err != nil && strings.Count(raw, "/") < 30 {
			t.Fatalf("%q became %q: %v", raw, name, err)
		}
		if err != nil || clean != name || len(name) > 200 {
			return
		}
		var back []string
		for _, level := range maildirLevels(name) {
			if strings.ContainsAny(level, "./") {
				t.Fatalf("%q lies in %q", name, level)
			}
			back = append(back, diskLevel(level))
		}
		if again := strings.Join(back, "/"); again != name {
			t.Fatalf("%q came back as %q", name, again)
		}
		if path := mboxPath("/d", name); !strings.HasPrefix(path, "/d/") || strings.Contains(path, "/../") {
			t.Fatalf("%q lies at %q", name, path)
		}
	})
}

func TestCRLF(t *testing.T) {
	for in, want := range map[string]string{"": "", "a\nb\r\n\nc": "a\r\nb\r\n\r\nc", "\n": "\r\n", "a\rb\r": "a\rb\r"} {
		got, err := io.ReadAll(newCRLFReader(strings.NewReader(in)))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		got, _ = io.ReadAll(newCRLFReader(io.MultiReader(bytes.NewReader([]byte(in)[:len(in)/2]), bytes.NewReader([]byte(in)[len(in)/2:]))))
		if string(got) != want {
			t.Errorf("%q in pieces: %q", in, got)
		}
	}
}

func TestGroups(t *testing.T) {
	var list []Message
	for i := range 500 {
		list = append(list, Message{at: int64(i + 1), Size: 1000})
	}
	list[10].Size = 10 << 20
	got := groups(list)
	if len(got) != 5 || len(got[0]) != 10 || !slices.Equal(got[1], []mail.UID{11}) || len(got[2]) != 200 {
		t.Errorf("%d groups", len(got))
	}
}
