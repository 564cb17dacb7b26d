package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/klauspost/compress/zstd"

	"waxwing/store/kv"
)

const (
	snapshotMagic  = "waxwing snapshot 2\n"
	snapshotMagic1 = "waxwing snapshot 1\n" // as long; its packs have sums by SHA-256
	snapshotFormat = 1
	maxSnapshot    = 1 << 30
	maxHeader      = 64 << 10
)

// A Snapshot is what can be said of one backup without its key.
type Snapshot struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"` // when it began: what was acknowledged before is in it
	Finished   time.Time `json:"finished"`
	Host       string    `json:"host"`
	Program    string    `json:"program"` // the version of waxwing
	Partitions int       `json:"partitions"`
	Unchanged  int       `json:"unchanged"` // partitions taken over from the one before
	Files      int       `json:"files"`
	Rows       uint64    `json:"rows"`
	Octets     uint64    `json:"octets"`  // of all that can be restored from it
	Read       uint64    `json:"read"`    // of what was read for it
	Written    uint64    `json:"written"` // of what was written for it
	Missing    []string  `json:"missing,omitempty"`
	Stopped    bool      `json:"stopped,omitempty"` // no server had the store open
}

// maxMissing bounds the list of what was missing.
const maxMissing = 100

// A snapshotFile is all of it.
//
// The sealed part, compressed: version; count and partitions: number, tree,
// rows, octets; count and files: text name, mode, seconds, size, pieces.
type snapshotFile struct {
	Snapshot
	packs []packInfo // all that it needs, in no order
	parts []part
	files []file
}

// A part is one partition in a snapshot.
type part struct {
	partition kv.Partition
	tree      ref
	rows      uint64
	octets    uint64
}

// A file lies in the data directory beside the store.
type file struct {
	name     string // below the data directory, with slashes; see configFile
	mode     uint32
	modified int64 // Unix seconds
	size     uint64
	pieces   []ref
}

func snapshotName(id string) string { return snapshotFolder + id }

// newSnapshotID gives a name that tells the time to people, and is unique.
func newSnapshotID(now time.Time) string {
	id := newPackID()
	return now.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(id[:3])
}

func (s *snapshotFile) encode(k Keys, z *zstd.Encoder) ([]byte, error) {
	header, err := json.Marshal(s.Snapshot)
	if err != nil {
		return nil, err
	}
	number := make(map[packID]int, len(s.packs))
	for i, p := range s.packs {
		number[p.id] = i
	}
	inner := binary.AppendUvarint([]byte{snapshotFormat}, uint64(len(s.parts)))
	for _, p := range s.parts {
		inner = binary.AppendUvarint(inner, uint64(p.partition))
		inner = p.tree.appendTo(inner, number[p.tree.pack])
		inner = binary.AppendUvarint(inner, p.rows)
		inner = binary.AppendUvarint(inner, p.octets)
	}
	inner = binary.AppendUvarint(inner, uint64(len(s.files)))
	for _, f := range s.files {
		inner = appendText(inner, f.name)
		inner = binary.AppendUvarint(inner, uint64(f.mode))
		inner = binary.AppendUvarint(inner, uint64(f.modified))
		inner = binary.AppendUvarint(inner, f.size)
		inner = appendPieces(inner, f.pieces, number)
	}
	sealed, err := k.seal(z.EncodeAll(inner, nil))
	if err != nil {
		return nil, err
	}
	b := append([]byte(nil), snapshotMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
	b = append(b, header...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.packs)))
	for _, p := range s.packs {
		b = append(b, p.id[:]...)
		b = binary.LittleEndian.AppendUint64(b, p.size)
		b = append(b, p.sum[:]...)
	}
	b = append(b, sealed...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// decodeOuter reads what needs no key, and gives what is sealed.
func decodeOuter(id string, b []byte) (*snapshotFile, []byte, error) {
	if !bytes.HasPrefix(b, []byte(snapshotMagic)) && !bytes.HasPrefix(b, []byte(snapshotMagic1)) || len(b) < len(snapshotMagic)+4+4+sha256.Size {
		return nil, nil, damagedf("snapshot %s", id)
	}
	sum := b[len(b)-sha256.Size:]
	b = b[:len(b)-sha256.Size]
	if have := sha256.Sum256(b); !bytes.Equal(have[:], sum) {
		return nil, nil, damagedf("snapshot %s does not have its checksum", id)
	}
	d := decoder{b: b[len(snapshotMagic):]}
	s := &snapshotFile{}
	n := d.fixed32()
	if n > maxHeader || json.Unmarshal(d.bytes(uint64(n)), &s.Snapshot) != nil || s.ID != id {
		return nil, nil, damagedf("snapshot %s", id)
	}
	count := d.fixed32()
	const each = len(packID{}) + 8 + sha256.Size
	if uint64(count)*uint64(each) > uint64(len(d.b)) {
		return nil, nil, damagedf("snapshot %s", id)
	}
	s.packs = make([]packInfo, count)
	for i := range s.packs {
		p := &s.packs[i]
		d.fill(p.id[:])
		p.size = binary.LittleEndian.Uint64(d.bytes(8))
		d.fill(p.sum[:])
	}
	if d.bad {
		return nil, nil, damagedf("snapshot %s", id)
	}
	return s, d.b, nil
}

func (d *decoder) fixed32() uint32 {
	b := d.bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// decodeInner reads what was sealed.
func (s *snapshotFile) decodeInner(sealed []byte, isSealed bool, k Keys, z *zstd.Decoder) error {
	packed, err := k.openAll(isSealed, sealed)
	if err != nil {
		return err
	}
	var h zstd.Header
	if err := h.Decode(packed); err != nil || h.HasFCS && h.FrameContentSize > maxSnapshot {
		return damagedf("snapshot %s", s.ID)
	}
	inner, err := z.DecodeAll(packed, nil)
	if err != nil {
		return damagedf("snapshot %s: %w", s.ID, err)
	}
	packs := make([]packID, len(s.packs))
	for i, p := range s.packs {
		packs[i] = p.id
	}
	d := decoder{b: inner}
	if d.byte() != snapshotFormat {
		d.fail()
	}
	s.parts = make([]part, d.count(7))
	for i := range s.parts {
		s.parts[i] = part{kv.Partition(d.uvarint()), d.ref(packs), d.uvarint(), d.uvarint()}
	}
	s.files = make([]file, d.count(5))
	for i := range s.files {
		f := &s.files[i]
		f.name, f.mode, f.modified, f.size = d.text(), uint32(d.number(1<<32)), int64(d.number(1<<62)), d.number(1<<50)
		f.pieces = d.pieces(packs, f.size)
	}
	if d.bad || len(d.b) > 0 {
		return damagedf("snapshot %s", s.ID)
	}
	return nil
}
