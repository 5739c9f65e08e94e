// Package secret reads secrets from settings or from files.
//
// A [Source] never holds the secret of a file: the file is read each time that the secret
// is needed, so a replaced file takes effect without a restart. Formatting a Source shows
// the name of its file or asterisks, never the secret. A Source is safe for concurrent use.
package secret

import (
	"fmt"
	"strings"

	"backhaul/schemas/bounded"
)

// Source is a secret, or the file that has it. The zero Source has no secret.
type Source struct {
	value string
	file  string
}

// Of returns the source of a secret that is known.
func Of(value string) Source { return Source{value: value} }

// InFile returns the source of a secret that a file has.
func InFile(name string) Source { return Source{file: name} }

// Format writes the name of the file or asterisks, for every verb.
func (s Source) Format(f fmt.State, _ rune) {
	switch {
	case s.file != "":
		fmt.Fprintf(f, "(in %s)", s.file)
	case s.value != "":
		fmt.Fprint(f, "***")
	}
}

// File returns the name of the file, "" if the secret is not in a file.
func (s Source) File() string { return s.file }

// Given reports whether there is a secret.
func (s Source) Given() bool { return s.value != "" || s.file != "" }

// Read returns the secret as it is now, "" if there is none.
func (s Source) Read() (string, error) {
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
	return value, nil
}
