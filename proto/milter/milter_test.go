package milter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"

	"waxwing/mail"
)

// What we say, octet by octet, as Sendmail's mfdef.h has it.
func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		what string
		got  []byte
		want string
	}{
		{"negotiation", Offer{Version: 6, Actions: AllActions, Steps: AllSteps}.Append(nil), "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"},
		{"IPv4", AppendConnect(nil, "h.test", netip.MustParseAddrPort("192.0.2.1:25")), "\x00\x00\x00\x15Ch.test\x004\x00\x19192.0.2.1\x00"},
		{"IPv6", AppendConnect(nil, "h", netip.MustParseAddrPort("[2001:db8::1]:256")), "\x00\x00\x00\x12Ch\x006\x01\x002001:db8::1\x00"},
		{"mapped", AppendConnect(nil, "h", netip.MustParseAddrPort("[::ffff:192.0.2.1]:25")), "\x00\x00\x00\x10Ch\x004\x00\x19192.0.2.1\x00"},
		{"unknown host", AppendConnect(nil, "h", netip.AddrPort{}), "\x00\x00\x00\x04Ch\x00U"},
		{"hello", AppendHelo(nil, "c.test"), "\x00\x00\x00\x08Hc.test\x00"},
		{"mail", AppendMail(nil, "<a@b.test>", "SIZE=1"), "\x00\x00\x00\x13M<a@b.test>\x00SIZE=1\x00"},
		{"a NUL ends a string", AppendHelo(nil, "c\x00d"), "\x00\x00\x00\x03Hc\x00"},
		{"macros", AppendMacros(nil, AtRcpt, "i", "1", "{rcpt_addr}", "x"), "\x00\x00\x00\x14DRi\x001\x00{rcpt_addr}\x00x\x00"},
		{"field", AppendHeader(nil, "To", " x"), "\x00\x00\x00\x07LTo\x00 x\x00"},
		{"body", AppendBody(nil, []byte("a\r\n")), "\x00\x00\x00\x04Ba\r\n"},
		{"abort", AppendPlain(nil, Abort), "\x00\x00\x00\x01A"},
	} {
		if string(tt.got) != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

func TestReplies(t *testing.T) {
	a := mail.Address{Local: "a", Domain: "b.test"}
	for _, tt := range []struct {
		packet  string
		change  Change
		verdict *Verdict
		fails   bool
	}{
		{packet: "c", verdict: &Verdict{Reply: Continue}},
		{packet: "a", verdict: &Verdict{Reply: Accept}},
		{packet: "4", verdict: &Verdict{Reply: Shutdown}},
		{packet: "p"},
		{packet: "y550 5.7.1 no %%s\x00", verdict: &Verdict{Custom, 550, [3]uint16{5, 7, 1}, "no %s"}},
		{packet: "y451 later\x00", verdict: &Verdict{Custom, 451, [3]uint16{}, "later"}},
		{packet: "y550-5.7.1 one\r\n550 5.7.1 two\x00", verdict: &Verdict{Custom, 550, [3]uint16{5, 7, 1}, "one\ntwo"}},
		{packet: "y550 4.7.1 odd\x00", verdict: &Verdict{Custom, 550, [3]uint16{}, "odd"}},
		{packet: "y250 ok\x00", fails: true},
		{packet: "yno\x00", fails: true},
		{packet: "y550 no end", fails: true},
		{packet: "hX-A\x00 b\n c\x00", change: AddHeader{"X-A", " b\n c"}},
		{packet: "hX-A\x00b\nEvil: x\r\n\r\nbody\x00", change: AddHeader{"X-A", "b\n\tEvil: x\n\tbody"}},
		{packet: "hX A\x00b\x00", fails: true},
		{packet: "hX:\x00b\x00", fails: true},
		{packet: "h\x00b\x00", fails: true},
		{packet: "i\x00\x00\x00\x02X\x00b\x00", change: InsertHeader{2, "X", "b"}},
		{packet: "m\x00\x00\x00\x00X\x00\x00", change: ChangeHeader{1, "X", ""}},
		{packet: "m\x00\x00", fails: true},
		{packet: "e<>\x00", change: ChangeFrom{}},
		{packet: "e<a@b.test>\x00SIZE=1\x00", change: ChangeFrom{a, "SIZE=1"}},
		{packet: "+<a@b.test>\x00", change: AddRecipient{To: a}},
		{packet: "2a@b.test\x00NOTIFY=NEVER\x00", change: AddRecipient{a, "NOTIFY=NEVER"}},
		{packet: "+<>\x00", fails: true},
		{packet: "+not an address\x00", fails: true},
		{packet: "-<a@b.test>\x00", change: DeleteRecipient{a}},
		{packet: "bnew\r\n", change: ReplaceBody{[]byte("new\r\n")}},
		{packet: "qbe\r\nware\x00", change: Quarantine{"be ware"}},
		{packet: "q", fails: true},
		{packet: "Zx", fails: true},
	} {
		change, verdict, err := ParseReply(Packet{tt.packet[0], []byte(tt.packet[1:])})
		if (err != nil) != tt.fails {
			t.Errorf("%q: %v", tt.packet, err)
		}
		if err == nil && (!reflect.DeepEqual(change, tt.change) || !reflect.DeepEqual(verdict, tt.verdict)) {
			t.Errorf("%q: %#v, %#v", tt.packet, change, verdict)
		}
	}
}

func TestOffer(t *testing.T) {
	ours := Offer{Version: 6, Actions: AllActions, Steps: AllSteps}
	answer := func(version, actions, steps uint32, more string) Packet {
		var b []byte
		for _, n := range []uint32{version, actions, steps} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return Packet{'O', append(b, more...)}
	}
	o, err := ParseOffer(answer(6, 0x11, 0x480, "\x00\x00\x00\x02{auth_type} i\x00\x00\x00\x00\x00\x00"), ours)
	if err != nil || o.Actions != MayAddHeaders|MayChangeHeader || o.Steps != CanSkip|SilentHeader ||
		!reflect.DeepEqual(o.Macros[AtMail], []string{"{auth_type}", "i"}) || o.Macros[AtConnect] == nil || o.Macros[AtRcpt] != nil {
		t.Errorf("%+v, %v", o, err)
	}
	for what, p := range map[string]Packet{
		"another packet": {'c', nil}, "a short one": {'O', make([]byte, 11)},
		"a version to come": answer(7, 0, 0, ""), "version 1": answer(1, 0, 0, ""),
		"an unknown action": answer(6, 1<<20, 0, ""), "half a list": answer(6, 0, 0, "\x00\x00\x00\x02i"),
		"an unknown stage": answer(6, 0, 0, "\x00\x00\x00\x09i\x00"),
	} {
		if _, err := ParseOffer(p, ours); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestReadPacket(t *testing.T) {
	for in, fails := range map[string]bool{
		"\x00\x00\x00\x01c": false, "\x00\x00\x00\x00": true, "\x7f\xff\xff\xffc": true, "\x00\x00\x00\x03cx": true, "\x00": true,
	} {
		if _, _, err := ReadPacket(bytes.NewReader([]byte(in)), nil); (err != nil) != fails {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// What a filter answers never ends a header, and never makes a field that is
// none.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"hX\x00a\n\nb\x00", "y550-a\r\n550 b\x00", "m\x00\x00\x00\x01X\x00\x00", "2<a@b>\x00X\x00", "e<>\x00", "O\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01i\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		p := Packet{b[0], b[1:]}
		_, _ = ParseOffer(p, Offer{Version: 6, Actions: AllActions, Steps: AllSteps})
		change, verdict, err := ParseReply(p)
		if err != nil {
			return
		}
		if verdict != nil && verdict.Reply == Custom && verdict.Code/100 != 4 && verdict.Code/100 != 5 {
			t.Fatalf("%q refuses with %d", b, verdict.Code)
		}
		if h, ok := change.(AddHeader); ok {
			for i := range len(h.Value) {
				if h.Value[i] == '\r' || h.Value[i] == 0 ||
					h.Value[i] == '\n' && (i+1 == len(h.Value) || h.Value[i+1] != ' ' && h.Value[i+1] != '\t') {
					t.Fatalf("%q gives the value %q", b, h.Value)
				}
			}
		}
	})
}
