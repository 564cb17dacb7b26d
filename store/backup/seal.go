package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
)

// Keys are what a repository is sealed to and opened with. Without Recipients
// nothing is encrypted.
type Keys struct {
	Recipients []Recipient
	Identities []age.Identity
}

// A Recipient is a public key, with the text that it was read from.
type Recipient struct {
	Text string
	age.Recipient
}

// ParseRecipient reads a public key: age1…, or ssh-ed25519 and ssh-rsa as in
// authorized_keys(5).
func ParseRecipient(text string) (Recipient, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "ssh-") {
		r, err := agessh.ParseRecipient(text)
		if err != nil {
			return Recipient{}, fmt.Errorf("public key %q: %w", text, err)
		}
		return Recipient{text, r}, nil
	}
	if strings.HasPrefix(text, "AGE-SECRET-KEY-") {
		return Recipient{}, errors.New("that is the secret key; to back up, the public one (age1…) is enough, and safer")
	}
	list, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil || len(list) != 1 {
		return Recipient{}, fmt.Errorf("%q is not a public key such as age1… or ssh-ed25519 …", text)
	}
	return Recipient{text, list[0]}, nil
}

// ParseRecipients reads a file with a public key on each line; lines that
// begin with # are remarks.
func ParseRecipients(text string) ([]Recipient, error) {
	var list []Recipient
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		r, err := ParseRecipient(line)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// ReadIdentities reads a file with secret keys: those of age, or one of SSH
// without a passphrase.
func ReadIdentities(file string) ([]age.Identity, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		id, err := agessh.ParseIdentity(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return []age.Identity{id}, nil
	}
	list, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s does not hold a secret key (AGE-SECRET-KEY-…): %w", file, err)
	}
	return list, nil
}

// MakeKey makes a pair of keys: the text of the file to keep, and the public
// key.
func MakeKey() (secret, public string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", err
	}
	public = id.Recipient().String()
	return "# public key: " + public + "\n" + id.String() + "\n", public, nil
}

// seal encrypts, if there is anybody to encrypt to.
func (k Keys) seal(plain []byte) ([]byte, error) {
	parts, err := k.sealParts([][]byte{plain}, make([]byte, 0, len(plain)+len(plain)/4096+1<<10))
	if err != nil {
		return nil, err
	}
	return parts[0], nil
}

// sealParts is seal for what comes in parts. It may use room.
func (k Keys) sealParts(plain [][]byte, room []byte) ([][]byte, error) {
	if len(k.Recipients) == 0 {
		return plain, nil
	}
	to := make([]age.Recipient, len(k.Recipients))
	for i, r := range k.Recipients {
		to[i] = r.Recipient
	}
	out := bytes.NewBuffer(room[:0])
	w, err := age.Encrypt(out, to...)
	if err != nil {
		return nil, err
	}
	for _, part := range plain {
		if _, err := w.Write(part); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return [][]byte{out.Bytes()}, nil
}

// open gives what seal was given, to be read in any order.
func (k Keys) open(sealed bool, r io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	if !sealed {
		return r, size, nil
	}
	if len(k.Identities) == 0 {
		return nil, 0, ErrSealed
	}
	plain, n, err := age.DecryptReaderAt(r, size, k.Identities...)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, 0, ErrSealed
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return plain, n, nil
}

// openAll is open for what is in memory.
func (k Keys) openAll(sealed bool, b []byte) ([]byte, error) {
	r, n, err := k.open(sealed, bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	plain := make([]byte, n)
	if m, err := r.ReadAt(plain, 0); m < len(plain) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return plain, nil
}
