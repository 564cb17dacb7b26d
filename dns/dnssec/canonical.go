package dnssec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	wire "github.com/miekg/dns"
)

// signedData gives the octets that a signature is over: the signature's own
// fields, then the records in canonical form and order, each once.
// RFC 4034 §3.1.8.1, §6
func signedData(sig *wire.RRSIG, set *Set) ([]byte, error) {
	data := make([]byte, 18, 512)
	binary.BigEndian.PutUint16(data[0:], sig.TypeCovered)
	data[2], data[3] = sig.Algorithm, sig.Labels
	binary.BigEndian.PutUint32(data[4:], sig.OrigTtl)
	binary.BigEndian.PutUint32(data[8:], sig.Expiration)
	binary.BigEndian.PutUint32(data[12:], sig.Inception)
	binary.BigEndian.PutUint16(data[16:], sig.KeyTag)
	signer, ok := wireName(sig.SignerName)
	if !ok {
		return nil, errors.New("the signer has no proper name")
	}
	data = append(data, signer...)

	owner, ok := wireName(signedOwner(sig, set.Name))
	if !ok {
		return nil, errors.New("the records have no proper name")
	}
	all := make([][]byte, 0, len(set.Records))
	for _, rr := range set.Records {
		rdata, err := canonicalData(rr)
		if err != nil {
			return nil, err
		}
		all = append(all, rdata)
	}
	slices.SortFunc(all, bytes.Compare)
	all = slices.CompactFunc(all, bytes.Equal)
	for _, rdata := range all {
		data = append(data, owner...)
		data = binary.BigEndian.AppendUint16(data, set.Type)
		data = binary.BigEndian.AppendUint16(data, wire.ClassINET)
		data = binary.BigEndian.AppendUint32(data, sig.OrigTtl)
		data = binary.BigEndian.AppendUint16(data, uint16(len(rdata)))
		data = append(data, rdata...)
	}
	return data, nil
}

// signedOwner is the name that was signed: that of the wildcard if the records
// come from one. RFC 4035 §5.3.2
func signedOwner(sig *wire.RRSIG, name string) string {
	if int(sig.Labels) < ownerLabels(name) {
		return wildcardOf(suffix(name, int(sig.Labels)))
	}
	return name
}

// ownerLabels counts the labels of a name, not the "*" of a wildcard.
// RFC 4034 §3.1.3
func ownerLabels(name string) int {
	n := wire.CountLabel(name)
	if isWildcard(name) {
		n--
	}
	return n
}

// canonicalData gives a record's data without compression, and the names in it
// in lower case where the type wants that. RFC 4034 §6.2, RFC 6840 §5.1
func canonicalData(rr wire.RR) ([]byte, error) {
	buf := make([]byte, wire.Len(rr)+16)
	n, err := wire.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("a %s record cannot be packed: %w", wire.Type(rr.Header().Rrtype), err)
	}
	head, err := skipName(buf[:n])
	if err != nil || head+10 > n {
		return nil, errors.New("a record without a head")
	}
	rdata := buf[head+10 : n]
	from, to := namesIn(rr.Header().Rrtype, rdata)
	if from < to && to <= len(rdata) {
		lower(rdata[from:to])
	}
	return rdata, nil
}

// skipName gives the length of an uncompressed name at the start of b.
func skipName(b []byte) (int, error) {
	for i := 0; i < len(b); i += int(b[i]) + 1 {
		if b[i] == 0 {
			return i + 1, nil
		}
	}
	return 0, errors.New("a name without end")
}

// namesIn says where in a record's data the names lie that are made small.
func namesIn(rrtype uint16, rdata []byte) (from, to int) {
	switch rrtype {
	case wire.TypeNS, wire.TypeMD, wire.TypeMF, wire.TypeCNAME, wire.TypeMB, wire.TypeMG, wire.TypeMR,
		wire.TypePTR, wire.TypeMINFO, wire.TypeRP, wire.TypeDNAME:
		return 0, len(rdata)
	case wire.TypeMX, wire.TypeAFSDB, wire.TypeRT, wire.TypeKX, wire.TypePX:
		return 2, len(rdata)
	case wire.TypeSRV:
		return 6, len(rdata)
	case wire.TypeSOA:
		return 0, len(rdata) - 20
	case wire.TypeNAPTR:
		at := 4
		for range 3 { // flags, services and the regular expression
			if at >= len(rdata) {
				return 0, 0
			}
			at += int(rdata[at]) + 1
		}
		return at, len(rdata)
	}
	return 0, 0
}
