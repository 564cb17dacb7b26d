package spam

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"waxwing/obs"
	"waxwing/proto/smtp"
)

// ClamAV is a clamd, the virus scanner's server.
type ClamAV struct {
	// Network and Address are where it listens: "tcp" or "unix".
	Network, Address string
	// Timeout is for all of one message; 0 for two minutes.
	Timeout time.Duration
	// WhenDown is for when it cannot be asked, TooLarge for messages that are
	// larger than it takes (its StreamMaxLength).
	WhenDown, TooLarge WhenDown
}

// errTooLarge says that clamd does not take so much.
var errTooLarge = errors.New("larger than clamd takes")

// clamChunk is how much goes to clamd at a time.
const clamChunk = 64 << 10

// askClamAV has the message scanned.
func (e *examination) askClamAV(ctx context.Context) error {
	clam := e.filters.o.ClamAV
	if clam == nil {
		return nil
	}
	message, _ := e.whole()
	found, err := clam.Scan(ctx, message)
	switch {
	case errors.Is(err, errTooLarge):
		return e.unasked(ctx, "clamd", clam.TooLarge, err)
	case err != nil:
		return e.unasked(ctx, "clamd", clam.WhenDown, err)
	case found == "":
		e.found("clamd", "nothing found")
		return nil
	}
	e.found("clamd", found)
	e.filters.o.Log.Info("malware refused", obs.Msg, e.id, obs.Remote, e.info.Addr().String(),
		obs.From, e.m.Envelope.From.String(), "signature", found)
	return &smtp.Refusal{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "the message holds malware: " + found}
}

// Scan gives the name of the signature that clamd finds in a message; empty if
// there is none. clamd(8), INSTREAM
func (c *ClamAV) Scan(ctx context.Context, message io.Reader) (string, error) {
	var answer string
	err := c.talk(ctx, func(nc net.Conn) (err error) {
		answer, err = instream(nc, message)
		return err
	})
	if err != nil {
		return "", err
	}
	answer = strings.TrimPrefix(answer, "stream: ")
	if name, ok := strings.CutSuffix(answer, " FOUND"); ok {
		return printable(name), nil
	}
	switch {
	case answer == "OK":
		return "", nil
	case strings.Contains(answer, "size limit exceeded"):
		return "", errTooLarge
	}
	return "", fmt.Errorf("clamd says %q", answer)
}

// Version asks clamd for its version, which also tells whether it is there.
func (c *ClamAV) Version(ctx context.Context) (string, error) {
	var answer string
	err := c.talk(ctx, func(nc net.Conn) (err error) {
		if _, err = io.WriteString(nc, "zVERSION\x00"); err == nil {
			answer, err = clamAnswer(nc)
		}
		return err
	})
	return answer, err
}

func (c *ClamAV) talk(ctx context.Context, fn func(net.Conn) error) error {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, c.Network, c.Address)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	return fn(nc)
}

// instream sends a message in pieces and gives the answer. clamd may answer
// before it has all: then it does not take more.
func instream(nc net.Conn, message io.Reader) (string, error) {
	if _, err := io.WriteString(nc, "zINSTREAM\x00"); err != nil {
		return "", err
	}
	buf := make([]byte, 4+clamChunk)
	for {
		n, err := io.ReadFull(message, buf[4:])
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return "", fmt.Errorf("read the message: %w", err)
		}
		if n > 0 {
			binary.BigEndian.PutUint32(buf, uint32(n))
			if _, err := nc.Write(buf[:4+n]); err != nil {
				if answer, again := clamAnswer(nc); again == nil {
					return answer, nil
				}
				return "", err
			}
		}
		if end {
			break
		}
	}
	if _, err := nc.Write([]byte{0, 0, 0, 0}); err != nil {
		if answer, again := clamAnswer(nc); again == nil {
			return answer, nil
		}
		return "", err
	}
	return clamAnswer(nc)
}

// clamAnswer reads one answer, up to its NUL.
func clamAnswer(r io.Reader) (string, error) {
	in := bufio.NewReader(io.LimitReader(r, 4<<10))
	answer, err := in.ReadString(0)
	if err != nil {
		if errors.Is(err, io.EOF) && len(answer) >= 4<<10 {
			return "", errLong
		}
		return "", fmt.Errorf("read clamd's answer: %w", err)
	}
	return strings.TrimRight(answer, "\x00\r\n"), nil
}

// printable keeps what can stand in a reply.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}
