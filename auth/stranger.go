package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"waxwing/mail"
	"waxwing/proto/sasl"
	"waxwing/store/directory"
)

// What users who do not exist are made of: functions of their name and of a
// secret that survives restarts, so that asking twice tells nothing.

// wouldBe gives the folded address that a login name without an account would
// belong to. For a bare local part that is in one of our domains, as it is
// for those who exist: else "ann" and "ann@example.test" would differ only
// when there is no ann.
func (a *Authenticator) wouldBe(ctx context.Context, secret []byte, name string) (mail.Address, error) {
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		return directory.Fold(mail.Address{Local: name[:i], Domain: name[i+1:]}), nil
	}
	domains, err := a.dir.SomeDomains(ctx)
	if err != nil {
		return mail.Address{}, err
	}
	address := directory.Fold(mail.Address{Local: name})
	if len(domains) > 0 {
		sum := derive(secret, "domain", address)
		address.Domain = domains[binary.BigEndian.Uint64(sum)%uint64(len(domains))]
	}
	return address, nil
}

// keysOf gives somebody's SCRAM keys, made up for those who have none. They
// are made up for everybody, so that it takes the same time. RFC 5802 §9
func (a *Authenticator) keysOf(ctx context.Context, who claimant) (sasl.SCRAMKeys, error) {
	secret, err := a.installation(ctx)
	if err != nil {
		return sasl.SCRAMKeys{}, err
	}
	keys := sasl.SCRAMKeys{
		Salt:       derive(secret, "salt", who.address)[:16],
		Iterations: directory.ScramIterations,
		StoredKey:  derive(secret, "stored", who.address),
		ServerKey:  derive(secret, "server", who.address),
	}
	if who.unknown == nil && len(who.credentials.SCRAM.StoredKey) > 0 {
		keys = who.credentials.SCRAM
	}
	return keys, nil
}

// derive gives 32 octets that depend on a secret, a purpose and an address.
func derive(secret []byte, purpose string, address mail.Address) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(purpose + "\x00" + address.Local + "\x00" + address.Domain))
	return h.Sum(nil)
}

// A subject is whom a guess is about: an account, or with the top bit set the
// hash of an address that is none.
type subject uint64

func strangerSubject(secret []byte, address mail.Address) subject {
	return subject(binary.BigEndian.Uint64(derive(secret, "subject", address)) | 1<<63)
}
