package spf

import "strings"

// Received gives the Received-SPF header field of a verdict, folded, without
// the line end after it. RFC 7208 §9.1
func Received(v Verdict, q Query) string {
	identity := "mailfrom"
	if q.Sender == "" {
		identity = "helo"
	}
	ip := q.IP.Unmap().String()
	b := make([]byte, 0, 512)
	put := func(words ...string) {
		for _, w := range words {
			b = append(b, w...)
		}
	}
	put("Received-SPF: ", string(v.Result), " (", comment(v, ip), ")\r\n\tclient-ip=", ip, ";")
	if q.Sender != "" {
		put("\r\n\tenvelope-from=", quoted(q.Sender), ";")
	}
	if q.Helo != "" {
		put("\r\n\thelo=", quoted(q.Helo), ";")
	}
	if q.Receiver != "" {
		put("\r\n\treceiver=", quoted(q.Receiver), ";")
	}
	put("\r\n\tidentity=", identity)
	if v.Term != "" {
		put("; mechanism=", quoted(cut(v.Term, 300)))
	}
	if v.Problem != "" && (v.Result == TempError || v.Result == PermError) {
		put(";\r\n\tproblem=", quoted(cut(v.Problem, 300)))
	}
	return string(b)
}

// Receiver gives who says that he has written a Received-SPF field, by its value;
// "" if it does not tell. RFC 7208 §9.1
func Receiver(value string) string {
	value = withoutComments(value)
	_, value, _ = strings.Cut(strings.TrimLeft(value, " \t\r\n"), " ") // the result
	for pair := range strings.SplitSeq(value, ";") {
		key, who, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(key), "receiver") {
			return strings.TrimSuffix(strings.Trim(who, "\" \t\r\n"), ".")
		}
	}
	return ""
}

// withoutComments gives a value without comments, line ends, and what divides
// pairs within quoted strings.
func withoutComments(s string) string {
	depth, quoted := 0, false
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case r == '"' && depth == 0:
			quoted = !quoted
		case quoted && (r == ';' || r == '='):
			return '?'
		case quoted:
		case r == '(':
			depth++
		case r == ')' && depth > 0:
			depth--
			return ' '
		}
		if depth > 0 {
			return -1
		}
		return r
	}, s)
}

// comment says in words what the result means, for who reads headers.
func comment(v Verdict, ip string) string {
	domain := printable(cut(v.Domain, 255))
	switch v.Result {
	case Pass:
		return domain + " designates " + ip + " as permitted sender"
	case Fail:
		return domain + " does not designate " + ip + " as permitted sender"
	case SoftFail:
		return domain + " discourages use of " + ip + " as sender"
	case Neutral:
		return domain + " says nothing of " + ip
	case None:
		return domain + " has no policy"
	case TempError:
		return "the policy of " + domain + " could not be found out"
	}
	return "the policy of " + domain + " cannot be understood"
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
