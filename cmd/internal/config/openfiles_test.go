package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"backhaul/cmd/internal/secret"
)

func TestConfig_OpenFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var c Config
	c.NATS.Auth.Creds = file("creds", 0o644)
	c.NATS.TLS.CA = file("ca", 0o644) // no secret
	c.NATS.TLS.Key = file("key", 0o640)
	c.Vendor.Password = secret.InFile(file("password", 0o604))
	c.Vendor.Token = c.Vendor.Password // named once
	c.Vendor.TokenPairFile = filepath.Join(dir, "missing")
	c.Admin.Token = secret.InFile(file("admin", 0o600))
	want := []string{c.NATS.Auth.Creds, c.Vendor.Password.File()}
	if got := c.OpenFiles(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
