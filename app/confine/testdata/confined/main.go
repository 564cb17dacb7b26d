// Command confined confines itself to the directory that is its argument and
// says what it still can do.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"waxwing/app/confine"
)

func main() {
	dir := os.Args[1]
	err := confine.Confine(confine.Paths{
		ReadWrite: []string{filepath.Join(dir, "data"), "/does/not/exist"},
		ReadOnly:  []string{filepath.Join(dir, "etc"), filepath.Join(dir, "single")},
	})
	if errors.Is(err, confine.ErrUnsupported) {
		fmt.Println("unsupported")
		return
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	// On many threads: all of them must be confined.
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { try(dir) })
	}
	wg.Wait()
	status, _ := os.ReadFile("/proc/self/status")
	if strings.Contains(string(status), "NoNewPrivs") {
		fmt.Println("/proc can be read")
	}
}

func try(dir string) {
	can := func(what string, wanted bool, err error) {
		if (err == nil) != wanted {
			fmt.Printf("%s: %v\n", what, err)
		}
	}
	f, err := os.CreateTemp(filepath.Join(dir, "data"), "x")
	can("make in data", true, err)
	if err == nil {
		can("rename in data", true, os.Rename(f.Name(), f.Name()+"y"))
		can("remove in data", true, os.Remove(f.Name()+"y"))
	}
	_, err = os.ReadFile(filepath.Join(dir, "etc", "file"))
	can("read in etc", true, err)
	_, err = os.ReadFile(filepath.Join(dir, "single"))
	can("read single", true, err)
	can("write in etc", false, os.WriteFile(filepath.Join(dir, "etc", "file"), nil, 0o600))
	_, err = os.ReadFile(filepath.Join(dir, "secret"))
	can("read secret", false, err)
	_, err = os.ReadFile("/etc/passwd")
	can("read /etc/passwd", false, err)
}
