package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"waxwing/app/certs"
	"waxwing/app/config"
	"waxwing/app/systemd"
)

// The services, as the configuration and systemd's sockets call them.
const (
	serviceMX          = "mx"
	serviceLMTP        = "lmtp"
	serviceSubmission  = "submission"
	serviceSubmissions = "submissions"
	serviceIMAP        = "imap"
	serviceIMAPS       = "imaps"
	servicePOP3        = "pop3"
	servicePOP3S       = "pop3s"
	serviceHTTP        = "http"
	serviceHTTPS       = "https"
	serviceAdmin       = "admin" // on its Unix socket
)

var services = []string{
	serviceMX, serviceLMTP, serviceSubmission, serviceSubmissions, serviceIMAP, serviceIMAPS,
	servicePOP3, servicePOP3S, serviceHTTP, serviceHTTPS,
}

// listeners are the open sockets of each service.
type listeners map[string][]net.Listener

// listen opens the sockets of all services, or takes those that systemd has
// opened already.
func listen(c config.Listen, log *slog.Logger) (listeners, error) {
	opened, err := systemd.Listeners()
	all := listeners(opened)
	if all == nil {
		all = listeners{}
	}
	if err != nil {
		return nil, errors.Join(err, all.Close())
	}
	for name := range all {
		if !slices.Contains(services, name) {
			err := fmt.Errorf("systemd hands over a socket called %q; FileDescriptorName= must be one of %s", name, strings.Join(services, ", "))
			return nil, errors.Join(err, all.Close())
		}
		log.Info("sockets taken from systemd", "service", name)
	}
	wanted := addressesOf(c)
	for _, name := range services {
		if len(all[name]) > 0 {
			continue
		}
		for _, address := range wanted[name] {
			l, err := open(address)
			if err != nil {
				return nil, errors.Join(explain(name, address, err), all.Close())
			}
			all[name] = append(all[name], l)
		}
	}
	return all, nil
}

// open opens a socket: "unix:/path", or an address with a port. What an
// earlier run has left of a socket in the file system is removed.
func open(address string) (net.Listener, error) {
	path, local := strings.CutPrefix(address, "unix:")
	if !local {
		return listenTCP(address)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, syscall.EADDRINUSE), conn.Close())
	}
	if at, err := os.Lstat(path); err == nil && at.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	// The directory decides who reaches it.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Connections that nobody ends are looked at after a quarter of a minute, and so
// often again, as Go does by itself.
const (
	aliveEvery = 15 // seconds
	aliveTries = 9
)

// listenTCP opens a socket whose connections take from it how they are kept alive:
// to tell each of them takes four system calls. Who sends mail does not speak
// MPTCP, which Go would listen for.
func listenTCP(address string) (net.Listener, error) {
	c := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, aliveEvery),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, aliveEvery),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, aliveTries),
			)
		})
		return errors.Join(failed, err)
	}}
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), "tcp", address)
}

func addressesOf(c config.Listen) map[string][]string {
	return map[string][]string{
		serviceMX: c.MX, serviceLMTP: c.LMTP, serviceSubmission: c.Submission, serviceSubmissions: c.Submissions,
		serviceIMAP: c.IMAP, serviceIMAPS: c.IMAPS, servicePOP3: c.POP3, servicePOP3S: c.POP3S,
		serviceHTTP: c.HTTP, serviceHTTPS: c.HTTPS,
	}
}

// explain says what to do about the two usual reasons.
func explain(service, address string, err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("listen for %s: %w; ports below 1024 need root or CAP_NET_BIND_SERVICE", service, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen for %s: %w; see who has it with: ss -ltnp 'sport = %s'", service, err, portOf(address))
	}
	return fmt.Errorf("listen for %s: %w", service, err)
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':'):] }

// Close closes all sockets; it does not matter that some are closed already.
func (all listeners) Close() error {
	var err error
	for _, list := range all {
		for _, l := range list {
			if e := l.Close(); !errors.Is(e, net.ErrClosed) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// addresses gives where each service listens.
func (all listeners) addresses() map[string][]string {
	found := map[string][]string{}
	for name, list := range all {
		for _, l := range list {
			found[name] = append(found[name], l.Addr().String())
		}
	}
	return found
}

// endpoint is where the first socket of a service listens.
func (all listeners) endpoint(service string) certs.Endpoint {
	if len(all[service]) == 0 {
		return certs.Endpoint{}
	}
	host, port, err := net.SplitHostPort(all[service][0].Addr().String())
	if err != nil {
		return certs.Endpoint{}
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = ""
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return certs.Endpoint{}
	}
	return certs.Endpoint{Host: host, Port: n}
}
