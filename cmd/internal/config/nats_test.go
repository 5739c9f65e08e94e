package config

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"backhaul/vendorapi/secretstest"
)

const natsURL = "nats://nats.example.com:4222"

// writeContext makes a home directory with one context of the nats command.
func writeContext(t *testing.T, name, text string) (home string) {
	t.Helper()
	home = t.TempDir()
	dir := filepath.Join(home, ".config", "nats", "context")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

func TestNATSContext_fillsInWhatIsNotSet(t *testing.T) {
	home := writeContext(t, "prod", `{"description":"ours","url":"nats://a:4222,nats://b:4222","user":"relay","password":"geheim-7f",
		"ca":"~/ca.pem","tls_first":true,"inbox_prefix":"_INBOX_relay","color_scheme":"","nsc":"","jetstream_domain":"","a_later_field":[1]}`)
	env := map[string]string{"HOME": home, "BACKHAUL_NATS_CONTEXT": "prod"}
	cfg, err := loadWith(t, env, "--nats-inbox-prefix", "_INBOX_mine")
	if err != nil {
		t.Fatal(err)
	}
	n := cfg.NATS
	if password, err := n.Auth.Password.Read(); err != nil || password != "geheim-7f" {
		t.Errorf("password %q, %v", password, err)
	}
	if n.URL != "nats://a:4222,nats://b:4222" || n.Auth.User != "relay" || n.TLS.CA != filepath.Join(home, "ca.pem") || !n.TLS.First || n.InboxPrefix != "_INBOX_mine" {
		t.Errorf("got %+v", n)
	}
	values, err := Show(parsed(t), environ(env))
	if err != nil || !slices.Contains(values, Value{"nats.user", "relay", "context prod", "BACKHAUL_NATS_USER", "--nats-user"}) ||
		!slices.Contains(values, Value{"nats.inboxPrefix", "_INBOX_relay", "context prod", "BACKHAUL_NATS_INBOX_PREFIX", "--nats-inbox-prefix"}) {
		t.Errorf("shown: %+v, %v", values, err)
	}
	secretstest.NotShown(t, []string{"geheim-7f"}, values, *cfg)

	home = writeContext(t, "local", `{}`)
	cfg, err = loadWith(t, map[string]string{"HOME": home, "BACKHAUL_NATS_CONTEXT": "local"})
	if err != nil || cfg.NATS.URL != "nats://127.0.0.1:4222" {
		t.Errorf("a context without a URL: %v", err)
	}
}

func TestNATSContext_refuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"nsc":"nsc://a/b/c"}`:                          "nsc is not supported",
		`{"jetstream_domain":"hub"}`:                     "jetstream_domain is not supported",
		`{"jetstream_api_prefix":"$JS.hub.API"}`:         "jetstream_api_prefix is not supported",
		`{"socks_proxy":"socks5://a:1"}`:                 "socks_proxy is not supported",
		`{"user":"u","password":"op://vault/geheim-7f"}`: "op:// is not supported",
		`{"user_jwt":"geheim-7f"}`:                       "user_jwt and user_seed belong together",
		`{"password":"geheim-7f","user":5}`:              "user is of the wrong type",
		`{"password":"geheim-7f`:                         "it is not valid JSON",
		`{"user":"u","token":"geheim-7f"}`:               "context prod, context prod say in 2 ways who connects to NATS",
		`{"user":"u"}`:                                   "context prod: a user without a password",
		`{"cert":"c.pem"}`:                               "BACKHAUL_NATS_KEY belong together",
	} {
		home := writeContext(t, "prod", text)
		_, err := loadWith(t, map[string]string{"HOME": home}, "--nats-context", "prod")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		secretstest.NotShown(t, []string{"geheim-7f"}, err)
	}
	home := writeContext(t, "prod", `{}`)
	for name, want := range map[string]string{
		"prd": "there is no context prd, only prod", "../prod": "cannot be the name", SelectedContext: "no context is selected",
	} {
		if _, err := loadWith(t, map[string]string{"HOME": home, "BACKHAUL_NATS_CONTEXT": name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if _, err := loadWith(t, map[string]string{"BACKHAUL_NATS_CONTEXT": "prod"}); err == nil || !strings.Contains(err.Error(), "HOME") {
		t.Errorf("no home: %v", err)
	}
}

func TestNATS_waysThatContradictEachOther(t *testing.T) {
	home := writeContext(t, "prod", `{"creds":"/c.creds"}`)
	for want, env := range map[string]map[string]string{
		"BACKHAUL_NATS_URL and BACKHAUL_NATS_CONTEXT both say":                                              {"URL": natsURL, "CONTEXT": "prod"},
		"BACKHAUL_NATS_CREDS, BACKHAUL_NATS_USER say in 2 ways":                                             {"URL": natsURL, "CREDS": "/a", "USER": "u", "PASSWORD": "p"},
		"BACKHAUL_NATS_NKEY, BACKHAUL_NATS_TOKEN_FILE say in 2 ways":                                        {"URL": natsURL, "NKEY": "/a", "TOKEN_FILE": "/t"},
		"context prod, BACKHAUL_NATS_TOKEN say in 2 ways":                                                   {"CONTEXT": "prod", "TOKEN": "t"},
		"BACKHAUL_NATS_URL (a user or token in the URL), BACKHAUL_NATS_CREDS say in 2 ways":                 {"URL": "nats://t@a:1", "CREDS": "/a"},
		"BACKHAUL_NATS_PASSWORD: a password without a user":                                                 {"URL": natsURL, "PASSWORD": "p"},
		"BACKHAUL_NATS_USER: a user without a password":                                                     {"URL": natsURL, "USER": "u"},
		"BACKHAUL_NATS_CERT and BACKHAUL_NATS_KEY belong together":                                          {"URL": natsURL, "KEY": "/k"},
		"there are settings for a connection to NATS but no server: set BACKHAUL_NATS_URL":                  {"CREDS": "/a"},
		"there are settings for a connection to NATS but no server: set BACKHAUL_NATS_URL or BACKHAUL_NATS": {"TLS_FIRST": "true"},
	} {
		full := map[string]string{"HOME": home}
		for name, value := range env {
			full["BACKHAUL_NATS_"+name] = value
		}
		if _, err := loadWith(t, full); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", env, err, want)
		}
	}
}

// Whatever connecting would fail for before it dials is known to a check.
func TestNATS_filesAreChecked(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.CreatePairWithRand(nkeys.PrefixByteAccount, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	accountSeed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	const jwtPart = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n"
	seedPart := "-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n"
	garbage := write("garbage", "geheim-7f")
	good := map[string]string{"NKEY": write("nk", string(seed)), "CREDS": write("creds", jwtPart+seedPart)}
	for name, value := range good {
		cfg, err := loadWith(t, map[string]string{"BACKHAUL_NATS_URL": natsURL, "BACKHAUL_NATS_" + name: value})
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.NATS.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, env := range map[string]map[string]string{
		"BACKHAUL_NATS_NKEY":                                     {"NKEY": garbage},
		"Not a valid nkey user seed":                             {"NKEY": write("account", string(accountSeed))},
		"no user seed in " + write("bom", "\ufeff"+string(seed)): {"NKEY": filepath.Join(dir, "bom")},
		"no user JWT":                                            {"CREDS": write("seed only", seedPart)},
		"no user seed":                                           {"CREDS": write("jwt only", jwtPart)},
		"no such file":                                           {"CREDS": filepath.Join(dir, "none")},
		"BACKHAUL_NATS_CERT, BACKHAUL_NATS_KEY)":                 {"CERT": garbage, "KEY": garbage},
		"BACKHAUL_NATS_CA":                                       {"CA": garbage},
		"BACKHAUL_NATS_TOKEN_FILE":                               {"TOKEN_FILE": write("empty", "\n")},
		"BACKHAUL_NATS_INBOX_PREFIX":                             {"INBOX_PREFIX": "_INBOX.>"},
		"number 2 is not a URL":                                  {"URL": natsURL + ",nats://u:geheim-7f%@b"},
	} {
		full := map[string]string{"BACKHAUL_NATS_URL": natsURL}
		for name, value := range env {
			full["BACKHAUL_NATS_"+name] = value
		}
		cfg, err := loadWith(t, full)
		if err != nil {
			t.Fatalf("%v: %v", env, err)
		}
		if err := cfg.NATS.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", env, err, want)
		} else {
			secretstest.NotShown(t, []string{"geheim-7f", string(seed), string(accountSeed)}, err)
		}
	}
}

// A problem of what a context names is a problem of the context.
func TestNATSContext_isNamedInProblems(t *testing.T) {
	for text, want := range map[string]string{
		`{"creds":"/none"}`:              "(context prod)",
		`{"nkey":"/none"}`:               "(context prod)",
		`{"cert":"/none","key":"/none"}`: "(context prod, context prod)",
		`{"ca":"/none"}`:                 "(context prod)",
		`{"inbox_prefix":"_INBOX.>"}`:    "context prod: nats.inboxPrefix",
	} {
		cfg, err := loadWith(t, map[string]string{"HOME": writeContext(t, "prod", text)}, "--nats-context", "prod")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := cfg.NATS.Check(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "BACKHAUL_") {
			t.Errorf("%s: %v, want %q and no variable", text, err, want)
		}
	}
}

// A context file may be anything.
func FuzzContext(f *testing.F) {
	f.Add([]byte(`{"url":"nats://a","user":"u","password":"p"}`))
	f.Add([]byte(`{"nsc":5}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		home := writeContext(t, "c", string(data))
		_, n, err := readContext("c", lookup(map[string]string{"HOME": home}))
		if valid := json.Valid(data); err == nil && (!valid || n.refuse() != nil) {
			t.Errorf("%q is taken", data)
		}
	})
}
