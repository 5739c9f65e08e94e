package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/vendorapi/secretstest"
)

// A service of systemd finds its credentials in a directory of its own.
func TestCredentialsDirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("commvault", "named-secret")
	write("roots.pem", "not looked at")
	base := map[string]string{"CREDENTIALS_DIRECTORY": dir}
	with := func(more ...string) map[string]string {
		env := map[string]string{"CREDENTIALS_DIRECTORY": dir}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	password := func(cfg *Config) string {
		value, err := cfg.Vendor.Password.Read()
		if err != nil {
			return err.Error()
		}
		return value
	}
	for name, c := range map[string]struct {
		env  map[string]string
		file string
		want string
	}{
		"nothing":             {base, "", ""},
		"a bare name":         {with("BACKHAUL_VENDOR_PASSWORD_FILE", "commvault"), "", "named-secret"},
		"a bare name, a file": {base, "vendor: {passwordFile: commvault}", "named-secret"},
		"a path":              {with("BACKHAUL_VENDOR_PASSWORD_FILE", "./commvault"), "", "read secret: open ./commvault: no such file or directory"},
		"no directory":        {map[string]string{"BACKHAUL_VENDOR_PASSWORD_FILE": "commvault"}, "", "read secret: open commvault: no such file or directory"},
	} {
		cfg, _, err := loadFile(t, c.file, c.env)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := password(cfg); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}

	cfg, err := loadWith(t, base, "--vendor-ca", "roots.pem")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "roots.pem"); cfg.Vendor.CA != want {
		t.Errorf("a bare name of another file is %s, want %s", cfg.Vendor.CA, want)
	}

	// By the setting's own name it is found without being named.
	write("vendor.password", "default-secret")
	for name, c := range map[string]struct {
		env  map[string]string
		file string
		want string
	}{
		"by its name":      {base, "", "default-secret"},
		"named by a file":  {base, "vendor: {passwordFile: commvault}", "named-secret"},
		"from environment": {with("BACKHAUL_VENDOR_PASSWORD", "direct-secret"), "vendor: {passwordFile: commvault}", "direct-secret"},
	} {
		cfg, _, err := loadFile(t, c.file, c.env)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := password(cfg); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		secretstest.NotShown(t, []string{"default-secret", "named-secret", "direct-secret"}, *cfg)
	}
	_, err = loadWith(t, with("BACKHAUL_VENDOR_PASSWORD", "a-secret", "BACKHAUL_VENDOR_PASSWORD_FILE", "commvault"))
	if err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("given twice: %v", err)
	}
	secretstest.NotShown(t, []string{"a-secret"}, err)
}
