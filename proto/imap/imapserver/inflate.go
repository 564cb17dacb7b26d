package imapserver

import (
	"bufio"
	"errors"
	"io"
)

// An inflater decompresses DEFLATE as it comes: all that can be known of what
// has arrived is given before it waits for more. Others, which are made for
// files, look ahead by some bits, and wait for an answer to what they have not
// told yet: clients may flush with no more than the ten bits of an empty block
// of fixed codes, of which seven need not have been sent (Z_PARTIAL_FLUSH,
// which is what mbsync does). RFC 1951, RFC 4978 §4
type inflater struct {
	in  *bufio.Reader
	out io.Writer

	bits  uint32 // read, the next one lowest
	count uint   // of them

	window  [inflateWindow]byte // a ring of what was decompressed last
	at      int                 // where the next octet goes
	pending int                 // octets before at that out does not have
	known   int                 // octets that can be referred to
}

const inflateWindow = 32 << 10

var errInflate = errors.New("malformed DEFLATE")

// run goes on until the stream ends or something fails.
func (z *inflater) run() error {
	for {
		final, err := z.block()
		if flushErr := z.flush(); err == nil {
			err = flushErr
		}
		if err != nil || final {
			return err
		}
	}
}

// flush gives out what it does not have.
func (z *inflater) flush() error {
	for z.pending > 0 {
		from := (z.at - z.pending) & (inflateWindow - 1)
		n, err := z.out.Write(z.window[from:min(from+z.pending, inflateWindow)])
		z.pending -= n
		if err != nil {
			return err
		}
	}
	return nil
}

// put adds an octet.
func (z *inflater) put(c byte) error {
	z.window[z.at] = c
	z.at = (z.at + 1) & (inflateWindow - 1)
	z.pending++
	z.known = min(z.known+1, inflateWindow)
	if z.pending == inflateWindow {
		return z.flush()
	}
	return nil
}

// next reads an octet; before it waits, everything is flushed.
func (z *inflater) next() (byte, error) {
	if z.in.Buffered() == 0 {
		if err := z.flush(); err != nil {
			return 0, err
		}
	}
	return z.in.ReadByte()
}

// take reads n bits, 16 at most.
func (z *inflater) take(n uint) (int, error) {
	for z.count < n {
		c, err := z.next()
		if err != nil {
			return 0, err
		}
		z.bits |= uint32(c) << z.count
		z.count += 8
	}
	v := z.bits & (1<<n - 1)
	z.bits >>= n
	z.count -= n
	return int(v), nil
}

// block decompresses one block. RFC 1951 §3.2.3
func (z *inflater) block() (final bool, err error) {
	header, err := z.take(3)
	if err != nil {
		return false, err
	}
	switch header >> 1 {
	case 0:
		err = z.stored()
	case 1:
		err = z.coded(&fixedLengths, &fixedDistances)
	case 2:
		var lengths, distances codes
		if err = z.tables(&lengths, &distances); err == nil {
			err = z.coded(&lengths, &distances)
		}
	default:
		err = errInflate
	}
	return header&1 == 1, err
}

// stored copies what is not compressed. RFC 1951 §3.2.4
func (z *inflater) stored() error {
	z.bits, z.count = 0, 0 // what is left of the octet
	var head [4]int
	for i := range head {
		c, err := z.next()
		if err != nil {
			return err
		}
		head[i] = int(c)
	}
	n := head[0] | head[1]<<8
	if n != ^(head[2]|head[3]<<8)&0xffff {
		return errInflate
	}
	for range n {
		c, err := z.next()
		if err == nil {
			err = z.put(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A codes is a set of canonical Huffman codes. RFC 1951 §3.2.2
type codes struct {
	count  [16]int // codes of each length
	symbol [288]uint16
}

// set makes the codes from their lengths, which may be fewer than there could
// be only where there is one at most.
func (h *codes) set(lengths []byte) error {
	*h = codes{}
	for _, l := range lengths {
		h.count[l]++
	}
	left, used := 1, len(lengths)-h.count[0]
	for _, n := range h.count[1:] {
		if left = left<<1 - n; left < 0 {
			return errInflate
		}
	}
	if left > 0 && (used > 1 || used == 1 && h.count[1] != 1) {
		return errInflate
	}
	var at [16]int
	for l := 1; l < 15; l++ {
		at[l+1] = at[l] + h.count[l]
	}
	for symbol, l := range lengths {
		if l != 0 {
			h.symbol[at[l]] = uint16(symbol)
			at[l]++
		}
	}
	return nil
}

// symbol reads one symbol, bit by bit: no bit is asked for that is not of it.
func (z *inflater) symbol(h *codes) (int, error) {
	code, first, index := 0, 0, 0
	for _, n := range h.count[1:] {
		bit, err := z.take(1)
		if err != nil {
			return 0, err
		}
		if code |= bit; code-n < first {
			return int(h.symbol[index+code-first]), nil
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, errInflate
}

// The lengths of the fixed codes. RFC 1951 §3.2.6
var fixedLengths, fixedDistances = func() (lengths, distances codes) {
	var l [288]byte
	for i := range l {
		switch {
		case i < 144, i >= 280:
			l[i] = 8
		case i < 256:
			l[i] = 9
		default:
			l[i] = 7
		}
	}
	var d [32]byte
	for i := range d {
		d[i] = 5
	}
	if err := errors.Join(lengths.set(l[:]), distances.set(d[:])); err != nil {
		panic(err)
	}
	return lengths, distances
}()

// The order of lengths of lengths. RFC 1951 §3.2.7
var lengthOrder = [...]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// tables reads the codes of a block. RFC 1951 §3.2.7
func (z *inflater) tables(literals, distances *codes) error {
	counts, err := z.take(14)
	if err != nil {
		return err
	}
	nLiterals, nDistances, nLengths := counts&31+257, counts>>5&31+1, counts>>10+4
	if nLiterals > 286 || nDistances > 30 {
		return errInflate
	}
	var lengths [286 + 30]byte
	for _, at := range lengthOrder[:nLengths] {
		n, err := z.take(3)
		if err != nil {
			return err
		}
		lengths[at] = byte(n)
	}
	var meta codes
	if err := meta.set(lengths[:19]); err != nil {
		return err
	}
	clear(lengths[:])
	for i := 0; i < nLiterals+nDistances; {
		symbol, err := z.symbol(&meta)
		if err != nil {
			return err
		}
		value, times := byte(symbol), 1
		switch {
		case symbol == 16 && i == 0:
			return errInflate
		case symbol == 16:
			value = lengths[i-1]
			times, err = z.take(2)
			times += 3
		case symbol == 17:
			value = 0
			times, err = z.take(3)
			times += 3
		case symbol == 18:
			value = 0
			times, err = z.take(7)
			times += 11
		}
		if err != nil {
			return err
		}
		if i+times > nLiterals+nDistances {
			return errInflate
		}
		for range times {
			lengths[i] = value
			i++
		}
	}
	if lengths[256] == 0 { // the block could not end
		return errInflate
	}
	return errors.Join(literals.set(lengths[:nLiterals]), distances.set(lengths[nLiterals:nLiterals+nDistances]))
}

// Lengths and distances: the least of each code, and its further bits.
// RFC 1951 §3.2.5
var (
	lengthBase   = [...]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits   = [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase = [...]int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769,
		1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceBits = [...]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// coded decompresses up to the end of a block.
func (z *inflater) coded(literals, distances *codes) error {
	for {
		symbol, err := z.symbol(literals)
		switch {
		case err != nil:
			return err
		case symbol == 256:
			return nil
		case symbol < 256:
			err = z.put(byte(symbol))
		case symbol-257 >= len(lengthBase):
			err = errInflate
		default:
			err = z.repeat(symbol-257, distances)
		}
		if err != nil {
			return err
		}
	}
}

// repeat copies what has been there before.
func (z *inflater) repeat(code int, distances *codes) error {
	more, err := z.take(lengthBits[code])
	if err != nil {
		return err
	}
	length := lengthBase[code] + more
	if code, err = z.symbol(distances); err != nil {
		return err
	}
	if code >= len(distanceBase) {
		return errInflate
	}
	if more, err = z.take(distanceBits[code]); err != nil {
		return err
	}
	distance := distanceBase[code] + more
	if distance > z.known {
		return errInflate
	}
	for range length {
		if err := z.put(z.window[(z.at-distance)&(inflateWindow-1)]); err != nil {
			return err
		}
	}
	return nil
}
