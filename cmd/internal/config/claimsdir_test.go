package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A process that is started again has the directory of the one before.
func TestConsumer_claimsDir(t *testing.T) {
	store, running := t.TempDir(), t.TempDir()
	missing := filepath.Join(store, "missing")
	temporary := filepath.Join(os.TempDir(), fmt.Sprintf("backhaul-claims-%d", os.Getuid()))
	for name, test := range map[string]struct{ running, url, store, want string }{
		"the embedded server":                {"", "", missing, filepath.Join(missing, "claims")},
		"another server":                     {"", "nats://127.0.0.1:4222", missing, temporary},
		"another server, a directory for it": {"", "nats://127.0.0.1:4222", store, filepath.Join(store, "claims")},
		"a service with a runtime directory": {running, "nats://127.0.0.1:4222", store, filepath.Join(running, "claims")},
		"a service with two of them":         {running + ":" + store, "", store, filepath.Join(running, "claims")},
	} {
		t.Setenv("RUNTIME_DIRECTORY", test.running)
		c := Config{NATS: NATS{URL: test.url, Embedded: Embedded{StoreDir: test.store}}}
		if got := c.Consumer("one").ClaimsDir; got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
