package system

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An S3 is an S3 server of the tests' own, versitygw, on loopback, with its
// buckets in a temporary directory.
type S3 struct {
	program string
	dir     string
	address string
	cmd     *exec.Cmd
	log     *logBuffer
}

// What the server's only user signs with.
const (
	s3Key    = "tester"
	s3Secret = "tester-secret"
)

// StartS3 starts a server with an empty bucket "mail". It ends with the test.
func StartS3(t *testing.T) *S3 {
	t.Helper()
	// The module of its own keeps what the server needs out of ours. The built
	// program stays in Go's cache.
	out, err := exec.Command("go", "tool", "-modfile=../../tools/s3/go.mod", "-n", "versitygw").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			out = exit.Stderr
		}
		t.Fatalf("build versitygw: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &S3{program: strings.TrimSpace(string(out)), dir: t.TempDir(), address: l.Addr().String(), log: new(logBuffer)}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"buckets/mail", "about"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	credentials := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s3Key, s3Secret)
	if err := os.WriteFile(s.Credentials(), []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the S3 server said:\n%s", s.log)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Start starts the server, also again after Stop.
func (s *S3) Start() error {
	s.cmd = exec.Command(s.program, "--port", s.address, "--access", s3Key, "--secret", s3Secret, "--keep-alive", "--quiet",
		"posix", "--sidecar", filepath.Join(s.dir, "about"), filepath.Join(s.dir, "buckets"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = s.log, s.log, s.dir
	if err := s.cmd.Start(); err != nil {
		return err
	}
	var err error
	for range 300 {
		var c net.Conn
		if c, err = net.Dial("tcp", s.address); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the S3 server does not come up: %w\n%s", err, s.log)
}

// Stop ends the server at once; what it has answered for stays.
func (s *S3) Stop() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // its exit code says how we have ended it
	s.cmd = nil
	return nil
}

// Address is host and port.
func (s *S3) Address() string { return s.address }

// Credentials names the file with those of the server's user.
func (s *S3) Credentials() string { return filepath.Join(s.dir, "credentials") }

// Objects counts what lies in the bucket.
func (s *S3) Objects(t *testing.T) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(s.dir, "buckets/mail"), func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
