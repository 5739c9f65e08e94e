package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
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
	c.Vendor.Password.file = file("password", 0o604)
	c.Vendor.Token.file = c.Vendor.Password.file // named once
	c.Vendor.TokenPairFile = filepath.Join(dir, "missing")
	c.Admin.Token.file = file("admin", 0o600)
	want := []string{c.NATS.Auth.Creds, c.Vendor.Password.file}
	if got := c.OpenFiles(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
