package test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"waxwing/proto/smtp"
)

// Every reply that the code can give stands in docs/smtp-replies.md: with its
// code and enhanced code if it is said to a client, with its enhanced code if
// it is what we say of other hosts. And what the table says to a client with an
// enhanced code, the code can give.
func TestReplies(t *testing.T) {
	table, err := os.ReadFile("../docs/smtp-replies.md")
	if err != nil {
		t.Fatal(err)
	}
	ways := []*regexp.Regexp{
		regexp.MustCompile(`Code:\s*(\d{3}),\s*Enhanced:\s*(?:smtp\.)?Enhanced\{(\d), (\d+), (\d+)\}`),
		regexp.MustCompile(`\b(?:refuse|ok)\((\d{3}), (?:(\d), )?(\d+), (\d+), `),
		regexp.MustCompile(`\bownRefusal\(()(\d), (\d+), (\d+), `),
	}
	found, given := 0, map[string]bool{}
	for _, room := range []string{"../proto/smtp", "../flow", "../serve/mx", "../serve/submission", "../serve/lmtp"} {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			ofOthers := strings.HasPrefix(path, "../flow/relay/") || strings.HasPrefix(path, "../proto/smtp/smtpclient/")
			for _, way := range ways {
				for _, m := range way.FindAllStringSubmatch(string(text), -1) {
					if m[2] == "" {
						m[2] = "2" // ok
					}
					found++
					enhanced := strings.Join(m[2:5], ".")
					want := "`" + m[1] + " " + enhanced
					given[want] = true
					if ofOthers {
						want = enhanced
					}
					if !strings.Contains(string(table), want) {
						t.Errorf("%s: %s %s is not in docs/smtp-replies.md", strings.TrimPrefix(path, "../"), m[1], enhanced)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	said, _, _ := strings.Cut(string(table), "## What we say of other hosts")
	for _, listed := range regexp.MustCompile("`\\d{3} \\d\\.\\d+\\.\\d+").FindAllString(said, -1) {
		if !given[listed] {
			t.Errorf("docs/smtp-replies.md has %s, which is nowhere in the code", listed[1:])
		}
	}
	if limits := fmt.Sprintf("line too long (%d octets; AUTH %d)", smtp.MaxLine, smtp.MaxAuthLine); !strings.Contains(said, limits) {
		t.Errorf("docs/smtp-replies.md does not say: %s", limits)
	}
	if found < 80 {
		t.Errorf("%d replies in the code; are they written in another way now?", found)
	}
}
