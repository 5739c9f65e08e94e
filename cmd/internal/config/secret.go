package config

import (
	"fmt"
	"strings"

	"backhaul/schemas/bounded"
	"backhaul/vendorapi"
)

// secret is where a secret is to be had. It never holds the secret of a file,
// which is read anew each time it is needed, so that a replaced file is found.
type secret struct {
	value vendorapi.Secret
	file  string
}

// Format shows at most the file's name, whatever the verb.
func (s secret) Format(f fmt.State, _ rune) {
	switch {
	case s.file != "":
		fmt.Fprintf(f, "(in %s)", s.file)
	case s.value != "":
		fmt.Fprint(f, "***")
	}
}

// Given tells whether there is one at all.
func (s secret) Given() bool { return s.value != "" || s.file != "" }

// Read is the secret as it is now.
func (s secret) Read() (vendorapi.Secret, error) {
	if s.file == "" {
		return s.value, nil
	}
	data, err := bounded.ReadText(s.file, bounded.Small)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		return "", fmt.Errorf("read secret: %s is empty", s.file)
	}
	return vendorapi.Secret(value), nil
}
