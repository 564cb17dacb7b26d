package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validate reports what types cannot say. What could not be decoded is not
// complained about twice.
func (d *decoder) validate(c *Config) {
	d.hostname("hostname", c.Hostname, "the name that MX records point to, such as \"mx.example.org\"")
	for i, name := range c.TLS.Names {
		d.hostname(fmt.Sprintf("tls.names[%d]", i), name, "a host name")
	}
	if c.Data == "" {
		d.invalid("data", "must name a directory")
	}
	d.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	d.oneOf("log.format", c.Log.Format, "text", "json")
	d.store(c.Store.URL)
	d.blobs(c.Blobs)
	d.listeners(c.Listen)
	d.certificates(c.TLS, c.Listen)
	d.door(c)
	d.trust(c.Trust)
	d.mtaSTS(c.MTASTS)
	d.reports(c.Reports)
	d.filters(c.Filters)
	for key, list := range map[string][]string{"tag_senders": c.Envelope.TagSenders, "verp": c.Envelope.VERP} {
		for i, domain := range list {
			d.hostname(fmt.Sprintf("envelope.%s[%d]", key, i), domain, "a domain of yours")
		}
	}
	for i, domain := range c.DKIM.Off {
		d.hostname(fmt.Sprintf("dkim.off[%d]", i), domain, "a domain of yours")
	}
	for path, t := range map[string]Duration{"dkim.rotate": c.DKIM.Rotate, "dkim.overlap": c.DKIM.Overlap} {
		if t < Duration(24*time.Hour) {
			d.invalid(path, "must be at least 1d: records in the DNS take their time")
		}
	}
	if c.Trace.Keep < Duration(time.Hour) {
		d.invalid("trace.keep", "must be at least 1h")
	}
	if c.Trace.Size < 1<<20 {
		d.invalid("trace.size", "must be at least 1MiB")
	}
	for path, n := range map[string]int{
		"limits.messages_per_connection": c.Limits.MessagesPerConnection, "limits.recipient_domains": c.Limits.RecipientDomains,
	} {
		if n < 0 {
			d.invalid(path, "must not be negative; 0 is no limit")
		}
	}
	d.dns(c.DNS)
	if c.Limits.MessageSize < 64<<10 {
		d.invalid("limits.message_size", "must be at least 64KiB") // RFC 5321 §4.5.3.1.7
	}
	if c.Limits.Recipients < 100 {
		d.invalid("limits.recipients", "must be at least 100") // RFC 5321 §4.5.3.1.8
	}
	for path, n := range map[string]int{
		"limits.connections":             c.Limits.Connections,
		"limits.connections_per_address": c.Limits.ConnectionsPerAddress,
	} {
		if n < 1 {
			d.invalid(path, "must be at least 1")
		}
	}
	d.relay(c.Relay)
	if c.Limits.Hold <= 0 {
		d.invalid("limits.hold", "must be longer than nothing")
	}
	if c.Limits.Unsolicited != nil && !isSolicitation(c.Limits.Unsolicited) {
		d.invalid("limits.unsolicited", "must be classes such as \"net.example:ADV\"")
	}
	for path, list := range map[string][]string{"proxy.trusted": c.Proxy.Trusted, "proxy.xclient": c.Proxy.XCLIENT} {
		if _, err := Networks(list); err != nil {
			d.invalid(path, "%v", err)
		}
	}
}

// isSolicitation tells whether all are solicitation classes. RFC 3865 §2.2
func isSolicitation(list []string) bool {
	for _, word := range list {
		if word == "" || len(word) > 900 || strings.Trim(word[:1], letters) != "" || strings.Trim(word, letters+"0123456789.-_:") != "" {
			return false
		}
	}
	return true
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Validate checks a configuration that was not read from a file.
func (c *Config) Validate() error {
	var d decoder
	d.validate(c)
	if len(d.problems) == 0 {
		return nil
	}
	return &Problems{File: "configuration", List: d.problems}
}

// Shift adds base to the port of every service.
func (l *Listen) Shift(base int) {
	v := reflect.ValueOf(l).Elem()
	for i := range fieldsOf(v.Type()) {
		list := v.Field(i).Interface().([]string)
		moved := make([]string, len(list))
		for j, address := range list {
			moved[j] = address
			if host, port, err := splitAddress(address); err == nil {
				moved[j] = net.JoinHostPort(host, strconv.Itoa(port+base))
			}
		}
		v.Field(i).Set(reflect.ValueOf(moved))
	}
}

// invalid reports a path unless something was wrong with it before.
func (d *decoder) invalid(path, format string, args ...any) {
	if !d.wrong[path] {
		d.report(path, false, format, args...)
	}
}

func (d *decoder) oneOf(path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	text := fmt.Sprintf("%q is not one of %s", value, strings.Join(allowed, ", "))
	if near := nearest(value, allowed); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	d.invalid(path, "%s", text)
}

func (d *decoder) hostname(path, name, what string) {
	switch {
	case name == "":
		d.invalid(path, "is missing: %s", what)
	case !IsHostname(name):
		d.invalid(path, "%q is not a full host name; it must be %s", name, what)
	}
}

// IsHostname tells whether a name is a full host name in ASCII: two labels or
// more. RFC 1123 §2.1
func IsHostname(name string) bool {
	if len(name) > 253 || !strings.Contains(name, ".") {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-') {
				return false
			}
		}
	}
	return true
}

func (d *decoder) store(store string) {
	if err := CheckStore(store); err != nil {
		d.invalid("store.url", "%v", err)
	}
}

// CheckStore tells what is wrong with the name of a storage engine.
func CheckStore(store string) error {
	scheme, rest, found := strings.Cut(store, ":")
	switch {
	case found && scheme == "pebble" && rest == "":
		return nil
	case found && scheme == "pebble":
		return fmt.Errorf("%q: the engine keeps its files in the data directory; write just \"pebble:\"", store)
	case OnPostgreSQL(store):
		return checkPostgreSQL(store)
	}
	return fmt.Errorf("%q is not a storage engine; use \"pebble:\" or \"postgres://...\"", store)
}

// OnPostgreSQL tells whether a storage engine is a PostgreSQL server.
func OnPostgreSQL(store string) bool {
	scheme, _, _ := strings.Cut(store, ":")
	return scheme == "postgres" || scheme == "postgresql"
}

// checkPostgreSQL looks at the form only, and keeps the password to itself.
func checkPostgreSQL(store string) error {
	const want = "such as \"postgres://waxwing@db.example.org/waxwing\""
	u, err := url.Parse(store)
	switch {
	case err != nil: // which would tell a part of it
		return fmt.Errorf("must be a URL %s; in a password \"/\" is written %%2F and \"@\" %%40", want)
	case u.Opaque != "" || !strings.HasPrefix(store[len(u.Scheme):], "://"):
		return fmt.Errorf("must be a URL %s", want)
	case strings.Trim(u.Path, "/") == "" && u.Query().Get("dbname") == "":
		return fmt.Errorf("must name a database after the server, %s", want)
	}
	return nil
}

// A listener is one address of one service.
type listener struct {
	path string
	host string
	port int
}

// listeners checks addresses, and that no two services want the same.
func (d *decoder) listeners(l Listen) {
	var seen []listener
	v := reflect.ValueOf(l)
	for i, key := range fieldsOf(v.Type()) {
		for j, address := range v.Field(i).Interface().([]string) {
			path := fmt.Sprintf("listen.%s[%d]", key, j)
			if d.wrong[path] {
				continue
			}
			if key == "lmtp" && strings.HasPrefix(address, "unix:/") {
				continue
			}
			host, port, err := splitAddress(address)
			if err == nil && key == "lmtp" && port == 25 {
				err = errors.New("port 25 is not for LMTP") // RFC 2033 §5
			}
			if err != nil {
				d.report(path, false, "%v", err)
				continue
			}
			here := listener{path, host, port}
			for _, other := range seen {
				if here.port == other.port && overlap(here.host, other.host) {
					d.report(path, false, "port %d is used twice: %s has it already%s", port, strings.SplitN(other.path, "[", 2)[0], d.line(other.path))
					break
				}
			}
			seen = append(seen, here)
		}
	}
}

// line says on which line a path stands, or that it is a default.
func (d *decoder) line(path string) string {
	if at, ok := d.places[path]; ok {
		return fmt.Sprintf(" (line %d)", at.value.Line)
	}
	return " by default"
}

func splitAddress(address string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address with a port, such as \":25\" or \"192.0.2.1:25\"", address)
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, fmt.Errorf("%q is not an IP address; write \":%s\" for every address", host, service)
		}
	}
	port, err = strconv.Atoi(service)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("port %q is not between 1 and 65535", service)
	}
	return host, port, nil
}

// overlap tells whether two hosts of listeners share an address.
func overlap(a, b string) bool {
	if a == "" || b == "" {
		return true
	}
	x, y := netip.MustParseAddr(a), netip.MustParseAddr(b)
	return x == y || (x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified()))
}

func (d *decoder) certificates(t TLS, l Listen) {
	d.oneOf("tls.source", t.Source, SourceACME, SourceFiles, SourceOwnCA)
	if t.RotateKey != 0 && t.RotateKey < Duration(7*24*time.Hour) {
		d.invalid("tls.rotate_key", "must be at least 7d, or 0s for never: records in the DNS take their time")
	}
	if t.Source == SourceFiles && len(t.Files) == 0 {
		d.invalid("tls.files", "is missing: the source \"files\" needs at least one certificate with its key")
	}
	if t.Source != SourceFiles && len(t.Files) > 0 {
		d.invalid("tls.files", "is only used when tls.source is \"files\"")
	}
	if t.Source == SourceACME && len(l.HTTP) == 0 && len(l.HTTPS) == 0 {
		d.invalid("tls.source", "\"acme\" needs listen.http or listen.https, to prove that the names are yours")
	}
	for i, pair := range t.Files {
		path := fmt.Sprintf("tls.files[%d]", i)
		if pair.Certificate == "" {
			d.invalid(path, "lacks certificate")
		}
		if pair.Key == "" {
			d.invalid(path, "lacks key")
		}
	}
	if u, err := url.Parse(t.ACME.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
		d.invalid("tls.acme.directory", "must be an https address")
	}
}
