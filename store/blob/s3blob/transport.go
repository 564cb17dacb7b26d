package s3blob

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// silence is how long a connection may stand still during a request.
const silence = 30 * time.Second

// newTransport makes connections that do not hang.
func newTransport(roots *x509.CertPool) *http.Transport {
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watched{c}, nil
		},
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       silence,
		ResponseHeaderTimeout: time.Minute, // after the last octet of the request
		DisableCompression:    true,        // the octets are to be those of the object
	}
}

// A watched connection fails when nothing moves for too long: neither what is
// sent nor what comes.
type watched struct{ net.Conn }

func (w *watched) Read(p []byte) (int, error) {
	if err := w.moved(); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	if err == nil {
		err = w.moved()
	}
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	if err := w.moved(); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(p)
	if err == nil {
		// Who waits for the answer waits from now on.
		err = w.SetDeadline(time.Now().Add(2 * silence))
	}
	return n, err
}

func (w *watched) moved() error { return w.SetDeadline(time.Now().Add(silence)) }
