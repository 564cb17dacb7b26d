package imap

// previewModifiers takes what may stand behind PREVIEW: LAZY, and as the
// drafts and SNIPPET=FUZZY had it, an algorithm, which may have LAZY before
// its name. All of them mean the same to us: the preview is at hand.
// RFC 8970 §3.1, §4.1
//
// QUIRK: in a list of items "PREVIEW (LAZY)" can only mean LAZY, but behind a
// PREVIEW that stands alone the list could as well be FETCH modifiers.
func (s *scanner) previewModifiers() {
	i := s.i
	if !s.spaces() || !s.accept('(') {
		s.i = i
		return
	}
	switch upper(s.span(atomChar)) {
	case "LAZY", "FUZZY", "LAZY=FUZZY":
	default: // not ours
		s.i = i
		return
	}
	for s.more(')') {
		switch s.word() {
		case "LAZY", "FUZZY", "LAZY=FUZZY":
		default:
			s.fail("unknown PREVIEW modifier")
		}
	}
}
