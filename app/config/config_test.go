package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Each testdata/*.toml is a bad file; beside it stands all that is said of it.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file)
			if err == nil {
				t.Fatal("no problem found")
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".golden", err.Error()+"\n")
		})
	}
}

// The sample reads back as what it was made from, with every key in it.
func TestSample(t *testing.T) {
	c := Default()
	c.Hostname = "mx.example.org"
	c.User = "waxwing"
	c.Data = "."
	c.Relay.Retry = Duration(90 * time.Second)
	sample := Sample(c)
	golden(t, "testdata/sample.golden", sample)
	got, err := Parse("sample", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got); diff != "" {
		t.Error(diff)
	}
	// The keys that are comments are right, too, but for those of examples.
	var all strings.Builder
	example := false
	for line := range strings.Lines(sample) {
		example = strings.HasPrefix(line, "#[[") || example && line != "\n"
		if example {
			continue
		}
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") && len(line) > 2 {
			line = line[1:]
		}
		all.WriteString(line)
	}
	if got, err = Parse("sample", []byte(all.String())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, got); diff != "" {
		t.Error(diff)
	}
}

// Every key has a manual.
func TestManual(t *testing.T) {
	page := "../../docs/configuration.md"
	const begin, end = "<!-- begin: made from app/config/config.go -->\n", "<!-- end -->\n"
	manual := Manual()
	if strings.Contains(manual, "`\n\n\n") {
		t.Error("a key has no manual")
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks its marks", page)
	}
	golden(t, page, before+begin+manual+"\n"+end+after)
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update rewrites it):\n%s", file, diff)
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[string]Size{
		"0": 0, "1B": 1, "50MB": 50e6, "50 MB": 50e6, "50mb": 50e6, "1KiB": 1024, "3GiB": 3 << 30, "2TB": 2e12,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MB", "50", "-1MB", "5XB", "1.5GB", "9223372036854775807TB", "50MB."} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "5m": 5 * time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "250ms": 250 * time.Millisecond,
	} {
		if got, err := ParseDuration(in); err != nil || time.Duration(got) != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "5", "-5m", "d", "5 minutes", "1y", "999999999999d", "106750d9999999h"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

// What is written reads back as the same.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"50MB", "1536KiB", "5m", "30d12h", "1h0.5s", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if z, err := ParseSize(s); err == nil {
			if again, err := ParseSize(z.String()); err != nil || again != z {
				t.Fatalf("%q -> %d -> %q -> %d, %v", s, z, z, again, err)
			}
		}
		if d, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(d.String()); err != nil || again != d {
				t.Fatalf("%q -> %d -> %q -> %d, %v", s, d, d, again, err)
			}
		}
	})
}

// No document makes the decoder panic, and each problem has its text.
func FuzzParse(f *testing.F) {
	f.Add("hostname = \"mx.example.org\"\n[listen]\nmx = [\":25\"]\n")
	f.Add("tls = { source = \"files\", files = [ { certificate = \"a\", key = \"b\" } ] }")
	f.Add("[[tls.files]]\ncertificate = \"a\"\n[[tls.files]]\nkey = 7\n[tls.files.x]\n")
	f.Add(Sample(Default()))
	f.Fuzz(func(t *testing.T, doc string) {
		if _, err := Parse("f", []byte(doc)); err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Fatal("empty problem")
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"submission", "submissions", "imap", "mx", "message_size"}
	for in, want := range map[string]string{
		"submision": "submission", "mesage_size": "message_size", "iamp": "imap", "zebra": "", "IMAP": "imap",
	} {
		if got := nearest(in, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
