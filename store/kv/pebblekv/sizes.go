package pebblekv

// Sizes tells how much room a store takes.
type Sizes struct {
	Segments int   // of the log
	Octets   int64 // in them
	Live     int64 // of those, values that are still referred to, at most
	Keys     int64 // octets of Pebble's files
}

// Sizes gives what is known without reading the log: Live is what the last
// look at each segment has found, or all of it.
func (s *Store) Sizes() Sizes {
	if s.gate.Enter() != nil {
		return Sizes{}
	}
	defer s.gate.Leave()
	z := Sizes{Keys: int64(s.db.Metrics().DiskSpaceUsage())}
	newest := place(s.log.durable.Load())
	ss := &s.log.segments
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	for number, seg := range ss.of {
		end, live := seg.end, seg.live
		if number == newest.segment() {
			end, live = newest.offset(), newest.offset()
		}
		z.Segments++
		z.Octets += int64(end)
		z.Live += int64(live)
	}
	return z
}
