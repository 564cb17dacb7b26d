package dkim

import (
	"bytes"
	"encoding/base64"
	"hash"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// A tee also shows what is hashed.
type tee struct {
	hash.Hash
	out *bytes.Buffer
}

func (t tee) Write(p []byte) (int, error) {
	t.out.Write(p)
	return t.Hash.Write(p)
}
