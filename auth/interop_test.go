package auth

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"waxwing/proto/sasl"
)

// Another's client against our server, with the hashing that is its own.
func TestScramWithAnotherLibrary(t *testing.T) {
	a, _, _ := house(t, Options{})
	for _, tt := range []struct {
		user, password string
		in             bool
	}{{"alice", "waxwing", true}, {"alice@example.test", "wax\u00adwing", true}, {"alice", "wrong", false}, {"nobody", "waxwing", false}} {
		client, err := scram.SHA256.NewClient(tt.user, tt.password, "")
		if err != nil {
			t.Fatal(err)
		}
		conversation := client.NewConversation()
		server, err := sasl.Start(sasl.ScramSHA256, sasl.Channel{Peer: elsewhere}, a)
		if err != nil {
			t.Fatal(err)
		}
		var challenge []byte
		var done bool
		for err == nil && !done {
			var response string
			if response, err = conversation.Step(string(challenge)); err == nil {
				challenge, done, err = server.Next(t.Context(), []byte(response))
			}
		}
		if done {
			_, err = conversation.Step(string(challenge))
		}
		if (done && err == nil && conversation.Valid()) != tt.in {
			t.Errorf("%s with %s: done %v, %v; want %v", tt.user, tt.password, done, err, tt.in)
		}
	}
}

// The same with GNU SASL's client, where it is installed.
func TestScramWithGsasl(t *testing.T) {
	gsasl, err := exec.LookPath("gsasl")
	if err != nil {
		t.Skip("gsasl is not installed")
	}
	a, _, _ := house(t, Options{})
	for password, in := range map[string]bool{"waxwing": true, "wrong": false} {
		for _, mechanism := range []string{sasl.ScramSHA256, sasl.Plain, sasl.Login} {
			cmd := exec.CommandContext(t.Context(), gsasl, "--client", "--quiet", "--no-cb", "--mechanism="+mechanism,
				"--authentication-id=alice", "--authorization-id=", "--password="+password)
			got := converse(t, cmd, mechanism, a)
			if got != in {
				t.Errorf("%s with %s: %v, want %v", mechanism, password, got, in)
			}
		}
	}
}

// converse lets a client that speaks base64 lines log in, and tells whether
// it could.
func converse(t *testing.T, cmd *exec.Cmd, mechanism string, a *Authenticator) bool {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	}()
	server, err := sasl.Start(mechanism, sasl.Channel{Peer: elsewhere, PlaintextAllowed: true}, a)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if mechanism == sasl.Login { // the server speaks first
		challenge, _, err := server.Next(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(in, sasl.EncodeChallenge(challenge)+"\n")
	}
	for lines.Scan() {
		if lines.Text() == mechanism { // the choice, before the exchange
			continue
		}
		t.Logf("C: %s", lines.Text())
		response, err := sasl.DecodeResponse(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatal(err)
		}
		challenge, done, err := server.Next(t.Context(), response)
		t.Logf("S: %s %v %v", challenge, done, err)
		switch {
		case err != nil:
			return false
		case done:
			return true
		}
		io.WriteString(in, sasl.EncodeChallenge(challenge)+"\n")
	}
	t.Errorf("%s: the client ended", mechanism)
	return false
}
