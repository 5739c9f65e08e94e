// Package secretstest asserts in tests that errors, logs and dumps do not contain
// passwords or tokens, in any format or encoding.
package secretstest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// NotShown fails the test if a secret occurs in an output of the values: text as it is,
// other values by the verbs of fmt and as JSON, errors with everything that they wrap.
// Secrets are found in plain text, escaped for Go, JSON, HTML and URLs, and in
// hexadecimal and Base64, also inside longer text. Empty secrets are ignored.
func NotShown(t testing.TB, secrets []string, values ...any) {
	t.Helper()
	texts := shown(values)
	for i, secret := range secrets {
		for _, form := range forms(secret) {
			for _, text := range texts {
				if at := strings.Index(text, form); at >= 0 {
					// The secret is only a test's. Showing it helps to find where it leaks.
					t.Errorf("secret %d, as %q, is shown: …%s…", i, form, text[max(0, at-80):min(len(text), at+len(form)+80)])
				}
			}
		}
	}
}

// shown returns every text as which the values may be output.
func shown(values []any) []string {
	var texts []string
	for _, value := range values {
		switch v := value.(type) {
		case nil:
		case string:
			texts = append(texts, v)
		case []byte:
			texts = append(texts, string(v))
		default:
			texts = append(texts, fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%q", v))
			if data, err := json.Marshal(v); err == nil {
				texts = append(texts, string(data))
			}
			if err, ok := v.(error); ok {
				texts = append(texts, shown(wrapped(err))...)
			}
		}
	}
	return texts
}

func wrapped(err error) []any {
	var inner []any
	switch e := err.(type) { //nolint:errorlint // it walks the chain itself, to see every text in it
	case interface{ Unwrap() error }:
		if next := e.Unwrap(); next != nil {
			inner = append(inner, next)
		}
	case interface{ Unwrap() []error }:
		for _, next := range e.Unwrap() {
			inner = append(inner, next)
		}
	}
	return inner
}

// shortest is the minimum length of a secret whose encoded forms are searched for. Shorter
// encoded forms occur in random text.
const shortest = 6

// forms returns the encoded forms of a secret.
func forms(secret string) []string {
	if secret == "" {
		return nil
	}
	all := []string{secret}
	if len(secret) < shortest {
		return all
	}
	add := func(form string) {
		for _, known := range all {
			if strings.Contains(form, known) {
				return // found by the known form
			}
		}
		all = append(all, form)
	}
	quoted, _ := json.Marshal(secret) // a string always marshals
	add(strings.Trim(string(quoted), `"`))
	for _, literal := range []string{strconv.Quote(secret), strconv.QuoteToASCII(secret)} {
		add(literal[1 : len(literal)-1])
	}
	add(html.EscapeString(secret))
	add(url.QueryEscape(secret))
	add(url.PathEscape(secret))
	add(url.UserPassword("", secret).String()[1:])
	digits := hex.EncodeToString([]byte(secret))
	add(digits)
	add(strings.ToUpper(digits))
	// The Base64 of a text that contains the secret depends on the number of bytes before
	// it. The characters that also depend on neighbouring bytes are cut off at both ends.
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			core := encoding.EncodeToString(padded[:len(padded)/3*3])
			add(core[[]int{0, 2, 3}[before]:])
		}
	}
	return all
}
