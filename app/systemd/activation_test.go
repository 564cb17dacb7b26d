package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
)

// activated is set for the process that plays the service.
const activated = "WAXWING_TEST_ACTIVATED"

// TestMain lets the test's own program play the service: it says what it was
// handed over and greets whoever connects.
func TestMain(m *testing.M) {
	if os.Getenv(activated) == "" {
		os.Exit(m.Run())
	}
	found, err := Listeners()
	if err != nil || len(found["mx"]) != 1 || len(found["imaps"]) != 2 || len(found) != 2 {
		fmt.Println("handed over:", found, err)
		os.Exit(1)
	}
	if left := os.Getenv("LISTEN_FDS"); left != "" {
		fmt.Println("still in the environment:", left)
		os.Exit(1)
	}
	c, err := found["mx"][0].Accept()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Fprint(c, "hello")
	c.Close()
	os.Exit(0)
}

func TestActivation(t *testing.T) {
	var files []*os.File
	var first net.Addr
	for i := range 3 {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if i == 0 {
			first = l.Addr()
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	// The shell knows its number, and exec keeps it.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), activated+"=1", "LISTEN_FDS=3", "LISTEN_FDNAMES=mx:imaps:imaps")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", first.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 5)
	n, err := c.Read(b)
	if string(b[:n]) != "hello" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
