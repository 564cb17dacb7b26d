package submission_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"waxwing/proto/imap/imapserver"
	"waxwing/proto/sasl"
	"waxwing/proto/smtp"
	"waxwing/serve/submission"
)

// Which URLs are followed, and what is said of the others. RFC 4468 §6
func TestURLs(t *testing.T) {
	asked := ""
	urls := submission.NewURLs([]string{"mail.example.test"}, func(_ context.Context, who sasl.Identity, url string) (*imapserver.URLData, error) {
		asked = url
		switch {
		case strings.Contains(url, "uid=1;"):
			return &imapserver.URLData{Reader: strings.NewReader("text")}, nil
		case strings.Contains(url, "uid=2;"):
			return nil, imapserver.ErrURL
		}
		return nil, errors.New("the disk is on fire")
	})
	const auth = ";urlauth=submit+ann:internal:91354a473744909de610943775f92038"
	for url, want := range map[string]string{
		"imap://ann@mail.example.test/Drafts/;uid=1" + auth:     "",
		"imap://ann@MAIL.example.test:143/Drafts/;uid=1" + auth: "",
		"imap://ann@mail.example.test/Drafts/;uid=2" + auth:     "554 5.7.0",
		"imap://ann@mail.example.test/Drafts/;uid=3" + auth:     "the disk",
		"imap://ann@other.example.test/Drafts/;uid=1" + auth:    "554 5.7.8",
		"imap://ann@mail.example.test/Drafts/;uid=1":            "554 5.7.0",
		"http://mail.example.test/x":                            "554 5.7.0",
		"nonsense":                                              "554 5.7.0",
	} {
		asked = ""
		r, err := urls.Fetch(t.Context(), sasl.Identity{}, url)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", url, err, want)
			}
			if refusal, ok := errors.AsType[*smtp.Refusal](err); ok && refusal.Enhanced.String() == "5.7.8" && asked != "" {
				t.Errorf("%s was asked for", url)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if text, err := io.ReadAll(r); err != nil || string(text) != "text" {
			t.Errorf("%s: %q, %v", url, text, err)
		}
	}
}
