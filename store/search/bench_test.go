package search_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"waxwing/format/casemap"
)

// vocabulary gives words as people use them: few of them most of the time.
func vocabulary() func(r *rand.Rand) string {
	var list []string
	if f, err := os.Open("/usr/share/dict/words"); err == nil {
		for s := bufio.NewScanner(f); s.Scan(); {
			list = append(list, s.Text())
		}
		_ = f.Close()
	}
	const letters = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuuccmmwwffggyyppbbvkjxqz"
	for r := rand.New(rand.NewPCG(9, 9)); len(list) < 30_000; {
		w := make([]byte, 2+r.IntN(9))
		for i := range w {
			w[i] = letters[r.IntN(len(letters))]
		}
		list = append(list, string(w))
	}
	return func(r *rand.Rand) string {
		x := r.Float64()
		return list[int(x*x*x*x*float64(len(list)))]
	}
}

// letter makes a message of some 8 KiB, with the header that a message has
// that has come a long way.
func letter(r *rand.Rand, word func(*rand.Rand) string, n int) string {
	var b strings.Builder
	random := func(n int) string {
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		s := make([]byte, n)
		for i := range s {
			s[i] = digits[r.IntN(64)]
		}
		return string(s)
	}
	fmt.Fprintf(&b, "Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d]) by mx.example.test with ESMTPS id %s\r\n", n%9, n%9, n%250, random(16))
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=key; h=from:to:subject; bh=%s; b=%s\r\n", random(44), random(344))
	fmt.Fprintf(&b, "Message-ID: <%s@example.net>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n", random(24))
	fmt.Fprintf(&b, "From: %s %s <%s@example.net>\r\nTo: bob@example.test\r\nSubject: %s %s %s %d\r\n\r\n", word(r), word(r), word(r), word(r), word(r), word(r), n)
	for line := 0; b.Len() < 8<<10; {
		w := word(r)
		if line += len(w) + 1; line > 72 {
			b.WriteString("\r\n")
			line = 0
		}
		b.WriteString(w + " ")
	}
	return b.String() + "\r\n"
}

// BenchmarkBuild indexes messages of 8 KiB.
func BenchmarkBuild(b *testing.B) {
	const messages = 4096
	word := vocabulary()
	r := rand.New(rand.NewPCG(1, 1))
	h := newHouse(b)
	var texts []string
	octets := 0
	for i := range messages {
		texts = append(texts, letter(r, word, i))
		octets += len(texts[i])
	}
	ids := h.add(texts...)
	b.ResetTimer()
	for b.Loop() {
		if err := h.index.Drop(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
		h.update(time.Now())
	}
	b.ReportMetric(float64(messages*b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(100*float64(size(b, h.db, 0))/float64(octets), "%text")
	b.ReportMetric(100*float64(size(b, h.db, 'a'))/float64(octets), "%abstracts")
	wrong := 0
	for range 100 {
		needle := word(r) + word(r)
		c := h.narrow(needle)
		for i, id := range ids {
			if may(c, id) && !strings.Contains(string(casemap.String(texts[i])), string(casemap.String(needle))) {
				wrong++
			}
		}
	}
	b.ReportMetric(float64(wrong)/100, "false/search")
}

// BenchmarkNarrow finds a rare word among 20,000 messages.
func BenchmarkNarrow(b *testing.B) {
	word := vocabulary()
	r := rand.New(rand.NewPCG(1, 1))
	h := newHouse(b)
	var texts []string
	for i := range 20_000 {
		texts = append(texts, letter(r, word, i))
	}
	h.add(texts...)
	h.update(time.Now())
	for b.Loop() {
		h.narrow("xyzzyplugh")
	}
}
