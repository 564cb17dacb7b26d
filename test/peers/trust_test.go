//go:build peers

package peers

import (
	"fmt"
	"testing"

	"waxwing/test/system"
)

// Whoever trusts ca.pem reaches the server by name and by address: what
// OpenSSL, GnuTLS and those built on them say of the certificate.
func TestTrust(t *testing.T) {
	b := newBench(t)
	port := fmt.Sprint(b.Port(993))
	check := b.file("check.py", `
import socket, ssl, sys
tls = ssl.create_default_context(cafile=sys.argv[1])
tls.wrap_socket(socket.create_connection((sys.argv[2], int(sys.argv[3]))), server_hostname=sys.argv[2]).close()
`)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		verify := "-verify_hostname"
		if host == "127.0.0.1" {
			verify = "-verify_ip"
		}
		for _, args := range [][]string{
			{"openssl", "s_client", "-connect", host + ":" + port, "-CAfile", b.CA(), "-verify_return_error", verify, host},
			{"openssl", "s_client", "-connect", host + ":" + port, "-CAfile", b.CA(), "-verify_return_error", "-verify_hostname", host},
			{"gnutls-cli", "--x509cafile", b.CA(), "--port", port, host},
			{"curl", "-sS", "-4", "--cacert", b.CA(), "--user", system.Bob + ":" + system.Password, "imaps://" + host + ":" + port},
			{"python3", check, b.CA(), host, port},
		} {
			if out, err := b.try("a LOGOUT\r\n", args[0], args[1:]...); err != nil {
				t.Errorf("%q: %v\n%s", args, err, out)
			}
		}
	}
}
