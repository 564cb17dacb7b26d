package message

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func TestBinary(t *testing.T) {
	for _, c := range structures {
		roundTrip(t, parse(t, crlf(c.in)))
	}
	roundTrip(t, parse(t, ordinary(4096)))
	roundTrip(t, &Message{})
	roundTrip(t, &Message{
		Size: 1 << 40, Date: time.Unix(-1, 0).UTC(), References: []string{"a@b", ""},
		Root:    Part{Header: 5, Body: 3, End: 1, Lines: -1, Language: []string{"de"}},
		Defects: []Defect{{-1, "x"}},
	})
}

func roundTrip(t testing.TB, m *Message) {
	t.Helper()
	b := m.AppendBinary([]byte("kept"))
	got, err := Decode(b[4:])
	if err != nil {
		t.Fatalf("%v\n%+v", err, m)
	}
	if !reflect.DeepEqual(got, m) {
		t.Fatalf("got\n%+v\nwant\n%+v", got, m)
	}
}

// One Decoder gives what Decode does, whatever it has met before.
func TestDecoder(t *testing.T) {
	var d Decoder
	for range 2 {
		for _, c := range structures {
			m := parse(t, crlf(c.in))
			b := m.AppendBinary(nil)
			if got, err := d.Decode(b); err != nil || !reflect.DeepEqual(got, m) {
				t.Fatalf("%v\n%+v\nwant\n%+v", err, got, m)
			}
			if _, err := d.Decode(b[:len(b)-1]); err == nil {
				t.Fatal("accepts what is not whole")
			}
			checkOnly(t, m, b)
		}
	}
}

// checkOnly decodes parts of a message.
func checkOnly(t testing.TB, m *Message, b []byte) {
	t.Helper()
	for only, want := range map[Only]Message{
		EnvelopeOnly:  {Size: m.Size, Date: m.Date, Preview: m.Preview, Envelope: m.Envelope},
		StructureOnly: {Size: m.Size, Date: m.Date, Preview: m.Preview, Root: m.Root},
		PreviewOnly:   {Size: m.Size, Date: m.Date, Preview: m.Preview},
	} {
		d := Decoder{Only: only}
		for range 2 {
			if got, err := d.Decode(b); err != nil || len(b) <= largeForm && !reflect.DeepEqual(*got, want) {
				t.Fatalf("only %d: %v\n%+v\nwant\n%+v", only, err, got, want)
			}
		}
	}
}

func TestBinaryRefuses(t *testing.T) {
	b := parse(t, ordinary(1024)).AppendBinary(nil)
	for n := range b {
		if _, err := Decode(b[:n]); err == nil {
			t.Fatalf("accepts the first %d octets of %d", n, len(b))
		}
	}
	if _, err := Decode(append(b, 0)); err == nil {
		t.Error("accepts more than the whole")
	}
	b[0] = 99
	if _, err := Decode(b); err == nil {
		t.Error("accepts an unknown version")
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range structures {
		f.Add(parse(f, crlf(c.in)).AppendBinary(nil))
	}
	f.Add(parse(f, ordinary(2048)).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		var d Decoder
		for range 2 {
			if again, e := d.Decode(b); (e == nil) != (err == nil) || err == nil && !reflect.DeepEqual(again, m) {
				t.Fatalf("a Decoder gives %v, %v\nnot %v, %v", again, e, m, err)
			}
		}
		for only := EnvelopeOnly; only <= PreviewOnly; only++ {
			(&Decoder{Only: only}).Decode(b) // may take what the rest makes wrong
		}
		if err != nil {
			return
		}
		checkOnly(t, m, b)
		if size, err := HeaderSize(b); err != nil && m.Root.Body >= m.Root.Header && m.Root.Header >= 0 || err == nil && size != m.Root.Body {
			t.Fatalf("header of %d, %v: %+v", size, err, m)
		}
		// Not every form is the shortest one, but what it means stays.
		again, err := Decode(m.AppendBinary(nil))
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%v\n%+v\n%+v", err, m, again)
		}
	})
}

func BenchmarkAppendBinary(b *testing.B) {
	m := parse(b, ordinary(4096))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendBinary(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "octets")
}

func BenchmarkDecode(b *testing.B) {
	buf := parse(b, ordinary(4096)).AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// ordinary makes a message as most are: a dozen header fields, a text and the
// same as HTML.
func ordinary(size int) []byte {
	var b bytes.Buffer
	b.WriteString("Received: from mail.example.com (mail.example.com [192.0.2.1])\r\n\tby mx.example.net with ESMTPS id 4711\r\n\tfor <bob@example.net>; Mon, 2 Feb 2026 10:11:12 +0100\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=sel;\r\n\th=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n" +
		"From: =?utf-8?q?J=C3=B6rg_Example?= <joerg@example.com>\r\n" +
		"To: \"Bob B. Example\" <bob@example.net>, carol@example.org\r\n" +
		"Cc: Dan <dan@example.net>\r\n" +
		"Subject: Re: The minutes of our meeting and what follows from them\r\n" +
		"Date: Mon, 2 Feb 2026 10:11:10 +0100\r\n" +
		"Message-ID: <20260202101110.4711@mail.example.com>\r\n" +
		"In-Reply-To: <abc.def@example.net>\r\n" +
		"References: <first@example.net> <abc.def@example.net>\r\n" +
		"User-Agent: Example/1.0\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/alternative; boundary=\"----=_Part_1_2.3\"\r\n\r\n" +
		"------=_Part_1_2.3\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	line := "The quick brown fox jumps over the lazy dog=2E And then - well, it sleeps.\r\n"
	for b.Len() < size/2 {
		b.WriteString(line)
	}
	b.WriteString("------=_Part_1_2.3\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<html><body>\r\n")
	for b.Len() < size-40 {
		b.WriteString("<p>" + line)
	}
	b.WriteString("------=_Part_1_2.3--\r\n")
	return b.Bytes()
}

func BenchmarkDecoder(b *testing.B) {
	form := parse(b, ordinary(4096)).AppendBinary(nil)
	b.ReportAllocs()
	var d Decoder
	for b.Loop() {
		if _, err := d.Decode(form); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, size := range map[string]int{"4K": 4 << 10, "22K": 22 << 10, "1M": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			msg := ordinary(size)
			p := NewParser()
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				p.Reset()
				p.Write(msg)
				p.Finish()
			}
		})
	}
}
