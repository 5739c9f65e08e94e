package config

import (
	"os"
	"slices"

	"backhaul/cmd/internal/secret"
)

// holdsSecret are the settings that name a file with a secret, in addition to the secrets.
var holdsSecret = []string{"nats.creds", "nats.nkey", "nats.key", "vendor.tokenPairFile"}

// OpenFiles returns the files with secrets that every user of this machine may read, in
// the order of the settings. A file that cannot be inspected is left out: reading it
// fails with an error of its own.
func (c *Config) OpenFiles() []string {
	var open []string
	for _, s := range c.settings() {
		var file string
		switch field := s.field.(type) {
		case *secret.Source:
			file = field.File()
		case *string:
			if slices.Contains(holdsSecret, s.key) {
				file = *field
			}
		}
		if file == "" {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 && !slices.Contains(open, file) {
			open = append(open, file)
		}
	}
	return open
}
