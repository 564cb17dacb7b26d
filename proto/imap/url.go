package imap

import (
	"strconv"
	"strings"
	"time"

	"waxwing/mail"
)

// A URL names a message, or a part of one. RFC 5092 §6, RFC 4467 §3,
// RFC 5550 §5.7.1
type URL struct {
	// User and Host are those of an absolute URL; Host is empty in a relative
	// one, which CATENATE takes. RFC 4469 §3
	User, Host string

	Mailbox     string           // UTF-8; empty for the one that is selected
	UIDValidity mail.UIDValidity // zero where it is not given
	UID         mail.UID
	Section     Section // without fields the whole message
	Partial     Partial

	// What follows is that of a URL with URLAUTH.
	Expire    time.Time // zero for never
	Access    string    // "submit+user", "user+user", "authuser", "anonymous"; empty without URLAUTH
	Mechanism string    // in upper case; empty in a rump, which is to be authorized
	Token     string    // in hexadecimal
	Rump      string    // what the token is calculated on, as it was written
}

// AccessUser gives the user that Access names behind "submit+" or "user+".
func (u *URL) AccessUser(prefix string) (string, bool) {
	if len(u.Access) < len(prefix) || !strings.EqualFold(u.Access[:len(prefix)], prefix) {
		return "", false
	}
	return percentDecode(u.Access[len(prefix):])
}

// ParseURL reads a URL of a message or a part. It fails with a *SyntaxError.
func ParseURL(text string) (*URL, error) {
	if len(text) > maxURL {
		return nil, &SyntaxError{"URL is too long"}
	}
	for i := 0; i < len(text); i++ {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return nil, &SyntaxError{"bad character in URL"}
		}
	}
	u := new(URL)
	path, ok := u.cutAccess(text)
	if ok {
		path, ok = u.cutServer(path)
	}
	if !ok || !u.parsePath(path) {
		return nil, &SyntaxError{"bad URL"}
	}
	return u, nil
}

// cutFold cuts text at the last place where sep stands in any case.
func cutFold(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(upper([]byte(text)), sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// cutAccess takes ";EXPIRE=" and ";URLAUTH=" from the end. RFC 4467 §9
func (u *URL) cutAccess(text string) (path string, ok bool) {
	path, auth, found := cutFold(text, ";URLAUTH=")
	if !found {
		return path, true
	}
	access, rest, authorized := strings.Cut(auth, ":")
	u.Access, u.Rump = access, text[:len(text)-len(auth)+len(access)]
	if authorized {
		u.Mechanism, u.Token, ok = strings.Cut(rest, ":")
		if !ok || !isMechanism(u.Mechanism) || !isToken(u.Token) {
			return "", false
		}
		u.Mechanism = strings.ToUpper(u.Mechanism)
	}
	switch {
	case strings.EqualFold(access, "authuser"), strings.EqualFold(access, "anonymous"):
	default:
		user, isSubmit := u.AccessUser("submit+")
		other, isUser := u.AccessUser("user+")
		if !isSubmit && !isUser || user+other == "" {
			return "", false
		}
	}
	if before, date, found := cutFold(path, ";EXPIRE="); found {
		t, err := time.Parse(time.RFC3339, strings.ToUpper(date))
		if err != nil {
			return "", false
		}
		path, u.Expire = before, t
	}
	return path, true
}

func isMechanism(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '-' && c != '.' && !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return s != ""
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if _, hex := hexDigit(s[i]); !hex {
			return false
		}
	}
	return len(s) >= 32
}

// cutServer takes "imap://user@host/". RFC 5092 §3
func (u *URL) cutServer(text string) (path string, ok bool) {
	const scheme = "imap://"
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return text, u.Access == "" // a URL with URLAUTH is absolute. RFC 4467 §9
	}
	server, path, found := strings.Cut(text[len(scheme):], "/")
	if !found {
		return "", false
	}
	if user, host, has := strings.Cut(server, "@"); has {
		user, _, _ = cutFold(user, ";AUTH=")
		if u.User, ok = percentDecode(user); !ok || u.User == "" {
			return "", false
		}
		server = host
	}
	if u.Host = server; server == "" || strings.Contains(server, "@") {
		return "", false
	}
	return "/" + path, true
}

// parsePath takes "/mailbox;UIDVALIDITY=1/;UID=2/;SECTION=3/;PARTIAL=4.5";
// ";UID=2..." is of the mailbox that is selected. RFC 5092 §6, §7.1
func (u *URL) parsePath(path string) bool {
	box, rest, found := strings.Cut(upperKeys(path), ";UID=")
	if !found {
		return false
	}
	box = path[:len(box)]
	rest = path[len(path)-len(rest):]
	if box != "" && !u.parseMailbox(box) || box == "" && u.Host != "" {
		return false
	}
	number, rest, more := strings.Cut(rest, "/")
	uid, err := strconv.ParseUint(number, 10, 32)
	if err != nil || uid == 0 || number[0] == '+' {
		return false
	}
	u.UID = mail.UID(uid)
	for more {
		var field string
		// A section may hold a slash only as an octet in hexadecimal.
		field, rest, more = strings.Cut(rest, "/")
		name, value, _ := strings.Cut(field, "=")
		switch strings.ToUpper(name) {
		case ";SECTION":
			if !u.parseSection(value) {
				return false
			}
		case ";PARTIAL":
			if more || !u.parsePartial(value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// upperKeys gives text in upper case, octet for octet.
func upperKeys(text string) string { return upper([]byte(text)) }

// parseMailbox takes "/mailbox;UIDVALIDITY=1/".
func (u *URL) parseMailbox(box string) bool {
	name, ok := strings.CutSuffix(box, "/")
	if !ok {
		return false
	}
	if before, number, found := cutFold(name, ";UIDVALIDITY="); found {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n == 0 {
			return false
		}
		name, u.UIDValidity = before, mail.UIDValidity(n)
	}
	name = strings.TrimPrefix(name, "/")
	if name == "" {
		return u.Host == "" && u.UIDValidity == 0 // "/;UID=1": of the selected one
	}
	text, ok := percentDecode(name)
	if !ok || checkName(text) != nil {
		return false
	}
	u.Mailbox = FoldInbox(text)
	return true
}

func (u *URL) parseSection(text string) bool {
	text, ok := percentDecode(text)
	if !ok || text == "" || strings.ContainsAny(text, "\r\n\x00") {
		return false
	}
	s := scanner{b: []byte("[" + text + "]")}
	u.Section = s.section(true)
	s.end()
	return s.err == nil
}

// parsePartial takes "from" or "from.count"; without a count it goes to the
// end. RFC 5092 §11, partial-range
func (u *URL) parsePartial(text string) bool {
	from, count, has := strings.Cut(text, ".")
	u.Partial.Count = 1<<63 - 1
	s := scanner{b: []byte(from)}
	u.Partial.From = s.number64()
	s.end()
	if has && s.err == nil {
		s = scanner{b: []byte(count)}
		u.Partial.Count = s.number64()
		s.end()
	}
	return s.err == nil && u.Partial.Count > 0
}

// percentDecode replaces "%41" by "A". RFC 3986 §2.1
func percentDecode(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, ok1 := hexDigit(s[i+1])
		low, ok2 := hexDigit(s[i+2])
		if !ok1 || !ok2 || high == 0 && low == 0 {
			return "", false
		}
		b = append(b, high<<4|low)
		i += 2
	}
	return string(b), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// AppendURLText writes a URL for the text of a response code, where "]" and
// controls cannot stand. RFC 4469 §4.1
func AppendURLText(dst []byte, url string) []byte {
	for i := 0; i < len(url) && i < 1000; i++ {
		if c := url[i]; c <= ' ' || c >= 0x7f || c == ']' || c == '\\' {
			const hex = "0123456789ABCDEF"
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// ResetKey makes URLs that were authorized worth nothing: those of a mailbox,
// or all. RFC 4467 §7
type ResetKey struct {
	Mailbox    string // empty for all
	Mechanisms []string
}

// GenURLAuth authorizes URLs. RFC 4467 §7
type GenURLAuth struct{ URLs []RumpURL }

// A RumpURL is a URL that ends in ";URLAUTH=access", and the mechanism that
// is to authorize it.
type RumpURL struct{ URL, Mechanism string }

// URLFetch asks for what URLs stand for. RFC 4467 §7, RFC 5524 §3
type URLFetch struct{ URLs []FetchURL }

// A FetchURL is one of them, with what is wanted of it. Without anything it
// is the octets, in the answer of RFC 4467.
type FetchURL struct {
	URL                     string
	Body, Binary, Structure bool
}

// maxURLs bounds one command.
const maxURLs = 1000

func (c ResetKey) Name() string   { return "RESETKEY" }
func (c GenURLAuth) Name() string { return "GENURLAUTH" }
func (c URLFetch) Name() string   { return "URLFETCH" }

func parseResetKey(s *scanner) Command {
	var c ResetKey
	if !s.more(0) {
		return c
	}
	c.Mailbox = s.astring()
	for s.more(0) {
		c.Mechanisms = append(c.Mechanisms, s.word())
	}
	return c
}

func parseGenURLAuth(s *scanner) Command {
	var c GenURLAuth
	s.sp()
	for !s.failed() {
		if len(c.URLs) >= maxURLs {
			s.fail("too many URLs")
		}
		url := s.astring()
		s.sp()
		c.URLs = append(c.URLs, RumpURL{url, s.word()})
		if !s.more(0) {
			break
		}
	}
	return c
}

func parseURLFetch(s *scanner) Command {
	var c URLFetch
	s.sp()
	for !s.failed() {
		if len(c.URLs) >= maxURLs {
			s.fail("too many URLs")
		}
		c.URLs = append(c.URLs, s.fetchURL())
		if !s.more(0) {
			break
		}
	}
	return c
}

// fetchURL takes a url-fetch-arg. RFC 5524 §5
func (s *scanner) fetchURL() FetchURL {
	if s.peek() != '(' {
		return FetchURL{URL: s.astring()}
	}
	s.accept('(')
	f := FetchURL{URL: s.astring()}
	for s.more(')') {
		var on *bool
		switch s.word() {
		case "BODY":
			on = &f.Body
		case "BINARY":
			on = &f.Binary
		case "BODYPARTSTRUCTURE":
			on = &f.Structure
		default:
			s.fail("unknown URLFETCH parameter")
			return f
		}
		if *on {
			s.fail("URLFETCH parameter twice") // RFC 5524 §3.1
		}
		*on = true
	}
	if f.Body && f.Binary {
		s.fail("BODY and BINARY exclude each other") // RFC 5524 §3.1
	}
	return f
}
