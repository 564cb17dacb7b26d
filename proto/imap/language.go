package imap

// Language is RFC 5255 §3.1; without Ranges it asks for those that there are.
type Language struct{ Ranges []string }

func (c Language) Name() string { return "LANGUAGE" }

// maxLanguages bounds the ranges of one LANGUAGE.
const maxLanguages = 50

func parseLanguage(s *scanner) Command {
	var c Language
	for s.more(0) {
		if len(c.Ranges) >= maxLanguages {
			s.fail("too many languages")
			break
		}
		c.Ranges = append(c.Ranges, s.astring())
	}
	return c
}
