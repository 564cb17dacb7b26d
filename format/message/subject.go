package message

import "strings"

// BaseSubject gives the base subject of a raw Subject: decoded, without the
// reply and forward marks that mail programs add, white space collapsed.
// Callers compare without regard to case. RFC 5256 §2.1
func BaseSubject(raw string) string {
	base, _ := SplitSubject(DecodeHeader(raw))
	return base
}

// SplitSubject gives the base subject of a decoded Subject, and tells whether
// the subject says that its message is a reply to another or forwards one.
// RFC 5256 §2.1
func SplitSubject(decoded string) (base string, reply bool) {
	s := strings.Join(strings.Fields(decoded), " ") // step 1
	for {
		var forwarded, answered bool
		s, forwarded = cutTrailers(s)
		s, answered = cutLeaders(s)
		inner, ok := cutForward(s) // step 6
		reply = reply || forwarded || answered || ok
		if !ok {
			return s, reply
		}
		s = inner
	}
}

// cutTrailers removes subj-trailers: "(fwd)" and white space. Step 2.
func cutTrailers(s string) (rest string, forwarded bool) {
	for {
		s = strings.TrimRight(s, " ")
		n := len(s) - len("(fwd)")
		if n < 0 || !strings.EqualFold(s[n:], "(fwd)") {
			return s, forwarded
		}
		s, forwarded = s[:n], true
	}
}

// cutLeaders removes subj-leaders, and subj-blobs as long as something is left
// behind them. Steps 3 to 5.
func cutLeaders(s string) (left string, answered bool) {
	for {
		s = strings.TrimLeft(s, " ")
		rest, last := s, s // behind all blobs; behind all blobs but the last one
		for {
			next, ok := cutBlob(rest)
			if !ok {
				break
			}
			last, rest = rest, next
		}
		if behind, ok := cutReply(rest); ok {
			s, answered = behind, true
			continue
		}
		if rest == "" {
			return last, answered
		}
		return rest, answered
	}
}

// cutBlob removes a subj-blob with the white space behind it.
func cutBlob(s string) (string, bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	i := strings.IndexAny(s[1:], "[]")
	if i < 0 || s[1+i] == '[' {
		return s, false
	}
	return strings.TrimLeft(s[i+2:], " "), true
}

// cutReply removes a subj-refwd: "re", "fw" or "fwd", a blob perhaps, a colon.
func cutReply(s string) (string, bool) {
	n := 0
	switch {
	case len(s) > 3 && strings.EqualFold(s[:3], "fwd"):
		n = 3
	case len(s) > 2 && (strings.EqualFold(s[:2], "re") || strings.EqualFold(s[:2], "fw")):
		n = 2
	default:
		return s, false
	}
	rest, _ := cutBlob(strings.TrimLeft(s[n:], " "))
	if rest == "" || rest[0] != ':' {
		return s, false
	}
	return rest[1:], true
}

// cutForward removes "[fwd:" and "]" around a subject.
func cutForward(s string) (string, bool) {
	const lead = "[fwd:"
	if len(s) > len(lead) && strings.EqualFold(s[:len(lead)], lead) && s[len(s)-1] == ']' {
		return s[len(lead) : len(s)-1], true
	}
	return s, false
}
