package downgrade

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"waxwing/format/message"
)

func crlf(s string) string {
	return strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\r\n")
}

func convert(t testing.TB, in string, target Target) (string, *Converted, error) {
	t.Helper()
	c, err := Plan(strings.NewReader(in), int64(len(in)), target)
	if err != nil {
		return "", nil, err
	}
	out, err := io.ReadAll(c.Reader())
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(out)) != c.Size || !c.Changed && string(out) != in {
		t.Fatalf("%d octets, said were %d, changed %v", len(out), c.Size, c.Changed)
	}
	return string(out), c, nil
}

func TestPlan(t *testing.T) {
	for name, tt := range map[string]struct {
		target   Target
		in, want string // crlf is applied; an empty want for what stays
		err      error
	}{
		"plain":     {in: "Subject: x\n\nplain\n"},
		"a header":  {in: "Subject: gr\xfc\xdfe\n\nplain\n"}, // which nobody can convert
		"long line": {in: "Subject: x\n\n" + strings.Repeat("x", 2000) + "\n"},
		"not MIME": {
			in:   "Subject: x\n\nGrüße\n",
			want: "Subject: x\nContent-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nGr=C3=BC=C3=9Fe\n",
		},
		"not MIME, not UTF-8": {
			in:   "Subject: x\n\nGr\xfc\xdfe, lange genug f\xfcr quoted-printable\n",
			want: "Subject: x\nContent-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n\nGr=FC=DFe, lange genug f=FCr quoted-printable\n",
		},
		"8bit text": {
			in:   "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nSubject: x\n\nGrüße \n.\n",
			want: "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nSubject: x\n\nGr=C3=BC=C3=9Fe=20\n.\n",
		},
		"8bit that is none": {
			in:   "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\nplain\n",
			want: "MIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\n\nplain\n",
		},
		"8bit to 8bit": {target: EightBit, in: "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\nGrüße\n"},
		"binary that is text": {
			target: EightBit,
			in:     "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: binary\n\nGrüße\n",
			want:   "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n",
		},
		"binary": {
			target: EightBit,
			in:     "MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: binary\n\n\x89PNG\x00\x01",
			want:   "MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORwAB\n",
		},
		"multipart": {
			in: `
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 8bit

Vorwort für niemanden
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Grüße an alle
--b

no header, 7 bits
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AAAA
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Köln ist eine Stadt am Rhein
--b--
`,
			want: `
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 7bit

Vorwort f??r niemanden
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe an alle
--b

no header, 7 bits
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AAAA
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: 7bit

MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

K=C3=B6ln ist eine Stadt am Rhein
--b--
`,
		},
		"part without a header": {
			in:   "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nGrüße an euch\n--b--\n",
			want: "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe an euch\n--b--\n",
		},
		"signed":        {in: "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\nContent-Transfer-Encoding: 8bit\n\nGrüße\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n", err: ErrProtected},
		"signed, 7 bit": {in: "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\nContent-Transfer-Encoding: 8bit\n\nplain\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"},
		"signed within": {
			in:   "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nplain\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n--a\n\nFüße am Ende\n--a--\n",
			want: "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nplain\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n--a\nContent-Transfer-Encoding: quoted-printable\n\nF=C3=BC=C3=9Fe am Ende\n--a--\n",
		},
		"no usable boundary": {in: "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\nGrüße\n", err: ErrProtected},
		"partial":            {in: "MIME-Version: 1.0\nContent-Type: message/partial; id=x; number=1\n\nGrüße\n", err: ErrProtected},
		"global": {
			in:   "MIME-Version: 1.0\nContent-Type: message/global\nContent-Transfer-Encoding: 8bit\n\nSubject: ü\n\nx\n",
			want: "MIME-Version: 1.0\nContent-Type: message/global\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogw7wNCg0KeA0K\n",
		},
		"NUL": {
			target: EightBit,
			in:     "Subject: x\n\na\x00b\n",
			want:   "Subject: x\nContent-Transfer-Encoding: base64\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nYQBiDQo=\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.in
			}
			got, c, err := convert(t, crlf(tt.in), tt.target)
			if !errors.Is(err, tt.err) || err == nil && got != crlf(want) {
				t.Fatalf("%v\ngot:\n%q\nwant:\n%q", err, got, crlf(want))
			}
			if err == nil && c.Changed != (tt.want != "") {
				t.Errorf("changed %v", c.Changed)
			}
		})
	}
}

// decoded gives the decoded bodies of all leaves.
func decoded(t testing.TB, s string) []string {
	t.Helper()
	m, err := message.Parse(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	var walk func(p *message.Part)
	walk = func(p *message.Part) {
		for i := range p.Parts {
			walk(&p.Parts[i])
		}
		if len(p.Parts) == 0 || p.Subtype == "global" {
			body, err := io.ReadAll(message.DecodeBody(strings.NewReader(s[p.Body:p.End]), p.Encoding))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p.Type+"/"+p.Subtype+" "+string(body))
			if p.Subtype == "global" {
				all = all[len(all)-1:]
			}
		}
	}
	walk(&m.Root)
	return all
}

// What is converted decodes to what it was, is fit for its target, and needs
// no conversion any more.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{
		"Subject: x\n\nGrüße\n", "MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: binary\n\n\x00\xff\r",
		"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: binary\n\nü\n--b\n\nGrüße\n--b\nContent-Type: message/rfc822\n\nContent-Type: text/html\nContent-Transfer-Encoding: 8bit\n\n\xff \n--b--\nü",
		"MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nü\n--b--",
		"MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: y\n\nü",
	} {
		f.Add(crlf(s), true)
		f.Add(crlf(s), false)
	}
	f.Fuzz(func(t *testing.T, in string, seven bool) {
		target := EightBit
		if seven {
			target = SevenBit
		}
		out, c, err := convert(t, in, target)
		if err != nil {
			return
		}
		again, c2, err := convert(t, out, target)
		if err != nil || c2.Changed || again != out || c2.EightBit != c.EightBit {
			t.Fatalf("%q\n-> %q\n-> %q, %v", in, out, again, err)
		}
		if !c.Changed {
			return
		}
		a, b := decoded(t, in), decoded(t, out)
		if len(a) != len(b) {
			t.Fatalf("%q\n-> %q: %q, %q", in, out, a, b)
		}
		for i := range a {
			// An unencoded body of text is what it decodes to.
			if a[i] != b[i] {
				t.Fatalf("%q\n-> %q\nleaf %d: %q, then %q", in, out, i, a[i], b[i])
			}
		}
	})
}

// Memory does not grow with the size of a body.
func TestLargeBody(t *testing.T) {
	header := "MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\n"
	body := bytes.Repeat([]byte{0, 1, 2, 0xff, '\r'}, 1<<20)
	in := append([]byte(header), body...)
	c, err := Plan(bytes.NewReader(in), int64(len(in)), SevenBit)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if n, err = io.Copy(io.Discard, c.Reader()); err != nil || n != c.Size {
		t.Fatalf("%d, %v", n, err)
	}
}
