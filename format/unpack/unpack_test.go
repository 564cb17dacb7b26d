package unpack

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func gzipped(tb testing.TB, name string, data []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name = name
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func zipped(tb testing.TB, files ...File) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		to, err := w.Create(f.Name)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := to.Write(f.Data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestFiles(t *testing.T) {
	text := []byte("<feedback/>")
	zeros := make([]byte, 1<<17)
	many := make([]File, 21)
	for i := range many {
		many[i] = File{Name: fmt.Sprint(i), Data: text}
	}
	deep := text
	for range 4 {
		deep = gzipped(t, "", deep)
	}
	cut := gzipped(t, "", bytes.Repeat([]byte("abc"), 1000))
	for what, tt := range map[string]struct {
		name string
		data []byte
		want string // names of what comes out
		err  error
	}{
		"plain":               {"a.xml", text, "a.xml", nil},
		"gzip":                {"a.xml.gz", gzipped(t, "", text), "a.xml", nil},
		"gzip with a name":    {"x", gzipped(t, "dir/b.xml", text), "b.xml", nil},
		"zip":                 {"x.zip", zipped(t, File{"a.xml", text}, File{`..\..\b.xml`, text}, File{"dir/", nil}), "a.xml b.xml", nil},
		"gzip in zip":         {"x.zip", zipped(t, File{"a.xml.gz", gzipped(t, "", text)}), "a.xml", nil},
		"nothing":             {"", nil, "", nil},
		"bomb":                {"x.gz", gzipped(t, "", zeros), "", ErrLimit},
		"bomb in zip":         {"x.zip", zipped(t, File{"a", zeros}), "", ErrLimit},
		"bomb after a file":   {"x.zip", zipped(t, File{"a", text}, File{"b", zeros}), "a", ErrLimit},
		"too many":            {"x.zip", zipped(t, many...), "", ErrLimit},
		"too deep":            {"x.gz", deep, "", ErrLimit},
		"cut":                 {"x.gz", cut[:len(cut)-4], "", ErrDamaged},
		"only the first word": {"x.zip", []byte("PK\x03\x04"), "", ErrDamaged},
	} {
		files, err := Files(tt.name, tt.data, Limits{Total: 1 << 16})
		var names []string
		for _, f := range files {
			names = append(names, f.Name)
			if !bytes.Equal(f.Data, text) && what != "nothing" {
				t.Errorf("%s: %s holds %q", what, f.Name, f.Data)
			}
		}
		if got := strings.Join(names, " "); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v; want %q, %v", what, got, err, tt.want, tt.err)
		}
	}
}

// A little that becomes much is stopped by the ratio, long before the total.
func TestRatio(t *testing.T) {
	data := gzipped(t, "", make([]byte, 2<<20))
	if _, err := Files("x", data, Limits{}); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if files, err := Files("x", data, Limits{Ratio: 2000}); err != nil || len(files) != 1 {
		t.Error(err)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte("<feedback/>"))
	f.Add(gzipped(f, "a", []byte("abc")))
	f.Add(zipped(f, File{"a", []byte("abc")}, File{"b", []byte("def")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := Limits{Total: 1 << 16, Files: 4, Depth: 2}
		files, err := Files("x", data, l)
		if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrDamaged) {
			t.Fatalf("an error of another kind: %v", err)
		}
		total := 0
		for _, f := range files {
			total += len(f.Data)
			if strings.ContainsAny(f.Name, `/\`) {
				t.Errorf("a name with a folder: %q", f.Name)
			}
		}
		if len(files) > l.Files || total > len(data)+1<<16 {
			t.Errorf("%d files with %d octets", len(files), total)
		}
	})
}
