package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"backhaul/cmd/internal/secret"
	"backhaul/vendorapi"
)

func loadWith(t *testing.T, env map[string]string, args ...string) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(flags, AllGroups...)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(flags, environ(env))
}

func TestLoad_precedence(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want int
	}{
		"default":           {nil, nil, 64},
		"environment":       {map[string]string{"BACKHAUL_MAX_IN_FLIGHT": "7"}, nil, 7},
		"empty environment": {map[string]string{"BACKHAUL_MAX_IN_FLIGHT": ""}, nil, 64},
		"flag":              {map[string]string{"BACKHAUL_MAX_IN_FLIGHT": "7"}, []string{"--max-in-flight", "8"}, 8},
	} {
		cfg, err := loadWith(t, c.env, c.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if cfg.Work.MaxInFlight != c.want {
			t.Errorf("%s: max in flight %d, want %d", name, cfg.Work.MaxInFlight, c.want)
		}
	}
}

// Every setting has a default that is valid, an environment name of our prefix,
// a key for files, and a flag unless it is a secret.
func TestSettings_areWellFormed(t *testing.T) {
	var names []string
	for _, s := range new(Config).settings() {
		_, isSecret := s.field.(*secret.Source)
		if isSecret != (s.flag == "") {
			t.Errorf("%s: a secret has no flag, everything else has one", s.env)
		}
		if !strings.HasPrefix(s.env, "BACKHAUL_") {
			t.Errorf("%s lacks the prefix", s.env)
		}
		if s.usage == "" {
			t.Errorf("%s has no usage", s.env)
		}
		if !slices.Contains(AllGroups, s.group) {
			t.Errorf("%s is of the group %q, which no list has", s.env, s.group)
		}
		if !isSecret && s.set(s.fallback) != nil {
			t.Errorf("%s: the default %q is refused: %v", s.env, s.fallback, s.set(s.fallback))
		}
		if section, name, ok := strings.Cut(s.key, "."); !ok || section == "" || name == "" {
			t.Errorf("%s has the key %q, want section.name", s.env, s.key)
		}
		names = append(names, s.env, s.key, s.flag)
	}
	slices.Sort(names)
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("a name is used twice: %v", names)
	}
}

func TestLoad_namesEveryProblem(t *testing.T) {
	_, err := loadWith(t, map[string]string{
		"BACKHAUL_VENDOR_TIMEOUT": "fast", "BACKHAUL_MAX_IN_FLIGHT": "0", "BACKHAUL_IN_DOUBT": "guess",
		"BACKHAUL_VENDOR_PASSWORD": "a", "BACKHAUL_VENDOR_PASSWORD_FILE": "/b",
	}, "--give-up-after", "1ms")
	problems, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"BACKHAUL_VENDOR_TIMEOUT: ", "BACKHAUL_MAX_IN_FLIGHT: ", "BACKHAUL_IN_DOUBT: ", "BACKHAUL_VENDOR_PASSWORD_FILE", "--give-up-after: "} {
		if !slices.ContainsFunc(problems.Problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("nothing about %s in %q", want, problems.Problems)
		}
	}
}

func TestCheckRun_namesWhatIsMissing(t *testing.T) {
	cfg, err := loadWith(t, map[string]string{"BACKHAUL_VENDOR_CA": "/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	err = cfg.CheckRun()
	for _, want := range []string{"BACKHAUL_VENDOR_ENDPOINT", "BACKHAUL_VENDOR_USERNAME", "BACKHAUL_VENDOR_PASSWORD_FILE", "BACKHAUL_VENDOR_CA"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s in %v", want, err)
		}
	}
}

func TestConfig_secretsAreReadAgainAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-secret\n")
	cfg, err := loadWith(t, map[string]string{
		"BACKHAUL_VENDOR_ENDPOINT": "https://vendor.example.com/api", "BACKHAUL_VENDOR_USERNAME": "u",
		"BACKHAUL_VENDOR_PASSWORD_FILE": file, "BACKHAUL_VENDOR_TOKEN": "direct-secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.CheckRun(); err != nil {
		t.Fatal(err)
	}
	auth := cfg.Vendor.Client(1).Auth
	if want := "BACKHAUL_VENDOR_PASSWORD_FILE, " + file; auth.PasswordName != want {
		t.Errorf("the password is named %q, want %q", auth.PasswordName, want)
	}
	if got, err := auth.Password(); err != nil || string(got) != "first-secret" {
		t.Errorf("password %q, %v", string(got), err)
	}
	write("second-secret")
	if got, err := auth.Password(); err != nil || string(got) != "second-secret" {
		t.Errorf("after it was replaced: password %q, %v", string(got), err)
	}
	write("")
	if _, err := auth.Password(); err == nil {
		t.Error("an empty file is no error")
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg.Vendor), fmt.Sprintf("%+v %#v", *cfg, cfg.Vendor.Token)} {
		if strings.Contains(shown, "secret-") || strings.Contains(shown, "-secret") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
}

func TestCheckRun_tokenPairFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pair.json")
	check := func(file string) error {
		t.Helper()
		cfg, err := loadWith(t, map[string]string{
			"BACKHAUL_VENDOR_ENDPOINT": "https://vendor.example.com/api", "BACKHAUL_VENDOR_AUTH": "bearer",
			"BACKHAUL_VENDOR_TOKEN_PAIR_FILE": file,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Vendor.Client(1).Auth.TokenPairFile; got != file {
			t.Errorf("the client's file is %q", got)
		}
		return cfg.CheckRun()
	}
	if err := check(file); err != nil {
		t.Errorf("a pair that comes later is refused: %v", err)
	}
	if err := os.WriteFile(file, []byte(`{"accessToken":"a-secret","refreshToken":"r-secret"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(file); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(`{"token":"a-secret"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"none": "", "no directory": filepath.Join(dir, "none", "pair.json"), "not a pair": file} {
		err := check(file)
		if err == nil || !strings.Contains(err.Error(), "BACKHAUL_VENDOR_TOKEN_PAIR_FILE") || strings.Contains(err.Error(), "a-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfig_consumerAndClientShareTheTimeout(t *testing.T) {
	cfg, err := loadWith(t, nil, "--vendor-timeout", "7s")
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Consumer("o").AttemptTimeout; got != 7*time.Second {
		t.Errorf("the lease is made for attempts of %s, want 7s", got)
	}
	if got := cfg.Vendor.Client(1).Timeout; got != 7*time.Second {
		t.Errorf("calls end after %s, want 7s", got)
	}
}

func TestClient_hasThePace(t *testing.T) {
	cfg, err := loadWith(t, map[string]string{"BACKHAUL_STARTS_PER_HOUR": "90"}, "--starts-per-second", "5")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Vendor.Client(1).Pace, (vendorapi.Pace{PerHour: 90, PerSecond: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for setting, bad := range map[string]string{
		"BACKHAUL_STARTS_PER_HOUR": "-1", "BACKHAUL_STARTS_PER_SECOND": "0.5", "BACKHAUL_VENDOR_LOOK_AFTER": "-1s",
	} {
		if _, err := loadWith(t, map[string]string{setting: bad}); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s=%s: %v", setting, bad, err)
		}
	}
}
