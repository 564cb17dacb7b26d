package imap

import (
	"regexp"
	"strconv"
	"testing"
)

// What a line announces stands at its end, and a command with that many octets
// behind it is read as one with that literal.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3}", "a LOGIN {3+}", "a APPEND x ~{0}", "{18446744073709551616}", "{-1}", "{}", "{+}", "{1}}", "{{1}",
		"{000000000000000000000000000001}", `a LOGIN "{3}`, "~~{2+}", "{9223372036854775807}", "a SELECT ~{1}",
	} {
		f.Add([]byte(s))
	}
	end := regexp.MustCompile(`(~?)\{0*([0-9]+)(\+?)\}$`)
	f.Fuzz(func(t *testing.T, line []byte) {
		l, ok := LineLiteral(line)
		if !ok {
			return
		}
		m := end.FindSubmatch(line)
		if m == nil || l.Size < 0 || string(m[2]) != strconv.FormatInt(l.Size, 10) || l.Binary != (len(m[1]) > 0) || l.NonSync != (len(m[3]) > 0) {
			t.Fatalf("%q -> %+v", line, l)
		}
		if l.Size > 1<<10 || l.Binary {
			return
		}
		text := make([]byte, l.Size)
		for i := range text {
			text[i] = 'x'
		}
		command := append([]byte("STATUS "), m[0]...)
		command = append(append(append(command, '\r', '\n'), text...), " (MESSAGES)"...)
		if cmd, err := Parse(command); err != nil || cmd.(Status).Mailbox != string(text) {
			t.Fatalf("%q -> %+v, %v", command, cmd, err)
		}
	})
}
