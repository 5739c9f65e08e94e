package programtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Missing skips a test because this machine lacks something, and fails it in CI, which
// must have everything.
func Missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// InRepository returns the absolute path of a file of the repository: the program
// runs elsewhere.
func InRepository(t *testing.T, parts ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(append([]string{dir}, parts...)...)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test does not run in the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// FreeAddress returns an address on which no program listens. Its port is below those that the
// kernel gives to connections and listeners, so it stays free while a server that has it is started
// again.
func FreeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 15000+rand.IntN(15000)))
		if err != nil {
			continue
		}
		_ = listener.Close()
		return listener.Addr().String()
	}
	t.Fatal("no port between 15000 and 30000 is free")
	return ""
}
