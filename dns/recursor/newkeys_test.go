package recursor_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	wire "github.com/miekg/dns"
)

// The scripts are signed with DSA and with RSA keys of 512 bits, which nobody
// verifies any more. newKeys gives each such key a successor of Ed25519, and
// signs again what it had signed well; what was signed badly stays bad.
func newKeys(t *testing.T, p *play) {
	k := &keyChange{t: t, keys: make(map[string]*changedKey)}
	var anchors []wire.RR
	for _, a := range p.anchors {
		rr, err := wire.NewRR(a)
		if err != nil {
			t.Skipf("an anchor that cannot be read: %v", err)
		}
		anchors = append(anchors, rr)
	}
	sections := [][]wire.RR{anchors}
	for _, e := range p.entries() {
		for _, s := range e.sections {
			sections = append(sections, s)
		}
	}
	for _, s := range sections {
		for _, rr := range s {
			if key, ok := rr.(*wire.DNSKEY); ok && outdated(key.Algorithm) {
				k.add(key)
			}
		}
	}
	for i := range anchors {
		p.anchors[i] = k.changed(anchors[i]).String()
	}
	for _, e := range p.entries() {
		for i, s := range e.sections {
			e.sections[i] = k.section(s)
		}
	}
}

func (p *play) entries() []*playEntry {
	var all []*playEntry
	for _, s := range p.ranges {
		all = append(all, s.entries...)
	}
	for _, s := range p.steps {
		if s.entry != nil {
			all = append(all, s.entry)
		}
	}
	return all
}

func outdated(algorithm uint8) bool {
	return slices.Contains([]uint8{wire.DSA, wire.RSASHA1, wire.DSANSEC3SHA1, wire.RSASHA1NSEC3SHA1, wire.RSASHA256, wire.RSASHA512}, algorithm)
}

type changedKey struct {
	old, new *wire.DNSKEY
	private  ed25519.PrivateKey
}

type keyChange struct {
	t    *testing.T
	keys map[string]*changedKey // by the old public key and its zone
}

func (k *keyChange) add(old *wire.DNSKEY) {
	id := strings.ToLower(old.Hdr.Name) + old.PublicKey
	if k.keys[id] != nil {
		return
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		k.t.Fatal(err)
	}
	successor := *old
	successor.Algorithm, successor.PublicKey = wire.ED25519, base64.StdEncoding.EncodeToString(public)
	k.keys[id] = &changedKey{old, &successor, private}
}

// changed gives a record as it is after the change.
func (k *keyChange) changed(rr wire.RR) wire.RR {
	switch rr := rr.(type) {
	case *wire.DNSKEY:
		if c := k.keys[strings.ToLower(rr.Hdr.Name)+rr.PublicKey]; c != nil {
			successor := *c.new
			successor.Hdr, successor.Flags, successor.Protocol = rr.Hdr, rr.Flags, rr.Protocol
			return &successor
		}
	case *wire.DS:
		if !outdated(rr.Algorithm) {
			return rr
		}
		for _, c := range k.keys {
			if d := c.old.ToDS(rr.DigestType); d != nil && strings.EqualFold(d.Digest, rr.Digest) && strings.EqualFold(c.old.Hdr.Name, rr.Hdr.Name) {
				ds := c.new.ToDS(wire.SHA256)
				ds.Hdr = rr.Hdr
				return ds
			}
		}
		ds := *rr // of a key that is not there
		ds.Algorithm, ds.DigestType, ds.Digest = wire.ED25519, wire.SHA256, strings.Repeat("ab", 32)
		return &ds
	}
	return rr
}

// section gives a section with new keys and signatures.
func (k *keyChange) section(old []wire.RR) []wire.RR {
	changed := make([]wire.RR, len(old))
	for i, rr := range old {
		changed[i] = k.changed(rr)
	}
	for i, rr := range old {
		sig, ok := rr.(*wire.RRSIG)
		if !ok || !outdated(sig.Algorithm) {
			continue
		}
		successor := *sig
		successor.Algorithm = wire.ED25519
		successor.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64))
		for _, c := range k.keys {
			if c.old.KeyTag() != sig.KeyTag || c.old.Algorithm != sig.Algorithm || !strings.EqualFold(c.old.Hdr.Name, sig.SignerName) {
				continue
			}
			successor.KeyTag = c.new.KeyTag()
			before, err := signedData(sig, setOf(old, sig))
			if err != nil || !holds(c.old, before, sig) {
				continue
			}
			after, err := signedData(&successor, setOf(changed, sig))
			if err != nil {
				k.t.Fatal(err)
			}
			successor.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(c.private, after))
			break
		}
		changed[i] = &successor
	}
	return changed
}

// setOf gives the records that a signature is over.
func setOf(section []wire.RR, sig *wire.RRSIG) []wire.RR {
	var set []wire.RR
	for _, rr := range section {
		if rr.Header().Rrtype == sig.TypeCovered && strings.EqualFold(rr.Header().Name, sig.Hdr.Name) {
			set = append(set, rr)
		}
	}
	return set
}

// A recorder is a signer that keeps what it is given to sign.
type recorder struct{ data []byte }

func (r *recorder) Public() crypto.PublicKey { return nil }
func (r *recorder) Sign(_ io.Reader, data []byte, _ crypto.SignerOpts) ([]byte, error) {
	r.data = bytes.Clone(data)
	return make([]byte, 64), nil
}

// signedData gives what a signature is over, as the library makes it.
func signedData(sig *wire.RRSIG, set []wire.RR) ([]byte, error) {
	if len(set) == 0 {
		return nil, errors.New("no records")
	}
	name := wire.CanonicalName(set[0].Header().Name)
	if labels := wire.CountLabel(name); int(sig.Labels) < labels && !strings.HasPrefix(name, "*.") {
		for range labels - int(sig.Labels) {
			i, _ := wire.NextLabel(name, 0)
			name = name[i:]
		}
		name = "*." + strings.TrimPrefix(name, ".")
	}
	var copies []wire.RR
	for _, rr := range set {
		rr = wire.Copy(rr)
		rr.Header().Ttl, rr.Header().Name = sig.OrigTtl, name
		copies = append(copies, rr)
	}
	probe := *sig
	probe.Algorithm = wire.ED25519 // which signs the data, not a hash of it
	r := &recorder{}
	if err := probe.Sign(r, copies); err != nil {
		return nil, err
	}
	r.data[2] = sig.Algorithm
	return r.data, nil
}

// holds verifies what the standard library does not verify any more.
func holds(key *wire.DNSKEY, data []byte, sig *wire.RRSIG) bool {
	public, err := base64.StdEncoding.DecodeString(key.PublicKey)
	signature, err2 := base64.StdEncoding.DecodeString(sig.Signature)
	if err != nil || err2 != nil || len(public) < 3 {
		return false
	}
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	switch key.Algorithm {
	case wire.DSA, wire.DSANSEC3SHA1: // RFC 2536
		size := 64 + 8*int(public[0])
		var pair struct{ R, S *big.Int }
		if len(signature) == 41 {
			pair.R, pair.S = number(signature[1:21]), number(signature[21:])
		} else if rest, err := asn1.Unmarshal(signature, &pair); err != nil || len(rest) > 0 { // some have them in DER
			return false
		}
		if len(public) != 21+3*size {
			return false
		}
		q, p := number(public[1:21]), number(public[21:21+size])
		g, y := number(public[21+size:21+2*size]), number(public[21+2*size:])
		r, s := pair.R, pair.S
		h := sha1.Sum(data)
		w := new(big.Int).ModInverse(s, q)
		if w == nil {
			return false
		}
		u1 := new(big.Int).Mod(new(big.Int).Mul(number(h[:]), w), q)
		u2 := new(big.Int).Mod(new(big.Int).Mul(r, w), q)
		v := new(big.Int).Mul(new(big.Int).Exp(g, u1, p), new(big.Int).Exp(y, u2, p))
		return v.Mod(v.Mod(v, p), q).Cmp(r) == 0
	}
	exponent := int(public[0])
	if exponent == 0 || len(public) < exponent+2 {
		return false
	}
	n := number(public[1+exponent:])
	m := new(big.Int).Exp(number(signature), number(public[1:1+exponent]), n).FillBytes(make([]byte, (n.BitLen()+7)/8))
	var digest []byte
	switch key.Algorithm {
	case wire.RSASHA256:
		h := sha256.Sum256(data)
		digest = h[:]
	case wire.RSASHA512:
		h := sha512.Sum512(data)
		digest = h[:]
	default:
		h := sha1.Sum(data)
		digest = h[:]
	}
	return strings.HasPrefix(hex.EncodeToString(m), "0001ff") && bytes.HasSuffix(m, digest)
}
