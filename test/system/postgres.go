package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresPrograms is where Debian has PostgreSQL's, by version.
const postgresPrograms = "/usr/lib/postgresql/*/bin/"

// A Postgres is a PostgreSQL server of the tests' own, on loopback and a Unix
// socket, with everything in a temporary directory.
type Postgres struct {
	bin      string
	dir      string
	port     int
	settings []string
	as       *syscall.SysProcAttr
	cmd      *exec.Cmd
	log      *logBuffer
	count    atomic.Int64 // of databases
}

// StartPostgres makes a server and starts it; the caller stops and removes it
// with Remove. With durable it syncs what it commits, as in production; most
// tests are faster without.
func StartPostgres(durable bool) (*Postgres, error) {
	found, err := filepath.Glob(postgresPrograms + "postgres")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no %spostgres: run test/packages.sh", postgresPrograms)
	}
	dir, err := os.MkdirTemp("", "waxwing-postgres-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users may come to the socket
		return nil, err
	}
	p := &Postgres{bin: filepath.Dir(found[len(found)-1]), dir: dir, as: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}, log: new(logBuffer)}
	if os.Getuid() == 0 { // PostgreSQL refuses root
		if err := p.becomePostgres(); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", p.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = p.as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.settings = []string{"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(p.port), "unix_socket_directories=" + dir}
	if !durable {
		p.settings = append(p.settings, "fsync=off", "full_page_writes=off")
	}
	return p, p.Start()
}

// becomePostgres makes the server run as the user that the package has made.
func (p *Postgres) becomePostgres() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("%w: run test/packages.sh", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	p.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, uid, gid)
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start starts the server, also again after Stop or Crash.
func (p *Postgres) Start() error {
	args := []string{"-D", p.data()}
	for _, s := range p.settings {
		args = append(args, "-c", s)
	}
	p.cmd = exec.Command(filepath.Join(p.bin, "postgres"), args...)
	p.cmd.SysProcAttr, p.cmd.Dir = p.as, p.dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	var err error
	for range 300 {
		if err = p.try(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("PostgreSQL does not come up: %w\n%s", err, p.log)
}

func (p *Postgres) try() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

// Stop ends the server and all its connections; what was committed is there
// after the next Start.
func (p *Postgres) Stop() error { return p.end(syscall.SIGINT) }

// Crash ends it as an operator must not: it recovers at the next Start.
func (p *Postgres) Crash() error { return p.end(syscall.SIGQUIT) }

func (p *Postgres) end(how syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(how); err != nil {
		return err
	}
	_ = p.cmd.Wait() // its exit code says how we have ended it
	p.cmd = nil
	return nil
}

// Remove stops the server and removes all that it had.
func (p *Postgres) Remove() error {
	return errors.Join(p.end(syscall.SIGQUIT), os.RemoveAll(p.dir))
}

// URL names a database over TCP.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

// SocketURL names a database over the Unix socket.
func (p *Postgres) SocketURL(database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&port=%d&user=postgres", database, p.dir, p.port)
}

// Log gives what the server has said.
func (p *Postgres) Log() string { return p.log.String() }

// ProcessorTime is what those of the server's processes that run now have had.
// Where some have ended in between it is too little.
func (p *Postgres) ProcessorTime(tb testing.TB) (sum time.Duration) {
	tb.Helper()
	tasks, err := filepath.Glob("/proc/[0-9]*/schedstat")
	if err != nil {
		tb.Fatal(err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(task), "stat"))
		if err != nil {
			continue // has ended
		}
		// The name, in parentheses, may hold anything; the parent is the second word after it.
		words := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(words) < 2 || words[1] != strconv.Itoa(p.cmd.Process.Pid) {
			continue
		}
		times, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(times), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum
}

// NewDatabase makes an empty database and gives its name.
func (p *Postgres) NewDatabase(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("waxwing%d", p.count.Add(1))
	p.Exec(tb, "postgres", "create database "+name)
	return name
}

// Exec runs a statement in a database.
func (p *Postgres) Exec(tb testing.TB, database, sql string) {
	tb.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, sql); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}
