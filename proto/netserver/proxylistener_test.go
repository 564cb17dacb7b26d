package netserver_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"waxwing/proto/netserver"
)

// net/http behind a proxy is told whom the proxy speaks for; without a header,
// or with a bad one, nobody is answered; others need none.
func TestProxyListener(t *testing.T) {
	for name, tt := range map[string]struct {
		proxies      []netip.Prefix
		header, want string
	}{
		"a client":     {loopback, "PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n", "from 192.0.2.7:5000"},
		"itself":       {loopback, "PROXY UNKNOWN\r\n", "from 127.0.0.1"},
		"no header":    {loopback, "", ""},
		"a bad header": {loopback, "PROXY TCP4 192.0.2.7\r\n", ""},
		"not trusted":  {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "", "from 127.0.0.1"},
		"no proxies":   {nil, "", "from 127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "from %s", r.RemoteAddr)
			})}
			served := make(chan error, 1)
			go func() { served <- server.Serve(netserver.ProxyListener(l, tt.proxies)) }()
			defer func() {
				_ = server.Close()
				<-served
			}()
			// Another that says nothing keeps nobody waiting.
			silent, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := io.WriteString(nc, tt.header+"GET / HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, _ := io.ReadAll(nc) // where it is turned away the connection may be reset
			if tt.want == "" && len(answer) != 0 || !strings.Contains(string(answer), tt.want) {
				t.Errorf("%q, want %q", answer, tt.want)
			}
		})
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
