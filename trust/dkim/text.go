package dkim

// A Text is one message as it is written, for all who verify something of it:
// they share its header, and the hashes of its body.
type Text struct {
	// Begin is called once, when the header is there and before any of the
	// body is looked at. Who wants to Check something tells it by Expect then.
	Begin func(*Text)

	head   Head
	header *Header
	bodies [2]*Body // by Form; nil where nobody expects anything
	ended  bool
}

// Write takes the next octets of the message. It never fails.
func (t *Text) Write(p []byte) (int, error) {
	n := len(p)
	p, begins := t.head.Write(p)
	if begins {
		t.begin()
	}
	for _, b := range t.bodies {
		if b != nil {
			b.Write(p)
		}
	}
	return n, nil
}

func (t *Text) begin() {
	t.header = ParseHeader(t.head.Octets)
	if t.Begin != nil {
		t.Begin(t)
	}
}

// End ends the message. It may be called again.
func (t *Text) End() {
	if t.ended {
		return
	}
	t.ended = true
	if t.head.End() {
		t.begin()
	}
	for _, b := range t.bodies {
		if b != nil {
			b.Finish()
		}
	}
}

// Header gives the header, from Begin on. It is empty if it was too large.
func (t *Text) Header() *Header { return t.header }

// TooLarge says that the header had more than MaxHeader octets.
func (t *Text) TooLarge() bool { return t.head.TooLarge }

// Expect gets ready for Check of a signature; in Begin only.
func (t *Text) Expect(s Signature) {
	if t.bodies[s.Body] == nil {
		t.bodies[s.Body] = NewBody(s.Body)
	}
	t.bodies[s.Body].Expect(s)
}

// Check compares the body, once the message has ended, with what a signature
// says of it that was expected. See Body.Check.
func (t *Text) Check(s Signature) (covered, total int64, err error) { return t.bodies[s.Body].Check(s) }
