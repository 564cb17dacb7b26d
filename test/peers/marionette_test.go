//go:build peers

package peers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// A marionette is a connection by which a program of Mozilla's is driven: each
// message is JSON with its length and a colon before it.
type marionette struct {
	conn net.Conn
	in   *bufio.Reader
	last int
}

// marionetteTimeout is how long one thing may take on a machine that is busy.
const marionetteTimeout = 2 * time.Minute

// openMarionette begins a session with the privileges of the program.
func openMarionette(port int) (*marionette, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	m := &marionette{conn: conn, in: bufio.NewReader(conn)}
	var greeting map[string]any
	if err = m.read(&greeting); err == nil {
		err = m.do("WebDriver:NewSession", map[string]any{}, nil)
	}
	if err == nil {
		err = m.do("WebDriver:SetTimeouts", map[string]any{"script": marionetteTimeout.Milliseconds()}, nil)
	}
	if err == nil {
		err = m.do("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return m, nil
}

func (m *marionette) read(v any) error {
	if err := m.conn.SetDeadline(time.Now().Add(2 * marionetteTimeout)); err != nil {
		return err
	}
	length, err := m.in.ReadString(':')
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(length[:len(length)-1])
	if err != nil || n < 0 || n > 1<<24 {
		return fmt.Errorf("a message of %q octets", length)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(m.in, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// do gives a command and puts its result into v.
func (m *marionette) do(command string, args any, v any) error {
	m.last++
	b, err := json.Marshal([]any{0, m.last, command, args})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(b), b); err != nil {
		return err
	}
	var answer [4]json.RawMessage // 1, number, error, result
	if err := m.read(&answer); err != nil {
		return err
	}
	if string(answer[2]) != "null" {
		return fmt.Errorf("%s: %s", command, answer[2])
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer[3], v)
}

// run runs a script, whose last argument takes an object with a value or an
// error.
func (m *marionette) run(script string, args ...any) (json.RawMessage, error) {
	var result struct {
		Value struct {
			Value json.RawMessage
			Error string
		}
	}
	err := m.do("WebDriver:ExecuteAsyncScript", map[string]any{"script": script, "args": args}, &result)
	if err == nil && result.Value.Error != "" {
		err = errors.New(result.Value.Error)
	}
	return result.Value.Value, err
}
