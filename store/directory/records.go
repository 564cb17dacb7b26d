package directory

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"waxwing/mail"
	"waxwing/store/keys"
)

// recordVersion is the first octet of every value. A reader that does not
// know it refuses the record and does not guess.
const recordVersion = 1

// nameRecord says what a name stands for: an account or an alias.
type nameRecord struct {
	Account mail.AccountID `cbor:"1,keyasint,omitempty"`
	Address mail.Address   `cbor:"2,keyasint,omitempty"` // the account's, as it is spelled
	Alias   *Alias         `cbor:"3,keyasint,omitempty"`
}

// secretRecord is what a password leaves behind.
type secretRecord struct {
	Hash       string `cbor:"1,keyasint"` // argon2id, PHC string
	Salt       []byte `cbor:"2,keyasint"` // and the rest is SCRAM-SHA-256's
	Iterations int    `cbor:"3,keyasint"`
	StoredKey  []byte `cbor:"4,keyasint"`
	ServerKey  []byte `cbor:"5,keyasint"`
}

var (
	encoder = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		Time:          cbor.TimeRFC3339,
		TextMarshaler: cbor.TextMarshalerTextString,
	}.EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:       cbor.DupMapKeyEnforcedAPF,
		TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode())
)

// must is for options that are written here and can not be wrong at run time.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(v any) ([]byte, error) {
	b, err := encoder.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{recordVersion}, b...), nil
}

func decode(b []byte, v any) error {
	if len(b) == 0 || b[0] != recordVersion {
		return fmt.Errorf("directory record has an unknown version")
	}
	if err := decoder.Unmarshal(b[1:], v); err != nil {
		return fmt.Errorf("directory record: %w", err)
	}
	return nil
}

func domainKey(name string) []byte { return append([]byte{keys.DirDomain}, name...) }

func idKey(prefix byte, id mail.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefix}, uint64(id))
}

// nameKey is the key of a folded address; an empty local part gives the
// prefix of all names in the domain.
func nameKey(a mail.Address) []byte {
	k := make([]byte, 0, 2+len(a.Domain)+len(a.Local))
	k = append(k, keys.DirName)
	k = append(k, a.Domain...)
	k = append(k, 0)
	return append(k, a.Local...)
}

// bareKey is the key of a folded address among the names without domain.
func bareKey(local, domain string) []byte {
	k := make([]byte, 0, 2+len(local)+len(domain))
	k = append(k, keys.DirBare)
	k = append(k, local...)
	k = append(k, 0)
	return append(k, domain...)
}

// pointerKey is the key that says that source, the folded name of an alias
// (or a domain's catch-all, without local part), points to a target. The
// target is hashed, since two long addresses do not fit in one key.
func pointerKey(target, source mail.Address) []byte {
	sum := sha256.Sum256(nameKey(target))
	k := append([]byte{keys.DirPointer}, sum[:16]...)
	return append(k, nameKey(source)[1:]...)
}

func metaKey(name string) []byte { return append([]byte{keys.DirMeta}, name...) }
