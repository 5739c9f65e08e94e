package vendorapi

import (
	"bytes"
	"fmt"
)

// Secret is text that must not be shown. Formatting it in any way shows "***".
type Secret string

func (Secret) String() string               { return "***" }
func (Secret) GoString() string             { return "***" }
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Format covers the verbs that do not call String, such as %d.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// hidden returns the text without a secret. A secret of a few bytes is not removed: it would match
// by chance, and could cut ids in two.
func hidden(body []byte, secret string) []byte {
	if len(secret) < 8 || !bytes.Contains(body, []byte(secret)) {
		return body
	}
	return bytes.ReplaceAll(body, []byte(secret), []byte("***"))
}
