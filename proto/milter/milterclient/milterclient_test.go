package milterclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"waxwing/proto/milter"
)

// A script is a filter that answers by a table: what it gets, as "L" with its
// arguments quoted, and the packets that it sends back.
type script struct {
	actions milter.Actions
	steps   milter.Steps
	macros  string
	answers map[byte][]string
	heard   []string
}

func packet(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// serve speaks until the line ends.
func (s *script) serve(nc net.Conn) {
	var buf []byte
	for {
		p, b, err := milter.ReadPacket(nc, buf)
		if err != nil {
			return
		}
		buf = b
		s.heard = append(s.heard, fmt.Sprintf("%c%q", p.Code, p.Args))
		answers, known := s.answers[p.Code]
		switch {
		case p.Code == 'O':
			o := milter.Offer{Version: 6, Actions: s.actions, Steps: s.steps}
			if _, err := nc.Write(packet("O" + string(o.Append(nil)[5:]) + s.macros)); err != nil {
				return
			}
			continue
		case p.Code == 'D', p.Code == 'A', p.Code == 'Q':
			continue
		case !known:
			answers = []string{"c"}
		}
		for _, a := range answers {
			if _, err := nc.Write(packet(a)); err != nil {
				return
			}
		}
	}
}

// dial connects to the script, over a pipe.
func dial(t *testing.T, s *script, o Options) *Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	served := make(chan struct{})
	go func() { s.serve(theirs); close(served) }()
	c, err := New(t.Context(), ours, o, func(name string) string { return map[string]string{"i": "id", "{rcpt_addr}": "b"}[name] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = theirs.Close(); <-served })
	return c
}

func fields(yield func(Field) bool) {
	_ = yield(Field{"Subject", " a\r\n b"}) && yield(Field{"X", "y"})
}

// converse goes through all there is and gives the last verdict and changes.
func converse(t *testing.T, c *Conn) (v milter.Verdict, changes []milter.Change, err error) {
	t.Helper()
	ctx := t.Context()
	for _, step := range []func() (milter.Verdict, error){
		func() (milter.Verdict, error) { return c.Connect(ctx, "h", netip.MustParseAddrPort("192.0.2.1:9")) },
		func() (milter.Verdict, error) { return c.Helo(ctx, "h") },
		func() (milter.Verdict, error) { return c.Unknown(ctx, "XYZ") },
		func() (milter.Verdict, error) { return c.Mail(ctx, "<a>") },
		func() (milter.Verdict, error) { return c.Rcpt(ctx, true, "<c>") },
		func() (milter.Verdict, error) { return c.Rcpt(ctx, false, "<b>") },
		func() (milter.Verdict, error) { return c.Data(ctx) },
		func() (milter.Verdict, error) {
			return c.Message(ctx, fields, strings.NewReader("body\r\n"), func(m milter.Change) error {
				if b, ok := m.(milter.ReplaceBody); ok {
					m = milter.ReplaceBody{Chunk: bytes.Clone(b.Chunk)}
				}
				changes = append(changes, m)
				return nil
			})
		},
	} {
		if v, err = step(); err != nil || v.Reply != milter.Continue {
			return v, changes, err
		}
	}
	return v, changes, nil
}

func TestWhole(t *testing.T) {
	s := &script{actions: milter.AllActions, steps: milter.WantRejected, answers: map[byte][]string{
		'B': {"p", "c"},
		'E': {"hX-A\x00b\x00", "i\x00\x00\x00\x00X-B\x00c\x00", "m\x00\x00\x00\x01X\x00\x00", "e<>\x00", "p", "+<n@x.test>\x00", "-<b@x.test>\x00", "bnew", "qwhy\x00", "a"},
	}}
	c := dial(t, s, Options{})
	v, changes, err := converse(t, c)
	if err != nil || v.Reply != milter.Accept || len(changes) != 8 {
		t.Fatalf("%v, %v, %v", v, changes, err)
	}
	if got := changes[0]; got != (milter.AddHeader{Name: "X-A", Value: " b"}) {
		t.Errorf("a space is missing: %#v", got)
	}
	if got := changes[2]; got != (milter.ChangeHeader{Index: 1, Name: "X"}) {
		t.Errorf("a deletion: %#v", got)
	}
	if err := c.Abort(t.Context()); err != nil { // there is nothing to abort
		t.Fatal(err)
	}
	want := []string{
		`O"\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"`, `C"h\x004\x00\t192.0.2.1\x00"`, `H"h\x00"`, `U"XYZ\x00"`,
		`D"Mi\x00id\x00"`, `M"<a>\x00"`, `D"Ri\x00id\x00{rcpt_addr}\x00b\x00"`, `R"<c>\x00"`,
		`D"Ri\x00id\x00{rcpt_addr}\x00b\x00"`, `R"<b>\x00"`, `D"Ti\x00id\x00"`, `T""`,
		`L"Subject\x00a\n b\x00"`, `L"X\x00y\x00"`, `D"Ni\x00id\x00"`, `N""`, `B"body\r\n"`, `D"Ei\x00id\x00"`, `E""`,
	}
	if !reflect.DeepEqual(s.heard, want) {
		t.Errorf("the filter heard\n%s\nand not\n%s", strings.Join(s.heard, "\n"), strings.Join(want, "\n"))
	}
}

// What a filter does not want to be told it is not told, and where it does not
// answer nobody waits.
func TestSteps(t *testing.T) {
	s := &script{
		steps: milter.NoConnect | milter.NoHelo | milter.NoUnknown | milter.SilentMail | milter.NoRcpt | milter.NoData |
			milter.SilentHeader | milter.NoEOH | milter.NoBody | milter.LeadingSpace,
		macros:  "\x00\x00\x00\x02\x00\x00\x00\x00\x05{rcpt_addr}\x00",
		answers: map[byte][]string{'M': nil, 'L': nil},
	}
	v, _, err := converse(t, dial(t, s, Options{}))
	if err != nil || v.Reply != milter.Continue {
		t.Fatal(v, err)
	}
	want := `M"<a>\x00" L"Subject\x00 a\n b\x00" L"X\x00y\x00" D"E{rcpt_addr}\x00b\x00" E""`
	if got := strings.Join(s.heard[1:], " "); got != want {
		t.Errorf("the filter heard\n%s, not\n%s", got, want)
	}
}

// A filter that has decided is told no more of the message but that it is over.
func TestEarlyVerdicts(t *testing.T) {
	for _, tt := range []struct {
		at     byte
		answer string
		want   milter.Reply
		last   string
	}{
		{'C', "r", milter.Reject, "C"}, {'H', "y550 no\x00", milter.Custom, "H"}, {'M', "t", milter.TempFail, "M"},
		{'R', "d", milter.Discard, "R"}, {'T', "4", milter.Shutdown, "T"}, {'L', "f", milter.ConnFail, "A"},
		{'N', "a", milter.Accept, "A"}, {'B', "r", milter.Reject, "A"}, {'B', "s", milter.Continue, "E"}, {'L', "s", milter.Continue, "E"},
	} {
		s := &script{answers: map[byte][]string{tt.at: {tt.answer}}}
		ours, theirs := net.Pipe()
		served := make(chan struct{})
		go func() { s.serve(theirs); close(served) }()
		c, err := New(t.Context(), ours, Options{}, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		v, _, err := converse(t, c)
		_ = ours.Close()
		<-served
		if err != nil || v.Reply != tt.want || s.heard[len(s.heard)-1][:1] != tt.last {
			t.Errorf("%q at %c: %q, %v; heard %s", tt.answer, tt.at, v.Reply, err, s.heard)
		}
	}
}

// Trouble with a filter is an error, whatever it is.
func TestTrouble(t *testing.T) {
	many := func(s string, n int) []string {
		var all []string
		for range n {
			all = append(all, s)
		}
		return append(all, "c")
	}
	for what, s := range map[string]*script{
		"nonsense":              {answers: map[byte][]string{'H': {"?"}}},
		"a change too early":    {actions: milter.AllActions, answers: map[byte][]string{'H': {"hA\x00b\x00"}}},
		"a change not asked":    {answers: map[byte][]string{'E': {"hA\x00b\x00", "c"}}},
		"a new body, not asked": {actions: milter.MayAddHeaders, answers: map[byte][]string{'E': {"bx", "c"}}},
		"too many changes":      {actions: milter.AllActions, answers: map[byte][]string{'E': many("hA\x00b\x00", maxChanges+1)}},
		"too large a body":      {actions: milter.AllActions, answers: map[byte][]string{'E': many("b"+strings.Repeat("x", 40), 3)}},
		"busy without end":      {answers: map[byte][]string{'E': many("p", maxBusy+1)}},
	} {
		if v, _, err := converse(t, dial(t, s, Options{MaxBody: 100})); err == nil {
			t.Errorf("%s: %q", what, v.Reply)
		}
	}
}

// A filter that says nothing costs its time-out, one that is busy costs more,
// and the end of the context costs nothing.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func() *script { return &script{answers: map[byte][]string{'H': nil, 'M': nil}} }
		began := time.Now()
		c := dial(t, silent(), Options{CommandTimeout: 7 * time.Second})
		if _, err := c.Helo(t.Context(), "h"); err == nil || time.Since(began) != 7*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c = dial(t, silent(), Options{})
		if _, err := c.Mail(ctx, "<a>"); err == nil || time.Since(began) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		began = time.Now()
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		if _, err := New(t.Context(), ours, Options{ConnectTimeout: 3 * time.Second}, nil); err == nil || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		_ = theirs.Close()
	})
}
