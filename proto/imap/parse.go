package imap

import (
	"encoding/base64"
	"errors"
	"strings"
)

// ErrUnknown says that there is no such command.
var ErrUnknown = errors.New("unknown command")

// A grammar reads what follows a command's name.
type grammar func(s *scanner) Command

// The grammar of each command; one after UID has "UID " before its name.
var grammars = map[string]grammar{
	"CAPABILITY": bare("CAPABILITY"),
	"NOOP":       bare("NOOP"),
	"LOGOUT":     bare("LOGOUT"),
	"STARTTLS":   bare("STARTTLS"),
	"CHECK":      bare("CHECK"),
	"CLOSE":      bare("CLOSE"),
	"UNSELECT":   bare("UNSELECT"),
	"EXPUNGE":    bare("EXPUNGE"),
	"IDLE":       bare("IDLE"),
	"NAMESPACE":  bare("NAMESPACE"),

	"RESETKEY":   parseResetKey,
	"GENURLAUTH": parseGenURLAuth,
	"URLFETCH":   parseURLFetch,

	"SORT":         func(s *scanner) Command { return parseSort(s, false) },
	"UID SORT":     func(s *scanner) Command { return parseSort(s, true) },
	"THREAD":       func(s *scanner) Command { return parseThread(s, false) },
	"UID THREAD":   func(s *scanner) Command { return parseThread(s, true) },
	"ESEARCH":      parseMultiSearch,
	"CANCELUPDATE": parseCancelUpdate,
	"COMPARATOR":   parseComparator,

	"NOTIFY":         parseNotify,
	"UNAUTHENTICATE": bare("UNAUTHENTICATE"),
	"COMPRESS":       func(s *scanner) Command { s.sp(); return Compress{Mechanism: s.word()} },
	"UIDBATCHES":     parseUIDBatches,

	"ID":           parseID,
	"AUTHENTICATE": parseAuthenticate,
	"LOGIN": func(s *scanner) Command {
		return Login{User: s.argument(), Password: s.argument()}
	},
	"ENABLE":      parseEnable,
	"SELECT":      func(s *scanner) Command { return parseSelect(s, false) },
	"EXAMINE":     func(s *scanner) Command { return parseSelect(s, true) },
	"CREATE":      parseCreate,
	"DELETE":      func(s *scanner) Command { return Delete{Mailbox: s.argument()} },
	"RENAME":      func(s *scanner) Command { return Rename{From: s.argument(), To: s.argument()} },
	"SUBSCRIBE":   func(s *scanner) Command { return Subscribe{Mailbox: s.argument()} },
	"UNSUBSCRIBE": func(s *scanner) Command { return Subscribe{Mailbox: s.argument(), Undo: true} },
	"LIST":        parseList,
	"LSUB":        parseLsub,
	"RLIST": func(s *scanner) Command { // RFC 2193 §5.1
		c := parseList(s).(List)
		c.Remote = true
		return c
	},
	"RLSUB": func(s *scanner) Command {
		c := parseLsub(s).(Lsub)
		c.Remote = true
		return c
	},
	"SETACL":       parseSetACL,
	"DELETEACL":    func(s *scanner) Command { return SetACL{Mailbox: s.argument(), Identifier: s.argument(), Delete: true} },
	"GETACL":       func(s *scanner) Command { return GetACL{Mailbox: s.argument()} },
	"LISTRIGHTS":   func(s *scanner) Command { return ListRights{Mailbox: s.argument(), Identifier: s.argument()} },
	"MYRIGHTS":     func(s *scanner) Command { return MyRights{Mailbox: s.argument()} },
	"GETQUOTA":     func(s *scanner) Command { return GetQuota{Root: s.argument()} },
	"GETQUOTAROOT": func(s *scanner) Command { return GetQuotaRoot{Mailbox: s.argument()} },
	"SETQUOTA":     parseSetQuota,
	"GETMETADATA":  parseGetMetadata,
	"SETMETADATA":  parseSetMetadata,
	"LANGUAGE":     parseLanguage,
	"STATUS":       parseStatus,
	"FETCH":        func(s *scanner) Command { return parseFetch(s, false) },
	"STORE":        func(s *scanner) Command { return parseStore(s, false) },
	"SEARCH":       func(s *scanner) Command { return parseSearch(s, false) },
	"COPY":         func(s *scanner) Command { return parseCopy(s, false, false) },
	"MOVE":         func(s *scanner) Command { return parseCopy(s, false, true) },
	"UID FETCH":    func(s *scanner) Command { return parseFetch(s, true) },
	"UID STORE":    func(s *scanner) Command { return parseStore(s, true) },
	"UID SEARCH":   func(s *scanner) Command { return parseSearch(s, true) },
	"UID COPY":     func(s *scanner) Command { return parseCopy(s, true, false) },
	"UID MOVE":     func(s *scanner) Command { return parseCopy(s, true, true) },
	"UID EXPUNGE":  func(s *scanner) Command { s.sp(); return Expunge{Set: s.set()} },
}

// ParseTag reads the tag and the space behind it, and gives the rest. A line
// that is no more than a tag gives the tag with the error. RFC 9051 §9: a tag
// is of ASTRING-CHARs other than "+".
func ParseTag(text []byte) (tag string, rest []byte, err error) {
	s := scanner{b: text}
	b := s.span(atomChar | respSpec)
	if len(b) == 0 || len(b) > maxTag || strings.IndexByte(string(b), '+') >= 0 {
		return "", nil, &SyntaxError{"bad tag"}
	}
	tag = string(b)
	if s.atEnd() {
		return tag, nil, &SyntaxError{"missing command"}
	}
	if s.sp(); s.err != nil {
		return "", nil, &SyntaxError{"bad tag"}
	}
	if s.atEnd() {
		return tag, nil, &SyntaxError{"missing command"}
	}
	return tag, s.b[s.i:], nil
}

// maxTag bounds a tag, since it is echoed.
const maxTag = 256

// Parse reads one command after its tag, without the final CRLF. It fails
// with ErrUnknown or a *SyntaxError. APPEND and REPLACE are
// read by an AppendParser.
func Parse(rest []byte) (Command, error) {
	s := scanner{b: rest}
	name := s.word()
	if name == "UID" {
		s.sp()
		name = "UID " + s.word()
	}
	if s.err != nil {
		return nil, s.err
	}
	g, ok := grammars[name]
	if !ok {
		if name == "APPEND" || name == "REPLACE" || name == "UID REPLACE" {
			return nil, &SyntaxError{"missing argument"}
		}
		return nil, ErrUnknown
	}
	cmd := g(&s)
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	return cmd, nil
}

func bare(name string) grammar {
	return func(*scanner) Command { return Bare(name) }
}

// argument takes a space and an astring.
func (s *scanner) argument() string {
	s.sp()
	return s.astring()
}

// Limits of ID. RFC 2971 §3.3
const (
	maxIDFields = 30
	maxIDName   = 30
	maxIDValue  = 1024
)

func parseID(s *scanner) Command {
	s.sp()
	if s.peek() != '(' {
		if s.word() != "NIL" {
			s.fail("expected NIL or a list")
		}
		return ID{}
	}
	id := ID{Fields: []IDField{}}
	s.list(true, func() {
		var f IDField
		f.Name = s.str()
		s.sp()
		f.Value, _ = s.nstring()
		if len(id.Fields) >= maxIDFields || len(f.Name) > maxIDName || len(f.Value) > maxIDValue {
			s.fail("ID is too long")
			return
		}
		id.Fields = append(id.Fields, f)
	})
	return id
}

func parseAuthenticate(s *scanner) Command {
	s.sp()
	a := Authenticate{Mechanism: s.word()}
	if s.more(0) {
		// "=" is an initial response that is there and empty. RFC 4959 §3
		if b := s.span(base64Char); string(b) == "=" {
			a.Initial = []byte{}
		} else {
			a.Initial = s.base64(b)
		}
	}
	return a
}

func (s *scanner) base64(b []byte) []byte {
	v, err := base64.StdEncoding.DecodeString(string(b))
	if err != nil || len(b) == 0 {
		s.fail("bad base64")
		return nil
	}
	return v
}

func parseEnable(s *scanner) Command {
	var e Enable
	s.sp()
	for !s.failed() {
		e.Capabilities = append(e.Capabilities, s.word())
		if !s.more(0) {
			break
		}
	}
	return e
}

func parseCreate(s *scanner) Command {
	c := Create{Mailbox: s.argument()}
	if s.more(0) { // RFC 6154 §3
		s.list(false, func() {
			if s.word() != "USE" {
				s.fail("unknown CREATE parameter")
				return
			}
			s.sp()
			s.list(true, func() {
				s.expect('\\')
				c.Use = append(c.Use, `\`+s.atom())
			})
		})
	}
	return c
}

func parseStore(s *scanner, uid bool) Command {
	c := Store{UID: uid}
	s.sp()
	c.Set = s.set()
	s.sp()
	if s.peek() == '(' { // RFC 7162 §3.1.3
		s.list(false, func() {
			if s.word() != "UNCHANGEDSINCE" {
				s.fail("unknown STORE modifier")
				return
			}
			s.sp()
			since := s.modSeq()
			c.UnchangedSince = &since
		})
		s.sp()
	}
	switch {
	case s.accept('+'):
		c.Op = StoreAdd
	case s.accept('-'):
		c.Op = StoreRemove
	}
	switch s.word() {
	case "FLAGS":
	case "FLAGS.SILENT":
		c.Silent = true
	default:
		s.fail("unknown STORE item")
	}
	s.sp()
	if s.peek() == '(' {
		c.Flags = s.flagList()
		return c
	}
	for !s.failed() {
		s.flag(&c.Flags)
		if !s.more(0) {
			break
		}
	}
	return c
}

func parseCopy(s *scanner, uid, move bool) Command {
	c := Copy{UID: uid, Move: move}
	s.sp()
	c.Set = s.set()
	c.Mailbox = s.argument()
	return c
}
