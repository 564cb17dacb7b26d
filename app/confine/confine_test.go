package confine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A process of its own is confined, since there is no way back.
func TestConfine(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"data", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"etc/file", "single", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "confined")
	build := exec.Command("go", "build", "-o", bin, "./testdata/confined")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(bin, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	switch string(out) {
	case "":
	case "unsupported\n":
		t.Skip("the kernel has no Landlock")
	default:
		t.Errorf("%s", out)
	}
}

func TestBecomeNobody(t *testing.T) {
	err := Become("no-such-user-here")
	if err == nil || !strings.Contains(err.Error(), "useradd") {
		t.Errorf("%v: it should say how to make the user", err)
	}
}

// Links in a tree are not followed when it is given away.
func TestOwnStaysInside(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := own(dir, os.Getuid(), os.Getgid()); err != nil {
		t.Error(err)
	}
	if err := own(filepath.Join(dir, "nothing"), 0, 0); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
