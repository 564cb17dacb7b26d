package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"waxwing/mail"
)

// maxVerified is how many passwords are remembered at most: 48 octets each.
const maxVerified = 1 << 17

// verified remembers which passwords were right. It holds no passwords: only
// keyed hashes under a key that nothing but this process has ever known, each
// of account, stored hash and password.
type verified struct {
	key     [32]byte
	lasting time.Duration

	mu    sync.Mutex // guards until
	until recent[proof, time.Time]
}

// A proof stands for a password that was right for one stored hash.
type proof [sha256.Size]byte

func newVerified(lasting time.Duration) *verified {
	v := &verified{lasting: lasting, until: recent[proof, time.Time]{limit: maxVerified / 2}}
	rand.Read(v.key[:])
	return v
}

func (v *verified) proof(id mail.AccountID, hash, password string) proof {
	h := hmac.New(sha256.New, v.key[:])
	var lengths [16]byte
	binary.BigEndian.PutUint64(lengths[:8], uint64(id))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(hash)))
	h.Write(lengths[:])
	h.Write([]byte(hash))
	h.Write([]byte(password))
	return proof(h.Sum(nil))
}

// has tells whether a proof is remembered, and if so remembers it longer.
func (v *verified) has(p proof, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	until, ok := v.until.get(p)
	if !ok || now.After(until) {
		return false
	}
	v.until.put(p, now.Add(v.lasting))
	return true
}

func (v *verified) add(p proof, now time.Time) {
	if v.lasting <= 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.until.put(p, now.Add(v.lasting))
}

// recent is a map that forgets: when its young half is full the old half
// goes. What is put again is young again.
type recent[K comparable, V any] struct {
	limit      int // of each half
	young, old map[K]V
}

func (r *recent[K, V]) get(k K) (V, bool) {
	if v, ok := r.young[k]; ok {
		return v, true
	}
	v, ok := r.old[k]
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if _, ok := r.young[k]; !ok && len(r.young) >= r.limit {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.young = make(map[K]V)
	}
	r.young[k] = v
}
