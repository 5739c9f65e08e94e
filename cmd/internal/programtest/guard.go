package programtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// Guard is a separate nats-server with the shipped users, and their seeds.
type Guard struct {
	address string
	seeds   string // a directory with <user>.nk
}

// GuardedServer runs a nats-server with the shipped permissions; the role of the service
// lacks the subjects of without.
func GuardedServer(t *testing.T, without ...string) Guard {
	t.Helper()
	dir := t.TempDir()
	var keys strings.Builder
	permissions := InRepository(t, "deploy", "nats", "permissions.conf")
	conf, err := os.ReadFile(permissions)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\$[A-Z]+_KEY`).FindAllString(string(conf), -1) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		seed, _ := pair.Seed()
		public, _ := pair.PublicKey()
		fmt.Fprintf(&keys, "%s: %s\n", name[1:], public)
		PutFile(t, filepath.Join(dir, strings.ToLower(strings.TrimSuffix(name[1:], "_KEY"))+".nk"), string(seed))
	}
	roles, err := os.ReadFile(filepath.Join(filepath.Dir(permissions), "roles.conf"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(roles)
	role := regexp.MustCompile(`(?s)\nBACKHAUL_ROLE \{.*?\n\}`).FindString(text)
	less := role
	for _, subject := range without {
		if !strings.Contains(role, `"`+subject+`"`) {
			t.Fatalf("the role has no %s", subject)
		}
		less = strings.Replace(less, `"`+subject+`"`, `"nothing"`, 1)
	}
	PutFile(t, filepath.Join(dir, "roles.conf"), strings.Replace(text, role, less, 1))
	PutFile(t, filepath.Join(dir, "keys.conf"), keys.String())
	PutFile(t, filepath.Join(dir, "permissions.conf"), string(conf))
	address := FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	p := Start(t, []string{fmt.Sprintf("NATS_STORE_DIR=%q", t.TempDir())},
		"nats-server", "-c", filepath.Join(dir, "permissions.conf"), "-a", "127.0.0.1", "-p", port)
	p.WaitFor(t, "Server is ready")
	return Guard{address: address, seeds: dir}
}

// PutFile writes a file.
func PutFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g Guard) seed(user string) string { return filepath.Join(g.seeds, user+".nk") }

// As returns the environment of a user of the shipped permissions.
func (g Guard) As(user string) []string {
	return []string{"BACKHAUL_NATS_URL=nats://" + g.address, "BACKHAUL_NATS_NKEY=" + g.seed(user), "BACKHAUL_NATS_INBOX_PREFIX=_INBOX_" + user}
}

// StartGuarded starts a service with the shipped permissions; the client is billing's.
func StartGuarded(t *testing.T, without ...string) *Service {
	t.Helper()
	g := GuardedServer(t, without...)
	if code, out, stderr := Once(t, g.As("provisioner"), "", "setup"); code != ExitDone || strings.Count(out, "created") != 8 {
		t.Fatalf("setup: exit code %d, %s%s", code, out, stderr)
	}
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: World()})
	who, err := nats.NkeyOptionFromSeed(g.seed("billing"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+g.address, who, nats.CustomInboxPrefix("_INBOX_billing"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &Service{
		Client: &Client{T: t, NC: nc, JS: js}, Sim: sim,
		Env: append(ServiceEnv("", endpoint), g.As("backhaul")...),
	}
}

// WritePolicy replaces a policy file in one step.
func WritePolicy(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
