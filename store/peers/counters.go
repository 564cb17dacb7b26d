package peers

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// A Kind is what is counted.
type Kind uint8

// What is counted. The order is that of the stored rows: new kinds come last.
const (
	Connections  Kind = iota // connections of a host
	Messages                 // messages that a host or account has given us
	Recipients               // recipients of them; for an account each address counts once a day
	Unknown                  // recipients that a host has named and that do not exist
	FailedLogins             // logins from a host that have failed
	Refused                  // messages and connections of a host that were refused
	Spam                     // messages of a host that were found to be spam
	Delivered                // messages of a host that were taken
	Passed                   // messages of a neighbourhood that came back after a greylist had put them off
	SentToday                // different recipients of an account, in a day
	SentUsually              // different recipients of an account, in two weeks
	kinds
)

// failedLoginsHalfLife is the time after which half of the failed logins are
// forgotten.
const failedLoginsHalfLife = 10 * time.Minute

// windows are the times after which 1/e is left of a counter.
var windows = [kinds]time.Duration{
	Connections:  time.Minute,
	Messages:     time.Hour,
	Recipients:   time.Hour,
	Unknown:      time.Hour,
	FailedLogins: failedLoginsHalfLife * 1_000_000 / 693_147, // ln 2
	Refused:      24 * time.Hour,
	Spam:         24 * time.Hour,
	Delivered:    30 * 24 * time.Hour,
	Passed:       60 * 24 * time.Hour,
	SentToday:    24 * time.Hour,
	SentUsually:  14 * 24 * time.Hour,
}

// Window gives the time over which a kind is counted.
func Window(k Kind) time.Duration { return windows[k] }

// Counts are how the counters of a subject stand.
type Counts [kinds]float64

// A Peer is what is known of a subject.
type Peer struct {
	Subject     Subject
	Counts      Counts
	First, Last time.Time // zero for one that has never been seen
}

// values are counters as of a time that stands elsewhere.
type values [kinds]float32

// smallest is what a counter must stand at to be worth keeping.
const smallest = 1.0 / 1024

// decay lets time pass.
func (v *values) decay(passed time.Duration) {
	if passed <= 0 {
		return
	}
	for k := range v {
		if v[k] == 0 {
			continue
		}
		if v[k] *= float32(math.Exp(-float64(passed) / float64(windows[k]))); v[k] < smallest {
			v[k] = 0
		}
	}
}

func (v *values) add(w values) {
	for k := range v {
		v[k] += w[k]
	}
}

// A row is what the store holds of a subject.
type row struct {
	first, last int64 // unix nanoseconds
	values      values
}

const rowVersion = 1

var errRow = errors.New("malformed row of peers")

func (r row) encode() []byte {
	b := make([]byte, 0, 1+16+4*len(r.values))
	b = append(b, rowVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(r.first))
	b = binary.BigEndian.AppendUint64(b, uint64(r.last))
	for _, v := range r.values {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// decodeRow reads a row. One that was written by an older version has fewer
// counters, one of a newer version more.
func decodeRow(b []byte) (r row, err error) {
	if len(b) < 17 || b[0] != rowVersion || (len(b)-17)%4 != 0 {
		return row{}, errRow
	}
	r.first, r.last = int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint64(b[9:]))
	for k, b := 0, b[17:]; k < len(r.values) && len(b) > 0; k, b = k+1, b[4:] {
		v := math.Float32frombits(binary.BigEndian.Uint32(b))
		if !(v >= 0 && v < math.MaxFloat32) {
			return row{}, errRow
		}
		r.values[k] = v
	}
	return r, nil
}
