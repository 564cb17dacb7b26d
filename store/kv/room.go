package kv

// A Room is memory that values are read into, to be used again and again. It
// belongs to one goroutine at a time. The zero value is ready.
type Room struct {
	Values [][]byte // of the keys that were asked for
	Octets []byte   // where they lie
	Engine any      // what else the engine wants to use again
}

// A RoomReader is a Reader that reads into memory which is used again, and at
// once what lies beside each other.
type RoomReader interface {
	Reader
	GetInto(keys [][]byte, room *Room) error
}

// GetInto is GetMany with the values in room. They are valid until that is used
// again, also after the Reader has gone, and the caller's to change.
func GetInto(r Reader, keys [][]byte, room *Room) error {
	if r, ok := r.(RoomReader); ok {
		return r.GetInto(keys, room)
	}
	values, err := r.GetMany(keys)
	if err != nil {
		return err
	}
	octets := 0
	for _, v := range values {
		octets += len(v)
	}
	room.Values, room.Octets = room.Values[:0], room.Octets[:0]
	if cap(room.Octets) < octets {
		room.Octets = make([]byte, 0, octets)
	}
	for _, v := range values {
		if v != nil {
			n := len(room.Octets)
			room.Octets = append(room.Octets, v...)
			v = room.Octets[n:len(room.Octets):len(room.Octets)]
		}
		room.Values = append(room.Values, v)
	}
	return nil
}

// A FixedReader is a RoomReader that remembers where it has found values that
// never change.
type FixedReader interface {
	RoomReader
	GetFixed(keys [][]byte, room *Room) error
	Locate(keys [][]byte) error
}

// GetFixed is GetInto for keys whose values never change as long as they are
// there. It may give the value of one that has just been deleted.
func GetFixed(r Reader, keys [][]byte, room *Room) error {
	if r, ok := r.(FixedReader); ok {
		return r.GetFixed(keys, room)
	}
	return GetInto(r, keys, room)
}

// Locate has the engine find out where such values lie, if it remembers that, so
// that GetFixed finds them sooner.
func Locate(r Reader, keys [][]byte) error {
	if r, ok := r.(FixedReader); ok {
		return r.Locate(keys)
	}
	return nil
}
