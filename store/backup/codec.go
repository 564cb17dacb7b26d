package backup

import (
	"encoding/binary"
	"errors"
)

// ErrDamaged says that something in a repository is not what was written.
var ErrDamaged = errors.New("backup is damaged")

// ErrSealed says that the key is missing, or is another one.
var ErrSealed = errors.New("backup is encrypted, and none of the given keys opens it")

// A decoder reads what the append functions have written. After the first
// mistake it is bad and gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) uvarint() uint64 {
	n, k := binary.Uvarint(d.b)
	if k <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[k:]
	return n
}

// number reads a number below a limit.
func (d *decoder) number(limit uint64) uint64 {
	n := d.uvarint()
	if n >= limit {
		d.fail()
		return 0
	}
	return n
}

// count reads how many things follow of at least so many octets each.
func (d *decoder) count(each int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/each) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) fill(dst []byte) { copy(dst, d.bytes(uint64(len(dst)))) }

func (d *decoder) text() string { return string(d.bytes(d.uvarint())) }

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
