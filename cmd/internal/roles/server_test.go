package roles_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"backhaul/cmd/internal/provision"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// shipped is the directory of the files under test.
const shipped = "../../../deploy/nats"

// The two configurations of a server.
const (
	oneAccount = "permissions.conf"
	separate   = "accounts.conf"
)

// users lists the roles by the names of their keys and inboxes.
var users = []string{
	"backhaul", "billing", "crm", "trigger", "archiver", "store", "auditor", "reader", "protection", "operator", "provisioner", "snapshot", "admin", "system",
}

// guarded is a server with the shipped users.
type guarded struct {
	t     *testing.T
	conf  string
	dir   string // of the files in use
	url   string
	srv   *server.Server
	seeds map[string][]byte

	mu     sync.Mutex
	denied map[string][]string // by user: the server's errors
}

// edit changes a shipped file before it is used.
type edit func(name, text string) string

// startGuarded starts a server on a shipped file with new keys.
func startGuarded(t *testing.T, conf string, edits ...edit) *guarded {
	t.Helper()
	g := &guarded{t: t, conf: conf, seeds: make(map[string][]byte), denied: make(map[string][]string)}
	dir := t.TempDir()
	var keys strings.Builder
	for _, user := range users {
		var public string
		g.seeds[user], public = newKey(t)
		fmt.Fprintf(&keys, "%s_KEY: %s\n", strings.ToUpper(user), public)
	}
	write(t, dir, "keys.conf", keys.String())
	for _, name := range []string{conf, "roles.conf"} {
		data, err := os.ReadFile(filepath.Join(shipped, name))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "$NATS_STORE_DIR", fmt.Sprintf("%q", filepath.Join(dir, "store")))
		for _, change := range edits {
			text = change(name, text)
		}
		if name == conf {
			text += "\nlisten: \"127.0.0.1:-1\"\n"
		}
		write(t, dir, name, text)
	}
	g.dir = dir
	options, err := server.ProcessConfigFile(filepath.Join(dir, conf))
	if err != nil {
		t.Fatalf("%s: %v", conf, err)
	}
	options.NoSigs, options.NoLog = true, true
	if g.srv, err = server.NewServer(options); err != nil {
		t.Fatalf("%s: %v", conf, err)
	}
	g.srv.Start()
	t.Cleanup(func() { g.srv.Shutdown(); g.srv.WaitForShutdown() })
	if !g.srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready after 20 s")
	}
	g.url = g.srv.ClientURL()
	return g
}

func newKey(t *testing.T) (seed []byte, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return seed, public
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// as returns a new connection of a user. Denials by the server are collected and do not
// fail the test by themselves.
func (g *guarded) as(user string) *nats.Conn {
	g.t.Helper()
	nc, err := g.connect(user)
	if err != nil {
		g.t.Fatalf("connect as %s: %v", user, err)
	}
	g.t.Cleanup(nc.Close)
	return nc
}

func (g *guarded) connect(user string) (*nats.Conn, error) {
	g.t.Helper()
	pair, err := nkeys.FromSeed(g.seeds[user])
	if err != nil {
		g.t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		g.t.Fatal(err)
	}
	options := []nats.Option{
		nats.Nkey(public, pair.Sign), nats.ReconnectBufSize(-1), nats.Timeout(20 * time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.denied[user] = append(g.denied[user], err.Error())
			}
		}),
	}
	if user != "store" { // MinIO cannot set the prefix
		options = append(options, nats.CustomInboxPrefix("_INBOX_"+user))
	}
	return nats.Connect(g.url, options...)
}

// wasDenied returns the server's denials of a user so far.
func (g *guarded) wasDenied(user string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.denied[user])
}

// nothingDenied fails the test if the server denied anything to a user.
func (g *guarded) nothingDenied() {
	g.t.Helper()
	for _, user := range users {
		for _, text := range g.wasDenied(user) {
			g.t.Errorf("%s: %s", user, text)
		}
	}
}

// jetstream returns a user's JetStream. An auditor in a separate account uses another
// prefix.
func (g *guarded) jetstream(user string) jetstream.JetStream {
	g.t.Helper()
	nc := g.as(user)
	js, err := jetstream.New(nc)
	if user == "auditor" && g.conf == separate {
		js, err = jetstream.NewWithAPIPrefix(nc, "BACKUPJS.API")
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return js
}

// setUp creates the streams as the provisioner.
func (g *guarded) setUp() {
	g.t.Helper()
	js := g.jetstream("provisioner")
	for range 2 { // the second run finds everything in place
		if _, err := provision.Apply(g.within(), js, 1, true); err != nil {
			g.t.Fatal(err)
		}
		if _, err := provision.ApplyTrigger(g.within(), js, 1, true); err != nil {
			g.t.Fatal(err)
		}
		if _, err := provision.ApplyMark(g.within(), js, 1); err != nil {
			g.t.Fatal(err)
		}
		if _, err := provision.ApplyFollow(g.within(), js); err != nil {
			g.t.Fatal(err)
		}
		if _, err := provision.ApplyBudget(g.within(), js, 1); err != nil {
			g.t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(shipped, "audit.consumer.json"))
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := js.CreateConsumer(g.within(), publisher.EventsStream, decode[jetstream.ConsumerConfig](g.t, data)); err != nil {
		g.t.Fatal(err)
	}
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// within bounds one step.
func (g *guarded) within() context.Context {
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	g.t.Cleanup(cancel)
	return ctx
}

// messages returns the number of messages of a stream.
func (g *guarded) messages(stream string) uint64 {
	g.t.Helper()
	s := natstest.Stream(g.t, g.jetstream("admin"), stream)
	return s.CachedInfo().State.Msgs
}
