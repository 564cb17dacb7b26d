package spf

import (
	"fmt"
	"strings"
)

// Received gives the Received-SPF header field of a verdict, folded, without
// the line end after it. RFC 7208 §9.1
func Received(v Verdict, q Query) string {
	identity := "mailfrom"
	if q.Sender == "" {
		identity = "helo"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Received-SPF: %s (%s)\r\n\tclient-ip=%s;", v.Result, comment(v, q), q.IP.Unmap())
	if q.Sender != "" {
		fmt.Fprintf(&b, "\r\n\tenvelope-from=%s;", quoted(q.Sender))
	}
	if q.Helo != "" {
		fmt.Fprintf(&b, "\r\n\thelo=%s;", quoted(q.Helo))
	}
	if q.Receiver != "" {
		fmt.Fprintf(&b, "\r\n\treceiver=%s;", quoted(q.Receiver))
	}
	fmt.Fprintf(&b, "\r\n\tidentity=%s", identity)
	if v.Term != "" {
		fmt.Fprintf(&b, "; mechanism=%s", quoted(cut(v.Term, 300)))
	}
	if v.Problem != "" && (v.Result == TempError || v.Result == PermError) {
		fmt.Fprintf(&b, ";\r\n\tproblem=%s", quoted(cut(v.Problem, 300)))
	}
	return b.String()
}

// comment says in words what the result means, for who reads headers.
func comment(v Verdict, q Query) string {
	domain, ip := printable(cut(v.Domain, 255)), q.IP.Unmap()
	switch v.Result {
	case Pass:
		return fmt.Sprintf("%s designates %s as permitted sender", domain, ip)
	case Fail:
		return fmt.Sprintf("%s does not designate %s as permitted sender", domain, ip)
	case SoftFail:
		return fmt.Sprintf("%s discourages use of %s as sender", domain, ip)
	case Neutral:
		return fmt.Sprintf("%s says nothing of %s", domain, ip)
	case None:
		return fmt.Sprintf("%s has no policy", domain)
	case TempError:
		return fmt.Sprintf("the policy of %s could not be found out", domain)
	}
	return fmt.Sprintf("the policy of %s cannot be understood", domain)
}

// quoted writes a value as a dot-atom if it is one, else as a quoted string.
func quoted(s string) string {
	atom := s != "" && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
	for i := 0; atom && i < len(s); i++ {
		atom = isAlnum(s[i]) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", s[i]) >= 0
	}
	if atom {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteByte('?') // a stranger's text breaks no line
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// printable makes a stranger's text fit into a comment.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '(' || r == ')' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
