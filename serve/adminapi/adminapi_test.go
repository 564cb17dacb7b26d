package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waxwing/flow/policy"
	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
	"waxwing/store/directory"
	"waxwing/store/kv"
	"waxwing/store/kv/memkv"
	"waxwing/store/mailbox"
	"waxwing/store/outqueue"
	"waxwing/store/peers"
)

// A house is an API over empty rooms, and its client.
type house struct {
	*Client
	data  string
	dir   *directory.Directory
	queue *outqueue.Queue
	mail  *mailbox.Store
	db    kv.Store
	blobs blob.Store
	peers *peers.Store
	log   *bytes.Buffer
}

func open(t *testing.T, data string) house {
	t.Helper()
	db, blobs := memkv.New(), memblob.New(0)
	h := house{Client: NewClient(data), data: data, dir: directory.New(db), db: db, blobs: blobs, log: new(bytes.Buffer)}
	h.queue = outqueue.New(db, blobs, outqueue.Options{Shards: 2})
	mailboxes := mailbox.New(db, blobs, mailbox.Options{})
	h.mail = mailboxes
	var err error
	if h.peers, err = peers.Open(t.Context(), db, peers.Options{}); err != nil {
		t.Fatal(err)
	}
	api := New(Options{
		Directory: h.dir, Mailboxes: mailboxes, Blobs: blobs, Queue: h.queue, Peers: h.peers, Rules: policy.Defaults(),
		Status: Status{Version: "v1", Hostname: "mx.example.test", Started: time.Now()},
		Log:    slog.New(slog.NewTextHandler(h.log, nil)),
	})
	l, err := Listen(data)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler()}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
		if err := mailboxes.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// account gives the number of an account.
func (h house) account(t *testing.T, address string) mail.AccountID {
	t.Helper()
	a, err := mail.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return must(h.dir.AccountByAddress(t.Context(), a))(t).ID
}

// refused checks that an error is a problem of a status that says something.
func refused(t *testing.T, err error, status int, say string) {
	t.Helper()
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Status != status || !strings.Contains(p.Detail, say) {
		t.Errorf("got %#v, want status %d and %q", err, status, say)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAccounts(t *testing.T) {
	h, ctx := open(t, t.TempDir()), t.Context()
	must(h.AddDomain(ctx, Domain{Name: "example.test"}))(t)
	ann := must(h.AddAccount(ctx, NewAccount{Address: "ann@example.test", Name: "Ann", Quota: 5e9}))(t)
	if len(ann.Password) != 24 || ann.Quota != 5e9 || ann.Name != "Ann" {
		t.Errorf("%+v", ann)
	}
	if strings.Contains(h.log.String(), ann.Password) {
		t.Error("the password is in the log")
	}
	bob := must(h.AddAccount(ctx, NewAccount{Address: "bob@example.test", Password: "correct horse"}))(t)
	if bob.Password != "" {
		t.Error("a given password is said again")
	}
	shown := must(h.Account(ctx, "ANN@example.test"))(t)
	if shown.Used == nil || *shown.Used != 0 || shown.Messages == nil || shown.ID != ann.ID {
		t.Errorf("%+v", shown)
	}

	disabled, quota := true, int64(1e6)
	changed := must(h.ChangeAccount(ctx, "ann@example.test", AccountChange{Disabled: &disabled, Quota: &quota}))(t)
	if !changed.Disabled || changed.Quota != 1e6 || changed.Name != "Ann" {
		t.Errorf("%+v", changed)
	}
	if again := must(h.SetPassword(ctx, "ann@example.test", ""))(t); len(again.Password) != 24 || again.Password == ann.Password {
		t.Errorf("%+v", again)
	}
	if got := must(h.dir.Login(ctx, "ann@example.test"))(t); got.Hash == "" {
		t.Error("no password was set")
	}

	_, err := h.AddAccount(ctx, NewAccount{Address: "ann@example.test"})
	refused(t, err, http.StatusConflict, "already")
	_, err = h.AddAccount(ctx, NewAccount{Address: "eve@elsewhere.test"})
	refused(t, err, http.StatusUnprocessableEntity, "waxwing domain add elsewhere.test")
	_, err = h.AddAccount(ctx, NewAccount{Address: "no address"})
	refused(t, err, http.StatusUnprocessableEntity, "not a mail address")
	_, err = h.AddAccount(ctx, NewAccount{Address: "eve@example.test", Password: "short"})
	refused(t, err, http.StatusUnprocessableEntity, "at least 8")
	_, err = h.AddAccount(ctx, NewAccount{Address: "eve@example.test", Quota: -1})
	refused(t, err, http.StatusUnprocessableEntity, "negative")
	_, err = h.Account(ctx, "eve@example.test")
	refused(t, err, http.StatusNotFound, "eve@example.test")

	must(h.AddAlias(ctx, NewAlias{Address: "team@example.test", Targets: []string{"ann@example.test"}}))(t)
	refused(t, h.DeleteAccount(ctx, "ann@example.test"), http.StatusConflict, "in use")
	refused(t, h.DeleteDomain(ctx, "example.test"), http.StatusConflict, "in use")
	if err := errors.Join(h.DeleteAlias(ctx, "team@example.test"), h.DeleteAccount(ctx, "ann@example.test"),
		h.DeleteAccount(ctx, "bob@example.test"), h.DeleteDomain(ctx, "example.test")); err != nil {
		t.Error(err)
	}
}

// Lists longer than a page come whole, in order and without doubles.
func TestPages(t *testing.T) {
	h, ctx := open(t, t.TempDir()), t.Context()
	const n = 2*maxPage + 3
	for i := range n {
		must(h.dir.AddDomain(ctx, time.Now(), directory.Domain{Name: fmt.Sprintf("d%05d.test", i)}))(t)
	}
	i := 0
	for d, err := range h.Domains(ctx) {
		if want := fmt.Sprintf("d%05d.test", i); err != nil || d.Name != want {
			t.Fatalf("got %q, %v; want %q", d.Name, err, want)
		}
		i++
	}
	if i != n {
		t.Errorf("%d domains, want %d", i, n)
	}
	for range h.Domains(ctx) {
		break // stopping early is fine
	}
}

func TestAliases(t *testing.T) {
	h, ctx := open(t, t.TempDir()), t.Context()
	must(h.AddDomain(ctx, Domain{Name: "example.test"}))(t)
	must(h.AddAlias(ctx, NewAlias{Address: "out@example.test", Targets: []string{"x@elsewhere.test", "y@elsewhere.test"}, Note: "far"}))(t)
	targets := []string{"z@elsewhere.test"}
	changed := must(h.ChangeAlias(ctx, "out@example.test", AliasChange{Targets: &targets}))(t)
	if len(changed.Targets) != 1 || changed.Targets[0] != "z@elsewhere.test" || changed.Note != "far" {
		t.Errorf("%+v", changed)
	}
	_, err := h.AddAlias(ctx, NewAlias{Address: "none@example.test"})
	refused(t, err, http.StatusUnprocessableEntity, "at least one target")
	_, err = h.Alias(ctx, "nobody@example.test")
	refused(t, err, http.StatusNotFound, "")
	catchAll := "out@example.test"
	if d, err := h.ChangeDomain(ctx, "example.test", DomainChange{CatchAll: &catchAll}); err == nil && d.CatchAll != catchAll {
		t.Errorf("%+v", d)
	}
}

func TestQueue(t *testing.T) {
	h, ctx := open(t, t.TempDir()), t.Context()
	for i, to := range []string{"ann@far.test", "bob@far.test", "cat@away.test"} {
		body := blob.Stage(ctx, h.blobs)
		if _, err := io.WriteString(body, "Subject: x\r\n\r\nx\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := body.Finish(); err != nil {
			t.Fatal(err)
		}
		envelope := mail.Envelope{To: []mail.Recipient{{Address: must(mail.ParseAddress(to))(t)}}}
		must(h.queue.Enqueue(ctx, time.Now(), outqueue.Submission{Message: fmt.Sprint("m", i), Envelope: envelope, Body: body}))(t)
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	ids := func(f QueueFilter) []string {
		var ids []string
		for it, err := range h.Queue(ctx, f) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, it.ID)
		}
		return ids
	}
	if got := ids(QueueFilter{}); len(got) != 3 {
		t.Fatal(got)
	}
	far := ids(QueueFilter{To: "far.test"})
	if len(far) != 2 {
		t.Fatal(far)
	}
	if err := h.Hold(ctx, far[0]); err != nil {
		t.Error(err)
	}
	if got := ids(QueueFilter{Held: true}); len(got) != 1 || got[0] != far[0] {
		t.Errorf("held: %v", got)
	}
	all := must(h.Destinations(ctx))(t)
	if len(all) != 2 || all[0].Domain != "far.test" || all[0].Items != 2 || all[0].Held != 1 {
		t.Errorf("destinations: %+v", all)
	}
	if err := errors.Join(h.Reroute(ctx, far[1], "smtp:smart.test:587"), h.EditRecipient(ctx, far[1], must(h.QueueItem(ctx, far[1]))(t).Recipients[0].Address, "bob@near.test")); err != nil {
		t.Error(err)
	}
	if got := ids(QueueFilter{Domain: "near.test", Untried: true}); len(got) != 1 || got[0] != far[1] || must(h.QueueItem(ctx, far[1]))(t).Reroute != "smtp:smart.test:587" {
		t.Errorf("rerouted: %v", got)
	}
	if got := ids(QueueFilter{Older: time.Hour}); len(got) != 0 {
		t.Errorf("old: %v", got)
	}
	refused(t, h.Reroute(ctx, far[1], "http:x"), http.StatusUnprocessableEntity, "smtp:host:port")
	refused(t, h.EditRecipient(ctx, far[1], "bob@far.test", "bob@near.test"), http.StatusNotFound, "no recipient")
	if n := must(h.Freeze(ctx, QueueFreeze{Name: "away", To: "@away", Reason: "moving"}))(t); n.Items != 1 {
		t.Errorf("%d frozen", n.Items)
	}
	_, err := h.Freeze(ctx, QueueFreeze{Name: "away", To: "@away"})
	refused(t, err, http.StatusConflict, "away")
	_, err = h.Freeze(ctx, QueueFreeze{Name: "all"})
	refused(t, err, http.StatusUnprocessableEntity, "needs part of")
	_, err = h.Freeze(ctx, QueueFreeze{Name: "who", Account: "nobody@example.test"})
	refused(t, err, http.StatusUnprocessableEntity, "there is no account nobody@example.test")
	if rules := must(h.Freezes(ctx))(t); len(rules) != 1 || rules[0].Reason != "moving" || len(ids(QueueFilter{Frozen: "away"})) != 1 {
		t.Errorf("%+v", rules)
	}
	if n := must(h.Thaw(ctx, "away"))(t); n.Items != 1 {
		t.Errorf("%d thawed", n.Items)
	}
	_, err = h.Thaw(ctx, "away")
	refused(t, err, http.StatusNotFound, "freezes")
	it := must(h.QueueItem(ctx, far[0]))(t)
	if !it.Held || len(it.Recipients) != 1 || it.Recipients[0].State != "pending" || it.Size != 17 {
		t.Errorf("%+v", it)
	}
	refused(t, h.Retry(ctx, far[0]), http.StatusConflict, "waxwing queue release")
	if err := errors.Join(h.Release(ctx, far[0]), h.Retry(ctx, far[0]), h.DeleteItem(ctx, far[0])); err != nil {
		t.Error(err)
	}
	if counts := must(h.QueueCounts(ctx))(t); counts.Items != 2 {
		t.Errorf("%+v", counts)
	}
	_, err = h.QueueItem(ctx, far[0])
	refused(t, err, http.StatusNotFound, "")
	refused(t, h.Hold(ctx, "rubbish"), http.StatusUnprocessableEntity, "waxwing queue list")
}

// The socket is for its owner alone, also where its name is too long for an
// address, and a dead one is replaced.
func TestSocket(t *testing.T) {
	for _, data := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long", 30))} {
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(SocketPath(data), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		h := open(t, data)
		info, err := os.Stat(SocketPath(data))
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if status := must(h.Status(t.Context()))(t); status.Version != "v1" {
			t.Errorf("%+v", status)
		}
	}
}

func TestNotRunning(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewClient(dir).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := NewClient(dir).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error("after its end:", err)
	}
}

// What is not understood is refused with an explanation, and nothing happens.
func TestRefusals(t *testing.T) {
	h := open(t, t.TempDir())
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/nothing", "", http.StatusNotFound},
		{"PUT", "/v1/domains", "{}", http.StatusNotFound},
		{"POST", "/v1/domains", `{"name": "a.test"`, http.StatusBadRequest},
		{"POST", "/v1/domains", `{"name": "a.test", "colour": "red"}`, http.StatusBadRequest},
		{"POST", "/v1/domains", `{"name": "a.test"} {}`, http.StatusBadRequest},
		{"POST", "/v1/domains", `{"name": "..."}`, http.StatusUnprocessableEntity},
		{"POST", "/v1/domains", `{"name": "` + strings.Repeat("a", 2<<20) + `"}`, http.StatusRequestEntityTooLarge},
		{"GET", "/v1/domains?limit=0", "", http.StatusBadRequest},
		{"GET", "/v1/accounts?after=x", "", http.StatusBadRequest},
		{"GET", "/v1/queue?after=x", "", http.StatusBadRequest},
	} {
		request, err := http.NewRequestWithContext(t.Context(), tt.method, "http://waxwing"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := h.http.Do(request)
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
			continue
		}
		var p Problem
		err = json.NewDecoder(answer.Body).Decode(&p)
		answer.Body.Close()
		if err != nil || answer.StatusCode != tt.status || p.Status != tt.status || p.Detail == "" ||
			answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s %+v %v, want status %d", tt.method, tt.path, answer.Status, p, err, tt.status)
		}
	}
	for d := range h.Domains(t.Context()) {
		t.Errorf("there is %v", d)
	}
}

func TestGeneratePassword(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := GeneratePassword()
		if len(p) != 24 || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz234567-") != "" || seen[p] {
			t.Errorf("%q", p)
		}
		seen[p] = true
	}
}
