package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/cespare/xxhash/v2"

	"waxwing/mail"
	"waxwing/store/blob"
	"waxwing/store/kv"
)

// A Memory is what the machine that backs up knows of a repository that it
// cannot read. It lies in a directory beside the store, whose contents it
// tells of. It may be lost: the next backup then writes everything anew. It is
// never trusted about packs that the repository does not have.
//
//	repository        JSON: remembered
//	packs             for each pack: id 16, size u64, checksum 32, size
//	                  unpacked u64 or 0, xxhash u64
//	parts/2f/<p>      "waxwing memory 1\n", length u32, tree part, bodies
//	parts/2f/<p>.more notes of a run that has not come to its end
//
//	tree part  where the tree is (pack 16, ref), tree, xxhash u64
//	bodies     count; for each: sum 32, index, ref; xxhash u64
//	note       sum 32, index u32, pack 16, frame u32, offset u32, length u32, xxhash u64
type Memory struct {
	dir  string
	lock *os.File
	log  *os.File // of packs
	said remembered

	mu    sync.Mutex // guards packs
	packs map[packID]packInfo
}

type remembered struct {
	Recipients []string `json:"recipients"`
}

const (
	memoryMagic = "waxwing memory 1\n"
	packRecord  = 16 + 8 + sha256.Size + 8 + 8
	noteRecord  = 32 + 4 + 16 + 4 + 4 + 4 + 8
)

// A knownBody is one that lies in the repository.
type knownBody struct {
	key bodyKey
	at  ref
}

// OpenMemory opens what is known of a repository, below a directory. The
// repository is ours alone until Close.
func OpenMemory(dir string, r *Repository) (*Memory, error) {
	m := &Memory{dir: filepath.Join(dir, r.ID()), packs: make(map[packID]packInfo)}
	if err := os.MkdirAll(filepath.Join(m.dir, "parts"), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(m.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(errors.New("another backup to this place is under way"), lock.Close())
	}
	m.lock = lock
	if text, err := os.ReadFile(filepath.Join(m.dir, "repository")); err == nil {
		_ = json.Unmarshal(text, &m.said) // else the keys are asked for
	}
	if err := m.readPacks(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return m, nil
}

// Close lets others have it.
func (m *Memory) Close() error {
	err := m.lock.Close()
	if m.log != nil {
		err = errors.Join(err, m.log.Close())
	}
	return err
}

// Recipients gives the public keys that a repository is sealed to: those given,
// which are remembered, or the ones remembered. A repository cannot say itself:
// who can write to it could name his own.
func (m *Memory) Recipients(r *Repository, given []Recipient) ([]Recipient, error) {
	switch {
	case !r.Sealed() && len(given) > 0:
		return nil, fmt.Errorf("the backup in %s is not encrypted, and stays so; begin another one elsewhere", r.place)
	case !r.Sealed():
		return nil, nil
	case len(given) > 0:
		m.said.Recipients = nil
		for _, g := range given {
			m.said.Recipients = append(m.said.Recipients, g.Text)
		}
		text, err := json.Marshal(m.said)
		if err != nil {
			return nil, err
		}
		return given, m.write("repository", text)
	}
	for _, text := range m.said.Recipients {
		g, err := ParseRecipient(text)
		if err != nil {
			return nil, err
		}
		given = append(given, g)
	}
	if len(given) == 0 {
		return nil, fmt.Errorf("the backup in %s is encrypted; name the public key with --recipient", r.place)
	}
	return given, nil
}

// write writes a file, whole or not at all. That it is lost with a power cut
// does no harm.
func (m *Memory) write(name string, content []byte) error {
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path+unfinished, content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+unfinished, path)
}

func (m *Memory) readPacks() error {
	b, err := os.ReadFile(filepath.Join(m.dir, "packs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for rec := range slices.Chunk(b, packRecord) {
		if body, ok := checked(rec); ok && len(rec) == packRecord {
			p := packInfo{id: packID(body[:16]), size: binary.LittleEndian.Uint64(body[16:])}
			copy(p.sum[:], body[24:])
			p.raw = binary.LittleEndian.Uint64(body[24+sha256.Size:])
			m.packs[p.id] = p
		}
	}
	return nil
}

// checked takes the checksum off the end.
func checked(b []byte) ([]byte, bool) {
	if len(b) < 8 {
		return nil, false
	}
	body := b[:len(b)-8]
	return body, binary.LittleEndian.Uint64(b[len(b)-8:]) == xxhash.Sum64(body)
}

// withSum adds one, over what follows from.
func withSum(b []byte, from int) []byte {
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[from:]))
}

func appendPack(b []byte, p packInfo) []byte {
	from := len(b)
	b = append(b, p.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, p.size)
	b = append(b, p.sum[:]...)
	b = binary.LittleEndian.AppendUint64(b, p.raw)
	return withSum(b, from)
}

// learn keeps only packs that the repository has, and adds those that its
// snapshots tell of.
func (m *Memory) learn(there map[packID]Stat, snapshots []*snapshotFile) error {
	for _, s := range snapshots {
		for _, p := range s.packs {
			p.raw = m.packs[p.id].raw
			m.packs[p.id] = p
		}
	}
	var b []byte
	for id, p := range m.packs {
		if stat, ok := there[id]; !ok || uint64(stat.Size) != p.size {
			delete(m.packs, id)
			continue
		}
		b = appendPack(b, p)
	}
	if m.log != nil {
		m.log.Close()
		m.log = nil
	}
	return m.write("packs", b)
}

// durable remembers a pack that has been written, and what is in it.
func (m *Memory) durable(p packInfo, notes []note) (err error) {
	if m.log == nil {
		m.log, err = os.OpenFile(filepath.Join(m.dir, "packs"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
	}
	if _, err := m.log.Write(appendPack(nil, p)); err != nil {
		return err
	}
	m.mu.Lock()
	m.packs[p.id] = p
	m.mu.Unlock()
	byPart := make(map[uint64][]byte)
	for _, n := range notes {
		b := byPart[n.of]
		from := len(b)
		b = append(b, n.body.sum[:]...)
		b = binary.LittleEndian.AppendUint32(b, n.body.index)
		b = append(b, n.at.pack[:]...)
		b = binary.LittleEndian.AppendUint32(b, n.at.frame)
		b = binary.LittleEndian.AppendUint32(b, n.at.offset)
		b = binary.LittleEndian.AppendUint32(b, n.at.length)
		byPart[n.of] = withSum(b, from)
	}
	for of, b := range byPart {
		if err := m.appendNotes(kv.Partition(of), b); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) path(p kv.Partition) string {
	return filepath.Join("parts", fmt.Sprintf("%02x", byte(p)), fmt.Sprintf("%016x", uint64(p)))
}

func (m *Memory) appendNotes(p kv.Partition, b []byte) error {
	path := filepath.Join(m.dir, m.path(p)+".more")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// keep remembers a partition as it has been backed up.
func (m *Memory) keep(t *tree, at ref, bodies []knownBody) error {
	number := make(map[packID]int, len(t.packs))
	for i, id := range t.packs {
		number[id] = i
	}
	head := append([]byte(nil), at.pack[:]...)
	head = withSum(append(at.appendTo(head, 0), t.encode()...), 0)
	b := binary.LittleEndian.AppendUint32([]byte(memoryMagic), uint32(len(head)))
	b = append(b, head...)
	from := len(b)
	b = binary.AppendUvarint(b, uint64(len(bodies)))
	for _, k := range bodies {
		b = append(b, k.key.sum[:]...)
		b = binary.AppendUvarint(b, uint64(k.key.index))
		b = k.at.appendTo(b, number[k.at.pack])
	}
	b = withSum(b, from)
	path := m.path(t.partition)
	if err := os.MkdirAll(filepath.Dir(filepath.Join(m.dir, path)), 0o700); err != nil {
		return err
	}
	if err := m.write(path, b); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(m.dir, path+".more")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// last gives the tree of a partition as it was backed up last, and where it
// lies; nil if that is not known, or some of its packs are gone. f, if there
// is a tree, is left behind it, for bodies.
func (m *Memory) last(p kv.Partition) (t *tree, at ref, f *os.File, err error) {
	f, err = os.Open(filepath.Join(m.dir, m.path(p)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ref{}, nil, nil
	}
	if err != nil {
		return nil, ref{}, nil, err
	}
	var start [len(memoryMagic) + 4]byte
	if _, err := io.ReadFull(f, start[:]); err == nil && bytes.HasPrefix(start[:], []byte(memoryMagic)) {
		head := make([]byte, min(binary.LittleEndian.Uint32(start[len(memoryMagic):]), 2*maxObject))
		if _, err := io.ReadFull(f, head); err == nil {
			t, at = m.decodeHead(p, head)
		}
	}
	if t == nil {
		return nil, ref{}, nil, f.Close()
	}
	return t, at, f, nil
}

func (m *Memory) decodeHead(p kv.Partition, b []byte) (*tree, ref) {
	b, ok := checked(b)
	if !ok || len(b) < 16 {
		return nil, ref{}
	}
	d := decoder{b: b[16:]}
	at := d.ref([]packID{packID(b[:16])})
	t, err := decodeTree(d.b)
	if err != nil || d.bad || t.partition != p || !m.has(at.pack) {
		return nil, ref{}
	}
	for _, id := range t.packs {
		if id != (packID{}) && !m.has(id) {
			return nil, ref{}
		}
	}
	return t, at
}

func (m *Memory) has(id packID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.packs[id]
	return ok
}

// bodies gives all bodies of a partition that are known, in order: those of its
// tree, which f stands behind, and those of a run that was cut short; without
// those in packs that are being emptied.
func (m *Memory) bodies(p kv.Partition, t *tree, f *os.File, emptied map[packID]bool) ([]knownBody, error) {
	var list []knownBody
	if f != nil {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, err
		}
		if b, ok := checked(b); ok {
			d := decoder{b: b}
			list = make([]knownBody, 0, d.count(32+1+4))
			for range cap(list) {
				var k knownBody
				d.fill(k.key.sum[:])
				k.key.index = uint32(d.number(1 << 32))
				if k.at = d.ref(t.packs); !d.bad {
					list = append(list, k)
				}
			}
		}
		for _, l := range t.bodies {
			for i, at := range l.pieces {
				list = append(list, knownBody{bodyKey{l.sum, pieceIndex(i, len(l.pieces))}, at})
			}
		}
	}
	more, err := os.ReadFile(filepath.Join(m.dir, m.path(p)+".more"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for rec := range slices.Chunk(more, noteRecord) {
		b, ok := checked(rec)
		if !ok || len(rec) != noteRecord {
			continue
		}
		le := binary.LittleEndian
		at := ref{packID(b[36:52]), le.Uint32(b[52:]), le.Uint32(b[56:]), le.Uint32(b[60:])}
		if m.has(at.pack) {
			list = append(list, knownBody{bodyKey{blob.Sum(b[:32]), le.Uint32(b[32:])}, at})
		}
	}
	list = slices.DeleteFunc(list, func(k knownBody) bool { return emptied[k.at.pack] })
	slices.SortStableFunc(list, func(a, b knownBody) int { return a.key.compare(b.key) })
	return slices.CompactFunc(list, func(a, b knownBody) bool { return a.key == b.key }), nil
}

func pieceIndex(i, n int) uint32 {
	index := largePiece | uint32(i)
	if i == n-1 {
		index |= lastPiece
	}
	return index
}

// wholeBodies puts the pieces of large bodies together, and gives the rest,
// with what may be left out of the reading. list is in order.
func wholeBodies(list []knownBody) (small []knownBody, large map[blob.Sum]largeBody, known Known) {
	large = make(map[blob.Sum]largeBody)
	for i := 0; i < len(list); {
		sum, n := list[i].key.sum, 0
		for i+n < len(list) && list[i+n].key.sum == sum {
			n++
		}
		var l largeBody
		for _, k := range list[i : i+n] {
			switch piece := uint32(len(l.pieces)); {
			case k.key.index&largePiece == 0:
				small, known = append(small, k), known.add(k.key)
			case k.key.index&^lastPiece == largePiece|piece:
				l.pieces, l.size = append(l.pieces, k.at), l.size+mail.ByteCount(k.at.length)
			}
		}
		// The last piece sorts after the others.
		if last := list[i+n-1].key.index; last == largePiece|lastPiece|uint32(len(l.pieces)-1) {
			l.sum = sum
			large[sum] = l
			known = known.add(bodyKey{sum, largePiece})
		}
		i += n
	}
	return small, large, known
}
