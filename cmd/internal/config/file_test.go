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

	"backhaul/cmd/internal/secret"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/vendorapi/secretstest"
)

// loadFile is Load with a configuration file of this text.
func loadFile(t *testing.T, text string, env map[string]string, args ...string) (*Config, string, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "backhaul.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadWith(t, env, append(args, "--config", name)...)
	return cfg, name, err
}

func TestLoad_aFileIsBetweenDefaultsAndEnvironment(t *testing.T) {
	const text = `
# everything has its section
nats:
  url: [nats://a:4222, nats://b:4222]
  provision: false
  replicas: 1
vendor:
  endpoint: &there https://vendor.example.com/api
  username: "0815"
  passwordFile: /run/secrets/commvault
  timeout: 7s
  lookAfter: 0
work:
  maxInFlight: 7
  inDoubt: fail
log: # nothing
`
	cfg, name, err := loadFile(t, text, map[string]string{"BACKHAUL_VENDOR_TIMEOUT": "8s", "BACKHAUL_IN_DOUBT": ""}, "--max-in-flight", "9")
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]any{
		"a list":          {cfg.NATS.URL, "nats://a:4222,nats://b:4222"},
		"a bool":          {cfg.NATS.Provision, false},
		"a number":        {cfg.NATS.Replicas, 1},
		"an anchor":       {cfg.Vendor.Endpoint, "https://vendor.example.com/api"},
		"a quoted number": {cfg.Vendor.Username, "0815"},
		"environment":     {cfg.Vendor.Timeout, 8 * time.Second},
		"zero":            {cfg.Vendor.LookAfter, time.Duration(0)},
		"flag":            {cfg.Work.MaxInFlight, 9},
		"empty":           {cfg.Work.InDoubt, "fail"},
		"default":         {cfg.Log.Level, "info"},
		"secret":          {cfg.Vendor.Password.File(), "/run/secrets/commvault"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
	named := map[string]string{"BACKHAUL_CONFIG": name}
	if cfg, err := loadWith(t, named); err != nil || cfg.Work.MaxInFlight != 7 {
		t.Errorf("named by the environment: %v", err)
	}
	if _, err := loadWith(t, named, "--config", name+".none"); err == nil || !strings.Contains(err.Error(), name+".none") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestLoad_namesTheLineOfAMistake(t *testing.T) {
	for text, want := range map[string]string{
		"vendor:\n  endpont: x":                                ":2: vendor.endpont: unknown, did you mean vendor.endpoint?",
		"vendor:\n  retry-budget: 1s":                          ":2: vendor.retry-budget: unknown, did you mean vendor.retryBudget?",
		"vendor:\n  maxInFlight: 1":                            ":2: vendor.maxInFlight: unknown, did you mean work.maxInFlight?",
		"vendor:\n  colour: red":                               ":2: vendor.colour: unknown",
		"vendr:\n  endpoint: x":                                ":1: section vendr: unknown, did you mean vendor?",
		"\nextra: {}":                                          ":2: section extra: unknown",
		"vendor.endpoint: x":                                   ":1: vendor.endpoint: write it as endpoint in the section vendor",
		"work:\n  maxInFlight: 1\n  maxInFlight: 2":            `:3: the key "maxInFlight" is given twice, first in line 2`,
		"log:\n  level: info\nlog:\n  level: debug":            `:3: the key "log" is given twice, first in line 1`,
		"work:\n  maxInFlight: many":                           ":2: work.maxInFlight: must be a whole number, here is a string",
		"work:\n  maxInFlight: 0":                              `:2: work.maxInFlight: is "0", must be a whole number of at least 1`,
		"work:\n  maxInFlight: 1.5":                            ":2: work.maxInFlight: must be a whole number, here is a number",
		"vendor:\n  timeout: 30":                               ":2: vendor.timeout: must be a duration such as 30s, here is a number",
		"vendor:\n  timeout: soon":                             `:2: vendor.timeout: is "soon", must be a duration such as 30s`,
		"vendor:\n  username: 0815":                            ":2: vendor.username: must be a string; put it into quotes, here is a number",
		"vendor:\n  username:":                                 ":2: vendor.username: must be a string, here is nothing",
		"vendor:\n  username: [a]":                             ":2: vendor.username: must be a string, here is a list",
		"vendor:\n  username: {a: b}":                          ":2: vendor.username: must be a string, here is a mapping",
		"vendor:\n  insecureHTTP: \"true\"":                    ":2: vendor.insecureHTTP: must be true or false, here is a string",
		"vendor:\n  passwordFile: ''":                          ":2: vendor.passwordFile: must be the name of a file, here is nothing",
		"vendor: yes please":                                   ":1: vendor: must be a section with settings",
		"vendor:\n  auth: magic":                               `:2: vendor.auth: is "magic", must be one of login, token, bearer`,
		"nats:\n  url: [a, 5]":                                 ":2: nats.url: each item of the list must be a string",
		"nats:\n  creds: [a]":                                  ":2: nats.creds: must be a string, here is a list",
		"- a":                                                  ":1: must be sections with settings",
		"log:\n  level: info\n---\nlog:\n  level: debug":       ":3: has more than one document",
		"log:\n\tlevel: info":                                  ":2: is not valid YAML: found character that cannot start any token",
		"nats:\n  url: nats://u:geheim@a":                      ":2: nats.url: has a user or token in it",
		"nats:\n  url: [nats://a, \"nats://u:geh%eim@b\"]":     ":2: nats.url: has a user or token in it",
		"vendor:\n  password: geheim":                          ":2: vendor.password: a secret must not stand in this file; put it into a file of its own and name that with vendor.passwordFile, or set BACKHAUL_VENDOR_PASSWORD",
		"vendor:\n  password: *geheim":                         "is not valid YAML: unknown anchor",
		"? [a, b]\n: c":                                        ":1: the file: the key",
		"log: {level: info, format: json, <<: {level: debug}}": ":1: the section log: merge keys are not supported",
	} {
		_, name, err := loadFile(t, text, nil)
		problems, ok := errors.AsType[*Error](err)
		if !ok || len(problems.Problems) != 1 {
			t.Errorf("%q: got %v, want one problem", text, err)
			continue
		}
		if got := problems.Problems[0]; !strings.HasPrefix(got, name) || !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s%s", text, got, name, want)
		}
		secretstest.NotShown(t, []string{"geheim", "geh%eim"}, err)
	}
}

func TestLoad_anEmptyFile(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "null", "vendor:\nnats:\n"} {
		if _, _, err := loadFile(t, text, nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A file of nothing but unknown names is not compared name by name to its end.
func TestParseFile_ProblemsAreBounded(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("vendor:\n")
	for i := range 20_000 {
		fmt.Fprintf(&text, "  k%05d: x\n", i)
	}
	_, name, err := loadFile(t, text.String(), nil)
	wrong, ok := errors.AsType[*Error](err)
	if !ok || len(wrong.Problems) > strictyaml.MaxProblems+10 || !slices.Contains(wrong.Problems, name+": and more") {
		t.Errorf("%d problems: %.500v", len(wrong.Problems), err)
	}
}

func TestLoad_aFileThatIsTooLarge(t *testing.T) {
	_, _, err := loadFile(t, strings.Repeat("# comment\n", maxFile/10+1), nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxFile)) {
		t.Errorf("got %v", err)
	}
}

// Every setting can stand in a file, with its default or, for a secret, with the
// name of a file.
func TestLoad_everySettingInAFile(t *testing.T) {
	for _, s := range new(Config).settings() {
		section, name, _ := strings.Cut(s.key, ".")
		value := s.fallback
		switch s.field.(type) {
		case *string:
			value = fmt.Sprintf("%q", value)
		case *secret.Source:
			name, value = fileKey(name), "/run/secrets/s"
		}
		text := fmt.Sprintf("%s:\n  %s: %s\n", section, name, value)
		f := parseFile("f.yaml", []byte(text), []setting{s})
		if e, ok := f.entries[s.key]; !ok || s.assign(given{text: e.text, inFile: e.inFile}) != nil {
			t.Errorf("%s: %+v", text, f)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "vendor:\n  endpoint: https://a/b\n  timeout: 5s\n", "nats:\n  url: [nats://a, nats://b]\n", "a: &a [*a]", "vendor: &v {username: *v}",
		"vendor:\n  password: x\n", "log: {level: info}\n---\n{}", "\xff\xfe", "? {a: b}\n: c", "work: !!binary aGk=", "<<: {log: x}", "log:\n  level: \"a\\0b\"",
	} {
		f.Add([]byte(seed))
	}
	settings := new(Config).settings()
	var known []string
	for _, s := range settings {
		known = append(known, s.key)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := parseFile("f.yaml", data, settings)
		for _, p := range file.problems {
			if !strings.HasPrefix(p, "f.yaml:") {
				t.Errorf("a problem without its place: %q", p)
			}
		}
		for key, e := range file.entries {
			if i := slices.Index(known, key); i < 0 || settings[i].secret() != e.inFile {
				t.Errorf("%s: %+v is no setting's", key, e)
			}
		}
	})
}
