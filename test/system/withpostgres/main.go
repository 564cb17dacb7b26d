// Command withpostgres runs a command beside a PostgreSQL server of its own,
// whose database is named to the tests in WAXWING_TEST_STORE:
//
//	go run ./test/system/withpostgres go test ./serve/...
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"waxwing/test/system"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "withpostgres:", err)
		os.Exit(1)
	}
}

func run(command []string) (err error) {
	if len(command) == 0 {
		return errors.New("which command?")
	}
	server, err := system.StartPostgres(false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Remove()) }()
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), "WAXWING_TEST_STORE="+server.URL("postgres"))
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err = c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "PostgreSQL said:\n%s", server.Log())
	}
	return err
}
