package directory

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"waxwing/proto/sasl"
)

// maxPassword is the longest password, in octets.
const maxPassword = 1024

// What new passwords are hashed with: argon2id with 19 MiB, two passes, one
// lane (OWASP's second choice, RFC 9106 §4 asks more memory than a mail
// server can give to each login).
const (
	argonMemory  = 19 << 10 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonSalt    = 16
	argonLength  = 32
	argonMost    = 1 << 20 // KiB; a record that asks for more is refused
	argonPassMax = 64
)

// ScramIterations is what new SCRAM keys are stretched with. It is the client
// who has to do this at each login, and clients on Cyrus SASL refuse more
// than 65536; RFC 7677 §4 asks for 4096 at least.
const ScramIterations = 60_000

// newSecret makes hash and keys of a password.
func newSecret(password string) (secretRecord, error) {
	if len(password) > maxPassword {
		return secretRecord{}, fmt.Errorf("%w: password is longer than %d octets", ErrInvalid, maxPassword)
	}
	prepared, err := sasl.Prepare(password)
	if err != nil || prepared == "" {
		return secretRecord{}, fmt.Errorf("%w: password is empty or holds prohibited characters", ErrInvalid)
	}
	salts := make([]byte, 2*argonSalt)
	rand.Read(salts)
	keys, err := sasl.NewSCRAMKeys(prepared, salts[argonSalt:], ScramIterations)
	if err != nil {
		return secretRecord{}, err
	}
	return secretRecord{
		Hash: phc{memory: argonMemory, passes: argonPasses, lanes: argonLanes,
			salt: salts[:argonSalt]}.hash(prepared).String(),
		Salt:       keys.Salt,
		Iterations: keys.Iterations,
		StoredKey:  keys.StoredKey,
		ServerKey:  keys.ServerKey,
	}, nil
}

// VerifyPassword tells whether a prepared password (sasl.Prepare) is the one
// of a hash. It takes the memory and time that the hash asks for: bound how
// many run at once. An error means that the hash is no argon2id PHC string.
func VerifyPassword(hash, prepared string) (bool, error) {
	h, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	again := phc{memory: h.memory, passes: h.passes, lanes: h.lanes, salt: h.salt, sumLength: len(h.sum)}.hash(prepared)
	return subtle.ConstantTimeCompare(h.sum, again.sum) == 1, nil
}

// Outdated tells whether credentials were made with other parameters than
// new ones are.
func (c Credentials) Outdated() bool {
	h, err := parsePHC(c.Hash)
	return err != nil || h.memory != argonMemory || h.passes != argonPasses || h.lanes != argonLanes ||
		len(h.sum) != argonLength || c.SCRAM.Iterations != ScramIterations
}

// DummyHash is a hash like those of new passwords, which no password has. To
// verify against it takes as long as against a real one.
func DummyHash() string {
	random := make([]byte, argonSalt+argonLength)
	rand.Read(random)
	return phc{memory: argonMemory, passes: argonPasses, lanes: argonLanes,
		salt: random[:argonSalt], sum: random[argonSalt:]}.String()
}

// A phc is an argon2id hash with its parameters.
// https://github.com/P-H-C/phc-string-format
type phc struct {
	memory    uint32 // KiB
	passes    uint32
	lanes     uint8
	salt, sum []byte
	sumLength int // of a sum that is to be made; 0 for argonLength
}

func (h phc) hash(password string) phc {
	if h.sumLength == 0 {
		h.sumLength = argonLength
	}
	h.sum = argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, uint32(h.sumLength))
	return h
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.lanes,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
}

var errPHC = errors.New("not an argon2id hash that we can check")

func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return phc{}, errPHC
	}
	params := strings.Split(parts[3], ",")
	if len(params) != 3 {
		return phc{}, errPHC
	}
	memory, ok1 := parameter(params[0], "m=", argonMost)
	passes, ok2 := parameter(params[1], "t=", argonPassMax)
	lanes, ok3 := parameter(params[2], "p=", 255)
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || len(salt) < 8 || len(sum) < 16 {
		return phc{}, errPHC
	}
	return phc{memory: uint32(memory), passes: uint32(passes), lanes: uint8(lanes), salt: salt, sum: sum}, nil
}

func parameter(s, name string, most uint64) (uint64, bool) {
	digits, ok := strings.CutPrefix(s, name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return n, err == nil && n >= 1 && n <= most
}
