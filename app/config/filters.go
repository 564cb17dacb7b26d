package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// What happens to mail when a filter cannot be asked.
const (
	WhenTempFail   = "tempfail"
	WhenAccept     = "accept"
	WhenReject     = "reject"
	WhenQuarantine = "quarantine"
)

// filters checks where filters are, and what happens without them.
func (d *decoder) filters(f Filters) {
	for name, list := range map[string][]Milter{"mx": f.MX, "submission": f.Submission} {
		for i, m := range list {
			path := fmt.Sprintf("filters.%s[%d]", name, i)
			if _, _, err := FilterSocket(m.At); err != nil {
				d.invalid(path+".at", "%v", err)
			}
			if m.WhenDown != "" {
				d.whenDown(path+".when_down", m.WhenDown)
			}
			for key, t := range map[string]Duration{"connect_timeout": m.ConnectTimeout, "command_timeout": m.CommandTimeout, "content_timeout": m.ContentTimeout} {
				if t < 0 {
					d.invalid(path+"."+key, "must be longer than nothing")
				}
			}
		}
	}
	if f.ClamAV.At != "" {
		if _, _, err := FilterSocket(f.ClamAV.At); err != nil {
			d.invalid("filters.clamav.at", "%v", err)
		}
	}
	if at := f.Rspamd.At; at != "" {
		u, err := url.Parse(at)
		if err != nil || !(u.Scheme == "unix" && strings.HasPrefix(at, "unix:/")) && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			d.invalid("filters.rspamd.at", "%q is not such as \"http://127.0.0.1:11333\" or \"unix:/run/rspamd/worker.sock\"", at)
		}
	}
	d.whenDown("filters.clamav.when_down", f.ClamAV.WhenDown)
	d.whenDown("filters.clamav.too_large", f.ClamAV.TooLarge)
	d.whenDown("filters.rspamd.when_down", f.Rspamd.WhenDown)
	for path, t := range map[string]Duration{"filters.clamav.timeout": f.ClamAV.Timeout, "filters.rspamd.timeout": f.Rspamd.Timeout} {
		if t <= 0 {
			d.invalid(path, "must be longer than nothing")
		}
	}
}

func (d *decoder) whenDown(path, value string) {
	d.oneOf(path, value, WhenTempFail, WhenAccept, WhenReject, WhenQuarantine)
}

// FilterSocket reads where a filter listens, as for net.Dial.
func FilterSocket(at string) (network, address string, err error) {
	kind, rest, _ := strings.Cut(at, ":")
	switch kind {
	case "unix":
		if strings.HasPrefix(rest, "/") {
			return "unix", rest, nil
		}
	case "inet":
		if _, port, err := net.SplitHostPort(rest); err == nil && port != "" {
			return "tcp", rest, nil
		}
	}
	return "", "", fmt.Errorf("%q must be such as \"inet:127.0.0.1:8891\" or \"unix:/run/opendkim/opendkim.sock\"", at)
}
