//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"waxwing/test/system"
)

// Roundcube logs in, lists, reads, searches, threads, flags, moves, makes a
// folder, answers and deletes, as a browser would ask it to.
func TestRoundcube(t *testing.T) {
	b := newBench(t)
	b.send("one", "two", "three")
	r := b.roundcube()
	r.login()
	list := r.ask("list", url.Values{"_mbox": {"INBOX"}}, nil)
	b.contains(list, `"subject":"one"`, `"subject":"two"`, `"subject":"three"`, "Messages 1 to 3 of 3")
	b.contains(r.page(url.Values{"_task": {"mail"}, "_action": {"show"}, "_mbox": {"INBOX"}, "_uid": {"1"}}), "..Two dots.", "Grüße")
	found := r.ask("search", url.Values{"_mbox": {"INBOX"}, "_q": {"grÜSSe two"}, "_headers": {"text"}, "_filter": {"ALL"}}, nil)
	b.contains(found, "Search returned no matches")
	found = r.ask("search", url.Values{"_mbox": {"INBOX"}, "_q": {"TWO dots"}, "_headers": {"text"}, "_filter": {"UNSEEN"}}, nil)
	b.contains(found, "2 messages found", `"subject":"two"`, `"subject":"three"`)
	b.contains(r.ask("mark", nil, url.Values{"_uid": {"2"}, "_flag": {"flagged"}, "_mbox": {"INBOX"}}), "marked successfully")
	b.contains(r.ask("move", nil, url.Values{"_uid": {"3"}, "_mbox": {"INBOX"}, "_target_mbox": {"Archive"}}), "moved successfully")
	b.contains(r.ask("list", url.Values{"_mbox": {"Archive"}}, nil), `"subject":"three"`, "Messages 1 to 1 of 1")

	compose := r.page(url.Values{"_task": {"mail"}, "_action": {"compose"}, "_mbox": {"INBOX"}, "_reply_uid": {"1"}})
	b.contains(r.page(url.Values{"_task": {"mail"}, "_action": {"send"}, "_framed": {"1"}}, url.Values{
		"_token": {r.token}, "_task": {"mail"}, "_action": {"send"}, "_id": {r.match(compose, `name="_id" value="(\w+)"`)},
		"_from": {r.match(compose, `<select name="_from"[^>]*>\s*<option value="(\d+)"`)}, "_to": {system.Alice}, "_subject": {"Re: one"},
		"_message": {"Danke schön\n.\n"}, "_is_html": {"0"}, "_store_target": {"Sent"}, "_framed": {"1"},
	}), "sent_successfully")
	b.contains(r.ask("list", url.Values{"_mbox": {"Sent"}, "_threads": {"1"}}, nil), `"subject":"Re: one"`)
	b.contains(r.ask("move", nil, url.Values{"_uid": {"2"}, "_mbox": {"INBOX"}, "_target_mbox": {"Trash"}}), "moved to Trash successfully")
	b.contains(r.ask("delete", nil, url.Values{"_uid": {"1"}, "_mbox": {"Archive"}}), "deleted successfully")

	b.contains(b.imap("INBOX", "FETCH 1:* (FLAGS)"), `\Answered`)
	b.contains(b.imap("Trash", "FETCH 1:* (FLAGS)"), `\Flagged`)
	b.contains(b.imap("INBOX", "STATUS Archive (MESSAGES)"), "MESSAGES 0")
	b.contains(b.imap("Sent", "FETCH 1 (ENVELOPE)"), `"Re: one"`)
	b.eventually("Alice has the answer", func() bool {
		out := b.run("curl", "-sS", "--cacert", b.CA(), "--user", system.Alice+":"+system.Password,
			fmt.Sprintf("imaps://127.0.0.1:%d/INBOX", b.Port(993)), "-X", "STATUS INBOX (MESSAGES)")
		return strings.Contains(out, "MESSAGES 1")
	})
}

// A roundcube is Debian's, with a database, a configuration and a web server
// of its own.
type roundcube struct {
	bench
	client http.Client
	base   string
	token  string // against requests from other sites
}

func (b bench) roundcube() *roundcube {
	b.Helper()
	dir := filepath.Dir(b.file("roundcube/config.inc.php", b.fill(`<?php
$config['db_dsnw'] = 'sqlite:////@DIR@/roundcube/roundcube.db?mode=0600';
$config['imap_host'] = 'ssl://localhost:@993@';
$config['smtp_host'] = 'tls://localhost:@587@';
$config['imap_conn_options'] = $config['smtp_conn_options'] = ['ssl' => ['verify_peer' => true, 'cafile' => '@CA@']];
$config['imap_cache'] = $config['messages_cache'] = 'db';
$config['des_key'] = 'not a secret, 24 octets.';
$config['log_dir'] = $config['temp_dir'] = '@DIR@/roundcube/';
$config['skin'] = 'elastic';
$config['plugins'] = [];
`)))
	for _, name := range []string{"defaults.inc.php", "mimetypes.php"} {
		b.file("roundcube/"+name, readFile(b.T, "/etc/roundcube/"+name))
	}
	out, err := os.Create(filepath.Join(dir, "php.out"))
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("php", "-d", "session.save_path="+dir, "-S", "127.0.0.1:0", "-t", "/var/lib/roundcube/public_html")
	cmd.Env = append(os.Environ(), "ROUNDCUBE_CONFIG_DIR="+dir)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = out.Close()
		if b.Failed() {
			errors, _ := os.ReadFile(filepath.Join(dir, "errors.log"))
			b.Logf("PHP said:\n%s\nRoundcube said:\n%s", readFile(b.T, out.Name()), errors)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	r := &roundcube{bench: b, client: http.Client{Jar: jar}}
	started := regexp.MustCompile(`\((http://127\.0\.0\.1:\d+)\) started`)
	b.eventually("PHP listens", func() bool {
		found := started.FindStringSubmatch(readFile(b.T, out.Name()))
		if found != nil {
			r.base = found[1] + "/?"
		}
		return found != nil
	})
	return r
}

func (r *roundcube) login() {
	r.Helper()
	first := r.page(nil)
	r.token = r.match(first, `"request_token":"(\w+)"`)
	inbox := r.page(url.Values{"_task": {"login"}}, url.Values{"_task": {"login"}, "_action": {"login"}, "_token": {r.token},
		"_user": {system.Bob}, "_pass": {system.Password}, "_timezone": {"UTC"}, "_url": {""}})
	r.contains(inbox, "<title>Roundcube Webmail :: Inbox</title>")
	r.token = r.match(inbox, `"request_token":"(\w+)"`)
}

// page gets what a browser shows; with values in form it posts them.
func (r *roundcube) page(query url.Values, form ...url.Values) string {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.base+query.Encode(), nil)
	if err != nil {
		r.Fatal(err)
	}
	if len(form) > 0 {
		req.Method = http.MethodPost
		req.Body = io.NopCloser(strings.NewReader(form[0].Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r.do(req)
}

// ask does what a page's script does: it gives the lines to run.
func (r *roundcube) ask(action string, query, form url.Values) string {
	r.Helper()
	q := url.Values{"_task": {"mail"}, "_action": {action}, "_remote": {"1"}}
	for k, v := range query {
		q[k] = v
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.base+q.Encode(), strings.NewReader(form.Encode()))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Requested-With", "XMLHttpRequest")
	req.Header.Set("X-Roundcube-Request", r.token)
	var answer struct{ Exec string }
	text := r.do(req)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		r.Fatalf("%s: %v\n%.2000s", action, err, text)
	}
	return answer.Exec
}

func (r *roundcube) do(req *http.Request) string {
	r.Helper()
	res, err := r.client.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		r.Fatalf("%s: %s\n%.2000s", req.URL, res.Status, text)
	}
	return string(text)
}

// match gives the first group of a pattern that text must have.
func (r *roundcube) match(text, pattern string) string {
	r.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		r.Fatalf("no %s in:\n%.4000s", pattern, text)
	}
	return found[1]
}
