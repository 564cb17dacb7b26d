package outqueue

import "encoding/binary"

// The types of CBOR that a record has. RFC 8949 §3.1
const (
	cborUint  = 0x00
	cborNeg   = 0x20
	cborBytes = 0x40
	cborText  = 0x60
	cborArray = 0x80
	cborMap   = 0xa0
	cborTrue  = 0xf5
)

// appendHead writes the head of a value. RFC 8949 §3
func appendHead(b []byte, kind byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, kind|byte(n))
	case n < 1<<8:
		return append(b, kind|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, kind|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, kind|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, kind|27), n)
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, cborNeg, uint64(-1-n))
	}
	return appendHead(b, cborUint, uint64(n))
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

// A mapWriter writes a map whose keys are small numbers. What is empty is left
// out.
type mapWriter struct {
	b  []byte
	at int // where its head stands
	n  int // keys so far
}

// beginMap begins a map behind b.
func beginMap(b []byte) mapWriter { return mapWriter{b: append(b, 0), at: len(b)} }

func (w *mapWriter) key(k uint64) {
	w.b = appendHead(w.b, cborUint, k)
	w.n++
}

func (w *mapWriter) int(k uint64, n int64) {
	if n != 0 {
		w.key(k)
		w.b = appendInt(w.b, n)
	}
}

func (w *mapWriter) uint(k, n uint64) {
	if n != 0 {
		w.key(k)
		w.b = appendHead(w.b, cborUint, n)
	}
}

func (w *mapWriter) text(k uint64, s string) {
	if s != "" {
		w.key(k)
		w.b = appendText(w.b, s)
	}
}

func (w *mapWriter) flag(k uint64, is bool) {
	if is {
		w.key(k)
		w.b = append(w.b, cborTrue)
	}
}

// end gives what has been written, with the map.
func (w *mapWriter) end() []byte {
	head := appendHead(nil, cborMap, uint64(w.n))
	w.b[w.at] = head[0]
	if len(head) == 1 {
		return w.b
	}
	behind := w.at + 1
	w.b = append(w.b, head[1:]...)
	copy(w.b[behind+len(head)-1:], w.b[behind:len(w.b)-len(head)+1])
	copy(w.b[behind:], head[1:])
	return w.b
}

// appendItem writes the record of it, to be cut into parts: an itemRecord, whose
// fields it writes in their order. Each message has one, so nothing is looked up
// to write it.
func appendItem(b []byte, it *Item) []byte {
	e := &it.Envelope
	w := beginMap(append(b, version))
	w.text(1, it.Message)
	w.key(2)
	w.b = appendAddress(w.b, e.From.Local, e.From.Domain)
	w.key(3)
	w.b = appendHead(w.b, cborArray, uint64(len(e.To)))
	for i := range e.To {
		w.b = it.appendRecipient(w.b, i)
	}
	w.flag(4, e.UTF8)
	w.flag(5, e.EightBit)
	w.text(6, e.ID)
	w.flag(7, e.ReturnHeaders)
	w.key(8)
	w.b = it.Origin.append(w.b)
	w.uint(9, uint64(it.Account))
	w.key(10)
	w.b = appendInt(w.b, it.Created.UnixNano())
	w.key(11)
	w.b = appendInt(w.b, int64(it.Size))
	w.key(12)
	w.b = appendInt(w.b, int64(it.inline))
	if it.blob != nil {
		w.key(13)
		w.b = append(appendHead(w.b, cborBytes, uint64(len(it.blob))), it.blob[:]...)
	}
	w.int(14, int64(it.Tries))
	if len(it.History) > 0 {
		w.key(15)
		w.b = appendHead(w.b, cborArray, uint64(len(it.History)))
		for i := range it.History {
			w.b = it.History[i].append(w.b)
		}
	}
	w.flag(16, e.Binary)
	w.flag(17, e.ReturnFull)
	w.flag(18, e.RequireTLS)
	w.int(19, int64(e.Priority))
	w.int(20, unixNano(e.By.At))
	w.flag(21, e.By.Return)
	w.flag(22, e.By.Trace)
	w.int(23, unixNano(e.HoldUntil))
	w.text(24, e.Hold)
	w.text(25, e.Solicit)
	w.text(26, it.Reroute)
	w.text(27, it.Frozen)
	w.flag(28, e.OptionalTLS)
	return w.end()
}

func appendAddress(b []byte, local, domain string) []byte {
	return appendText(appendText(appendHead(b, cborArray, 2), local), domain)
}

// appendRecipient writes a recipientRecord.
func (it *Item) appendRecipient(b []byte, i int) []byte {
	to, s := &it.Envelope.To[i], &it.Status[i]
	w := beginMap(b)
	w.key(1)
	w.b = appendAddress(w.b, to.Address.Local, to.Address.Domain)
	w.text(2, to.Original)
	w.uint(3, uint64(to.Notify))
	w.uint(4, uint64(s.State))
	w.int(5, int64(s.Attempts))
	w.int(6, unixNano(s.Last))
	w.int(7, int64(s.Reply.Code))
	w.text(8, s.Reply.Enhanced)
	w.text(9, s.Reply.Text)
	w.text(10, s.Remote)
	w.uint(11, uint64(s.Told))
	return w.end()
}

// append writes an originRecord.
func (o *Origin) append(b []byte) []byte {
	w := beginMap(b)
	w.uint(1, uint64(o.Account))
	w.text(2, o.Service)
	w.text(3, o.Remote)
	w.text(4, o.Hello)
	return w.end()
}

// append writes a tryRecord.
func (t *Try) append(b []byte) []byte {
	w := beginMap(b)
	w.key(1)
	w.b = appendInt(w.b, t.Began.UnixNano())
	w.int(2, int64(t.Took))
	w.text(3, t.Remote)
	w.text(4, t.Text)
	if len(t.Calls) > 0 {
		w.key(5)
		w.b = appendHead(w.b, cborArray, uint64(len(t.Calls)))
		for _, c := range t.Calls {
			w.b = appendText(appendText(appendText(appendHead(w.b, cborArray, 4), c.Remote), c.TLS), c.Text)
			w.b = appendInt(w.b, int64(c.Took))
		}
	}
	return w.end()
}
