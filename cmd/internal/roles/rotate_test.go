package roles_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/publisher/natstest/waittest"
)

// A key is rotated without a restart: add the new key next to the old one, reload, change
// the client's seed, remove the old key, reload. Connections with the old key are closed at
// once.
func TestServer_RotatesAndRevokesKeys(t *testing.T) {
	t.Parallel()
	for _, conf := range []string{oneAccount, separate} {
		t.Run(conf, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, conf)
			g.setUp()
			before := g.as("billing")
			other := g.as("crm")
			const line = "{ nkey: $BILLING_KEY, permissions: $BILLING_ROLE }"
			old := g.seeds["billing"]
			seed, public := newKey(t)

			g.change("keys.conf", "BILLING_KEY: ", "BILLING_NEW_KEY: "+public+"\nBILLING_KEY: ")
			g.change(conf, line, line+"\n{ nkey: $BILLING_NEW_KEY, permissions: $BILLING_ROLE }")
			g.reload()
			g.request("billing", "with-the-old-key")
			g.seeds["billing"] = seed
			g.request("billing", "with-the-new-key")
			if before.Status() != nats.CONNECTED {
				t.Error("the connection with the old key was closed too early")
			}

			g.change(conf, line, "")
			g.change("keys.conf", "BILLING_KEY: ", "# revoked: ")
			g.reload()
			waittest.Eventually(t, "end of the connection with the old key", func() bool { return before.Status() != nats.CONNECTED })
			g.request("billing", "still-with-the-new-key")
			if other.Status() != nats.CONNECTED || g.messages("BACKUP_REQUESTS") != 3 {
				t.Error("other users were affected")
			}
			g.seeds["billing"] = old
			if nc, err := g.connect("billing"); err == nil {
				nc.Close()
				t.Error("the revoked key is accepted")
			}
		})
	}
}

// change edits a file in use.
func (g *guarded) change(name, old, text string) {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		g.t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		g.t.Fatalf("%s has no %s", name, old)
	}
	write(g.t, g.dir, name, strings.Replace(string(data), old, text, 1))
}

// reload reloads the configuration as `nats-server --signal reload` does.
func (g *guarded) reload() {
	g.t.Helper()
	if err := g.srv.Reload(); err != nil {
		g.t.Fatal(err)
	}
}
