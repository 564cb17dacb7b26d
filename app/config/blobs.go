package config

import (
	"fmt"
	"net/url"
	"strings"
)

// blobs checks where large bodies are kept.
func (d *decoder) blobs(b Blobs) {
	d.oneOf("blobs.address", b.Address, AddressAuto, AddressHost, AddressPath)
	if _, _, err := b.Bucket(); err != nil {
		d.invalid("blobs.url", "%v", err)
		return
	}
	if _, _, err := b.Server(); err != nil {
		d.invalid("blobs.endpoint", "%v", err)
	}
	if b.InS3() {
		return
	}
	for path, value := range map[string]string{
		"blobs.endpoint": b.Endpoint, "blobs.region": b.Region, "blobs.credentials": b.Credentials, "blobs.roots": b.Roots,
	} {
		if value != "" {
			d.invalid(path, "is only used when blobs.url is \"s3://...\"")
		}
	}
}

// InS3 tells whether large bodies are kept in a bucket.
func (b Blobs) InS3() bool { return strings.HasPrefix(b.URL, "s3:") }

// Bucket gives the bucket, and the prefix of the names in it with its "/";
// both are empty for files.
func (b Blobs) Bucket() (bucket, prefix string, err error) {
	if b.URL == "files:" {
		return "", "", nil
	}
	if !b.InS3() {
		return "", "", fmt.Errorf("%q is not a place for bodies; use \"files:\" or \"s3://BUCKET/PREFIX\"", b.URL)
	}
	rest, ok := strings.CutPrefix(b.URL, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || !isBucket(bucket) {
		return "", "", fmt.Errorf("%q does not name a bucket, such as \"s3://mail\" or \"s3://mail/waxwing\"", b.URL)
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix == "" {
		return bucket, "", nil
	}
	if !isPrefix(prefix) {
		return "", "", fmt.Errorf("%q has a prefix with other characters than letters, digits and \"-_./\"", b.URL)
	}
	return bucket, prefix + "/", nil
}

// Server gives the host, with its port if one is named, of the S3 server, and
// whether it is spoken to without TLS.
func (b Blobs) Server() (host string, plain bool, err error) {
	if b.Endpoint == "" {
		return "s3.amazonaws.com", false, nil
	}
	u, err := url.Parse(b.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", false, fmt.Errorf("must be the address of an S3 server, such as \"https://s3.example.org\"")
	}
	return u.Host, u.Scheme == "http", nil
}

func isBucket(name string) bool {
	return len(name) >= 3 && len(name) <= 63 && only(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") && !strings.Contains(name, "..")
}

func isPrefix(name string) bool {
	return len(name) <= 200 && only(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") &&
		!strings.HasPrefix(name, "/") && !strings.Contains(name, "//") && !strings.Contains(name, "..")
}

// only tells whether a string has no other characters.
func only(s, characters string) bool { return strings.Trim(s, characters) == "" }
