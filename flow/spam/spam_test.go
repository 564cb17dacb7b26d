package spam

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"waxwing/flow/deliver"
	"waxwing/proto/milter"
	"waxwing/store/blob"
	"waxwing/store/blob/memblob"
)

func stage(t *testing.T, text string) *content {
	t.Helper()
	a, err := deliver.Stage(t.Context(), memblob.New(0), time.Now(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	c, err := load(a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// What milters do to a message, and what comes of it: what stands above our
// Received, and the rest.
func TestChanges(t *testing.T) {
	const text = "A: 1\r\nB: 2\r\n c\r\nA: 3\r\n\r\nbody\r\n"
	for _, tt := range []struct {
		what      string
		changes   []milter.Change
		top, rest string
	}{
		{"nothing", nil, "", text},
		{"add", []milter.Change{milter.AddHeader{Name: "X", Value: " y\n z"}}, "", "A: 1\r\nB: 2\r\n c\r\nA: 3\r\nX: y\r\n z\r\n\r\nbody\r\n"},
		{"above all", []milter.Change{milter.InsertHeader{Index: 0, Name: "X", Value: " y"}}, "X: y\r\n", text},
		{"below Received", []milter.Change{milter.InsertHeader{Index: 1, Name: "X", Value: " y"}}, "", "X: y\r\n" + text},
		{"further down", []milter.Change{milter.InsertHeader{Index: 2, Name: "X", Value: " y"}}, "", "A: 1\r\nX: y\r\nB: 2\r\n c\r\nA: 3\r\n\r\nbody\r\n"},
		{"too far down", []milter.Change{milter.InsertHeader{Index: 99, Name: "X", Value: " y"}}, "", "A: 1\r\nB: 2\r\n c\r\nA: 3\r\nX: y\r\n\r\nbody\r\n"},
		{"change the second", []milter.Change{milter.ChangeHeader{Index: 2, Name: "a", Value: " 4"}}, "", "A: 1\r\nB: 2\r\n c\r\nA: 4\r\n\r\nbody\r\n"},
		{"change what is not there", []milter.Change{milter.ChangeHeader{Index: 3, Name: "A", Value: " 4"}}, "", "A: 1\r\nB: 2\r\n c\r\nA: 3\r\nA: 4\r\n\r\nbody\r\n"},
		{"delete", []milter.Change{milter.ChangeHeader{Index: 1, Name: "A"}, milter.ChangeHeader{Index: 1, Name: "A"}}, "", "B: 2\r\n c\r\n\r\nbody\r\n"},
		{"delete what is not there", []milter.Change{milter.ChangeHeader{Index: 1, Name: "C"}}, "", text},
		{"another's", []milter.Change{milter.InsertHeader{Index: 0, Name: "X", Value: " y"}, milter.ChangeHeader{Index: 1, Name: "X", Value: " z"}}, "X: z\r\n", text},
		{"a new body", []milter.Change{milter.ReplaceBody{Chunk: []byte("new ")}, milter.ReplaceBody{Chunk: []byte("one\r\n")}}, "", "A: 1\r\nB: 2\r\n c\r\nA: 3\r\n\r\nnew one\r\n"},
	} {
		c := stage(t, text)
		for _, change := range tt.changes {
			if done, err := c.heed(change, func() *blob.Staged { return blob.Stage(t.Context(), memblob.New(0)) }); err != nil || !done {
				t.Fatalf("%s: %v, %v", tt.what, done, err)
			}
		}
		rest, err := io.ReadAll(c.reader())
		if err != nil || string(rest) != tt.rest || string(appendLines(nil, c.top)) != tt.top || c.size() != int64(len(rest)) {
			t.Errorf("%s: %q, %q, %d, %v", tt.what, appendLines(nil, c.top), rest, c.size(), err)
		}
	}
	for what, text := range map[string]string{"no empty line": "A: 1", "no header": "body\r\n", "nothing": ""} {
		c := stage(t, text)
		c.add("X", " y")
		if got, _ := io.ReadAll(c.reader()); !strings.Contains(string(got), "X: y\r\n\r\n") {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestTooLargeHeader(t *testing.T) {
	a, err := deliver.Stage(t.Context(), memblob.New(0), time.Now(), strings.NewReader(strings.Repeat("X: y\r\n", 200_000)+"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if _, err := load(a); err == nil {
		t.Error("a large header is held in memory")
	}
}

// clam is a clamd that answers in one way, after some octets.
func clam(t *testing.T, enough int, answer string) *ClamAV {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			word := make([]byte, len("zINSTREAM\x00"))
			_, _ = io.ReadFull(nc, word)
			for taken := 0; taken < enough; {
				var size [4]byte
				if _, err := io.ReadFull(nc, size[:]); err != nil || binary.BigEndian.Uint32(size[:]) == 0 {
					break
				}
				n, _ := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(size[:])))
				taken += int(n)
			}
			_, _ = io.WriteString(nc, answer)
			_ = nc.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return &ClamAV{Network: "tcp", Address: l.Addr().String()}
}

func TestScan(t *testing.T) {
	for _, tt := range []struct {
		answer, found string
		err           error
		fails         bool
	}{
		{answer: "stream: OK\x00"},
		{answer: "stream: Eicar-Test-Signature FOUND\x00", found: "Eicar-Test-Signature"},
		{answer: "stream: A\r\nB FOUND\x00", found: "A??B"},
		{answer: "INSTREAM size limit exceeded. ERROR\x00", err: errTooLarge, fails: true},
		{answer: "stream: no memory ERROR\x00", fails: true},
		{answer: "stream: OK", fails: true},
		{answer: "", fails: true},
		{answer: strings.Repeat("x", 10_000), err: errLong, fails: true},
	} {
		c := clam(t, 1<<30, tt.answer)
		found, err := c.Scan(t.Context(), strings.NewReader(strings.Repeat("hello\r\n", 30_000)))
		if found != tt.found || (err != nil) != tt.fails || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%.40q: %q, %v", tt.answer, found, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clam(t, 1, "").Scan(ctx, strings.NewReader("")); err == nil {
		t.Error("scanned after the end")
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		status int
		answer string
		action string
		fails  bool
	}{
		{200, `{"action":"reject","score":15.5,"required_score":15,"symbols":{"A":{"score":1}}}`, "reject", false},
		{200, `{"is_skipped":true}`, "", false},
		{200, `{}`, "", true},
		{200, `{"action":`, "", true},
		{404, `{"error":"no"}`, "", true},
		{302, ``, "", true},
		{200, `{"error":"broken"}`, "", true},
		{200, strings.Repeat(" ", maxRspamd+1), "", true},
	} {
		var got []byte
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, _ = io.ReadAll(r.Body)
			if r.URL.Path != "/checkv2" || r.Header.Get("Queue-Id") != "x" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.answer)
		}))
		r, err := NewRspamd(s.URL, 0, Pass)
		if err != nil {
			t.Fatal(err)
		}
		o, err := r.check(t.Context(), strings.NewReader("hello"), 5, http.Header{"Queue-Id": {"x"}})
		s.Close()
		if (err != nil) != tt.fails || o.Action != tt.action || string(got) != "hello" {
			t.Errorf("%d %.60q: %+v, %v", tt.status, tt.answer, o, err)
		}
	}
	for _, at := range []string{"127.0.0.1:11333", "unix:run/x", "ftp://x", "http://", ""} {
		if _, err := NewRspamd(at, 0, Pass); err == nil {
			t.Errorf("%q is taken", at)
		}
	}
}

// Nothing that Rspamd answers ends a header or writes a field that is none.
func FuzzOpinion(f *testing.F) {
	f.Add([]byte(`{"action":"add header","subject":"a\r\nb","milter":{"add_headers":{"X-A":{"value":"b\n\nc","order":0},"X-B":["1",{"value":2}],"X C":"d"},"remove_headers":{"A":0}}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		o, err := parseOpinion(http.StatusOK, answer)
		if err != nil {
			return
		}
		_ = o.names()
		e := &examination{content: &content{}, junk: true}
		e.content.change(1, "Subject", " "+oneLine(o.Subject))
		e.rspamdFields(o)
		for _, l := range append(e.content.top, e.content.fields...) {
			body := bytes.TrimSuffix(l.raw, []byte("\r\n"))
			for part := range bytes.SplitSeq(body, []byte("\r\n\t")) {
				if bytes.ContainsAny(part, "\r\n\x00") {
					t.Fatalf("%q writes %q", answer, l.raw)
				}
			}
		}
	})
}

// Without filters nothing happens, at no cost.
func TestNobody(t *testing.T) {
	f := New(Options{})
	d, err := f.Begin(t.Context(), nil)
	if f != nil || d != nil || err != nil {
		t.Fatal(f, d, err)
	}
	if n := testing.AllocsPerRun(100, func() {
		_ = d.Hello(t.Context(), "x")
		_ = d.ID()
		_ = d.Examine(t.Context(), time.Time{}, nil)
		d.Close()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
