package message

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gomessage "github.com/emersion/go-message"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samples are whole messages by others, by their path.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, pattern := range []string{"mail-parser/*/*.eml", "enmime/*.raw", "mimekit/*"} {
		paths, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files[strings.TrimPrefix(path, "testdata/")] = b
		}
	}
	return files
}

func withLF(b []byte) []byte   { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }
func withCRLF(b []byte) []byte { return bytes.ReplaceAll(withLF(b), []byte("\n"), []byte("\r\n")) }

// Where mail-parser sees another structure, and why we keep ours.
var structuresDiffer = map[string]string{
	"malformed/000":  "it gives up on empty parts",
	"malformed/001":  "a boundary that begins with another's: the longer counts",
	"malformed/004":  "as before; the rest of the line is no header",
	"malformed/007":  "the delimiter comes without an empty line before it",
	"malformed/008":  "a boundary that begins with another's: the longer counts",
	"malformed/009":  "the outer delimiter ends the inner parts",
	"malformed/011":  "the outer delimiter ends the inner parts",
	"malformed/012":  "the outer delimiter ends the inner parts",
	"malformed/013":  "a delimiter with a line end opens a part, even at the end",
	"malformed/014":  "as before",
	"malformed/016":  "the outer delimiter ends the inner parts",
	"malformed/020":  "of two types the first counts",
	"malformed/021":  "of two types the first counts",
	"malformed/022":  "message/rfc822 stays one, whatever is in it",
	"rfc/008":        "an encoded message is opaque",
	"thirdparty/005": "text before a delimiter on its line makes it none",
	"thirdparty/015": "the outer delimiter ends the messages",
}

func TestVectorsStructure(t *testing.T) {
	b, err := os.ReadFile("testdata/mail-parser/structures.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][]string
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for name, want := range all {
		base, crlf := strings.CutSuffix(name, ".crlf")
		raw, err := os.ReadFile(filepath.Join("testdata/mail-parser", base+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		if raw = withLF(raw); crlf {
			raw = withCRLF(raw)
		}
		got := offsets(&parse(t, raw).Root)
		if same := slices.Equal(got, want); same == (structuresDiffer[base] != "") {
			t.Errorf("%s\n got %q\nwant %q\n%s", name, got, want, structuresDiffer[base])
		}
	}
}

// offsets lists the parts as structures.json does.
func offsets(p *Part) []string {
	line := fmt.Sprintf("leaf %d %d %d", p.Header, p.Body, p.End)
	switch {
	case len(p.Parts) > 0 && p.IsMultipart():
		line = fmt.Sprintf("multipart %d %d", p.Header, p.Body)
	case len(p.Parts) > 0:
		line = "message" + strings.TrimPrefix(line, "leaf")
	}
	list := []string{line}
	for i := range p.Parts {
		list = append(list, offsets(&p.Parts[i])...)
	}
	return list
}

// TestGolden holds all that is found in the samples.
func TestGolden(t *testing.T) {
	var out strings.Builder
	files := samples(t)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m := parse(t, withCRLF(files[name]))
		fmt.Fprintf(&out, "== %s\n", name)
		describe(&out, m)
		checkMessage(t, withCRLF(files[name]), m)
		roundTrip(t, m)
	}
	const path = "testdata/samples.golden"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, old := strings.Split(out.String(), "\n"), strings.Split(string(want), "\n")
	for i := range got {
		if i >= len(old) || got[i] != old[i] {
			t.Fatalf("line %d: %s\nwant %s", i+1, got[i], old[min(i, len(old)-1)])
		}
	}
}

func describe(w io.Writer, m *Message) {
	fmt.Fprintf(w, "date %v\nreferences %q\npreview %q\n", m.Date, m.References, m.Preview)
	describeEnvelope(w, &m.Envelope)
	describePart(w, &m.Root, "")
	for _, d := range m.Defects {
		fmt.Fprintf(w, "defect %d %s\n", d.Offset, d.What)
	}
}

func describeEnvelope(w io.Writer, e *Envelope) {
	fmt.Fprintf(w, "  date %q subject %q id %q reply %q\n", e.Date, e.Subject, e.MessageID, e.InReplyTo)
	for i, l := range [][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		if l != nil {
			fmt.Fprintf(w, "  %s %+v\n", []string{"from", "sender", "reply-to", "to", "cc", "bcc"}[i], l)
		}
	}
}

func describePart(w io.Writer, p *Part, indent string) {
	fmt.Fprintf(w, "%s%s/%s %q %s at %d %d %d lines %d", indent, p.Type, p.Subtype, p.Params, p.Encoding, p.Header, p.Body, p.End, p.Lines)
	fmt.Fprintf(w, " id %q description %q %s %q file %q\n", p.ID, p.Description, p.Disposition, p.DispositionParams, p.Filename())
	if p.Embedded != nil {
		describeEnvelope(w, p.Embedded)
	}
	for i := range p.Parts {
		describePart(w, &p.Parts[i], indent+"  ")
	}
}

// TestSecondOpinion compares the leaves of samples without defects with what
// go-message finds.
func TestSecondOpinion(t *testing.T) {
	compared := 0
	for name, b := range samples(t) {
		b = withCRLF(b)
		m := parse(t, b)
		if len(m.Defects) > 0 || strings.Contains(name, "malformed") {
			continue
		}
		var ours, theirs []string
		ourLeaves(t, b, &m.Root, &ours)
		e, err := gomessage.Read(bytes.NewReader(b))
		if e == nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		if err := theirLeaves(e, &theirs); err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		compared++
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s\n got %.300q\nwant %.300q", name, ours, theirs)
		}
	}
	if compared < 50 {
		t.Errorf("compared only %d", compared)
	}
}

func ourLeaves(t *testing.T, b []byte, p *Part, list *[]string) {
	if p.IsMultipart() {
		for i := range p.Parts {
			ourLeaves(t, b, &p.Parts[i], list)
		}
		return
	}
	body, err := io.ReadAll(DecodeBody(bytes.NewReader(b[p.Body:p.End]), p.Encoding))
	if err != nil {
		t.Fatal(err)
	}
	*list = append(*list, string(body))
}

func theirLeaves(e *gomessage.Entity, list *[]string) error {
	if r := e.MultipartReader(); r != nil {
		for {
			part, err := r.NextPart()
			if err == io.EOF {
				return nil
			}
			if part == nil {
				return err
			}
			if err := theirLeaves(part, list); err != nil {
				return err
			}
		}
	}
	body, err := io.ReadAll(e.Body)
	*list = append(*list, string(body))
	return err
}
