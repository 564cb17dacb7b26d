package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"

	"waxwing/app/config"
	"waxwing/app/confine"
	"waxwing/obs"
)

// becomeUser gives up root, if a user is configured.
func becomeUser(c config.Config, log *slog.Logger) error {
	if c.User == "" {
		if os.Getuid() == 0 {
			log.Warn("running as root: set user in the configuration")
		}
		return nil
	}
	if os.Getuid() == 0 {
		return confine.Become(c.User)
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	if me.Username != c.User {
		return fmt.Errorf("started as %s, but the configuration says user = %q: start it as root or as %s", me.Username, c.User, c.User)
	}
	return nil
}

// systemFiles are what the libraries read: names, hosts, roots of trust, zones.
var systemFiles = []string{
	"/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services",
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	"/etc/localtime", "/usr/share/zoneinfo", "/proc", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage", "/dev/null", "/dev/urandom",
}

// restrict leaves the process only the files that it needs. Where the kernel
// cannot do that, the server runs without.
func restrict(c config.Config, log *slog.Logger) error {
	paths := confine.Paths{ReadOnly: systemFiles, ReadWrite: []string{c.Data}}
	for _, pair := range c.TLS.Files {
		// The directories: renewal puts new files there, and new targets of links.
		for _, file := range []string{pair.Certificate, pair.Key} {
			paths.ReadOnly = append(paths.ReadOnly, filepath.Dir(file), linkedDir(file))
		}
	}
	others := []string{c.TLS.ACME.Roots, c.Blobs.Roots, c.Blobs.Credentials}
	for _, route := range c.Relay.Routes {
		others = append(others, route.PasswordFile)
	}
	for _, file := range others {
		if file != "" {
			paths.ReadOnly = append(paths.ReadOnly, filepath.Dir(file), linkedDir(file))
		}
	}
	if c.File != "" {
		paths.ReadOnly = append(paths.ReadOnly, filepath.Dir(c.File), linkedDir(c.File))
	}
	err := confine.Confine(paths)
	if errors.Is(err, confine.ErrUnsupported) {
		log.Warn("running without Landlock", obs.Err, err)
		return nil
	}
	return err
}

// linkedDir is the directory in which a file really lies; "" if there is none.
func linkedDir(file string) string {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return filepath.Dir(file)
	}
	return filepath.Dir(real)
}
