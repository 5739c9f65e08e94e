package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"backhaul/vendorapi/secretstest"
)

func parsed(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags, AllGroups...)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}

// environ is a list as os.Environ returns it.
func environ(env map[string]string) []string {
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

func lookup(env map[string]string) func(string) (string, bool) { return environment(env).lookup }

func TestShow_everyValueAndItsOrigin(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "b.yaml")
	if err := os.WriteFile(name, []byte("work:\n  drainTimeout: 9s\nvendor:\n  tokenFile: /t\n  timeout: never\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "vendor.password"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	values, err := Show(parsed(t, "--config", name, "--max-in-flight", "3"), environ(map[string]string{
		"BACKHAUL_NATS_URL": "nats://geheim-user:geheim-7f@a:1, nats://geheim-token@b:1", "CREDENTIALS_DIRECTORY": dir,
		"BACKHAUL_VENDOR_ENDPOINT": "https://geheim-user:geheim-7f@vendor.example.com/api",
	}))
	if problems, ok := errors.AsType[*Error](err); !ok || len(problems.Problems) != 1 || !strings.Contains(problems.Problems[0], "b.yaml:5: vendor.timeout") {
		t.Errorf("got %v, want the one value that is wrong", err)
	}
	if want := len(new(Config).settings()); len(values) != want {
		t.Errorf("%d values, want %d", len(values), want)
	}
	for _, want := range []Value{
		{"log.level", "info", "default", "BACKHAUL_LOG_LEVEL", "--log-level"},
		{"work.drainTimeout", "9s", name + ":2", "BACKHAUL_DRAIN_TIMEOUT", "--drain-timeout"},
		{"work.maxInFlight", "3", "--max-in-flight", "BACKHAUL_MAX_IN_FLIGHT", "--max-in-flight"},
		{"vendor.timeout", "30s", "default", "BACKHAUL_VENDOR_TIMEOUT", "--vendor-timeout"},
		{"vendor.token", "(in /t)", name + ":4", "BACKHAUL_VENDOR_TOKEN", ""},
		{"vendor.password", "(in " + dir + "/vendor.password)", "$CREDENTIALS_DIRECTORY/vendor.password", "BACKHAUL_VENDOR_PASSWORD", ""},
		{"nats.url", "nats://xxxxx@a:1,nats://xxxxx@b:1", "BACKHAUL_NATS_URL", "BACKHAUL_NATS_URL", "--nats"},
	} {
		if !slices.Contains(values, want) {
			t.Errorf("no %+v in %+v", want, values)
		}
	}
	secretstest.NotShown(t, []string{"geheim-user", "geheim-7f", "geheim-token"}, values, err)
}

// A line of the file may have several settings, so its number alone names none.
func TestCheck_namesTheSettingOfTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(file, []byte(`{admin: {addr: nowhere}, nats: {url: [nats://a, ""]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Check(pflag.NewFlagSet("", pflag.ContinueOnError), []string{fileEnv + "=" + file})
	for _, want := range []string{file + `:1: admin.addr: is "nowhere"`, file + ":1: nats.url: number 2 is not a URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestCheck_reportsEverythingAtOnce(t *testing.T) {
	dir := t.TempDir()
	name, none := filepath.Join(dir, "b.yaml"), filepath.Join(dir, "none.pem")
	if err := os.WriteFile(name, []byte("vendor:\n  endpont: https://a/b\n  auth: login\n  caa: x\n  ca: "+none+"\nnats:\n  listen: nowhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(dir, "moved")
	if err := os.Mkdir(moved, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(moved, "backhaul.moved"), []byte("moved to nats://a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(parsed(t, "--store-dir", moved), environ(nil)); err == nil || !strings.Contains(err.Error(), "--store-dir: the requests in "+moved+" were moved to nats://a") {
		t.Errorf("a store that was moved: %v", err)
	}
	env := map[string]string{
		"BACKHAUL_CONFIG": name, "BACKHAUL_VENDOR_PASSWORD_FILE": none,
		"BACKHAUL_ADMIN_ADDR": "9090", "BACKHAUL_STORE_DIR": name, "BACKHAUL_VENDOR_TIMEOUT": "1", "BACKHAUL_POLICY_FILE": name,
	}
	err := Check(parsed(t), environ(env))
	problems, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	wanted := []string{
		":2: vendor.endpont: unknown", ":4: vendor.caa: unknown", "BACKHAUL_VENDOR_TIMEOUT: ", "no vendor endpoint", "no vendor user",
		"none.pem: no such file or directory (BACKHAUL_VENDOR_PASSWORD_FILE)", "none.pem: no such file or directory (" + name + ":5)",
		"policy: " + name + ":1: ", "policy: " + name + ":6: ", "BACKHAUL_ADMIN_ADDR: ", name + ":7: nats.listen: is \"nowhere\"", "BACKHAUL_STORE_DIR: ",
	}
	for _, want := range wanted {
		if !slices.ContainsFunc(problems.Problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("nothing about %q in %q", want, problems.Problems)
		}
	}
	if len(problems.Problems) != len(wanted) {
		t.Errorf("%d problems, want %d: %q", len(problems.Problems), len(wanted), problems.Problems)
	}

	// What a broken file would have set is not missing.
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = Check(parsed(t), environ(map[string]string{"BACKHAUL_CONFIG": name}))
	if problems, ok := errors.AsType[*Error](err); !ok || len(problems.Problems) != 1 {
		t.Errorf("a broken file: %v", err)
	}
	if err := Check(parsed(t), environ(map[string]string{
		"BACKHAUL_VENDOR_ENDPOINT": "https://vendor.example.com/api", "BACKHAUL_VENDOR_USERNAME": "u", "BACKHAUL_VENDOR_PASSWORD": "geheim-7f",
		"BACKHAUL_STORE_DIR": filepath.Join(dir, "later"),
	})); err != nil {
		t.Errorf("good settings: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "later")); err == nil {
		t.Error("a check has made a directory")
	}
}
