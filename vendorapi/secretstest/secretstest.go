// Package secretstest holds the one assertion that no password and no token is
// shown in an error, a log or a dump, in whatever way it is formatted or encoded.
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

// NotShown fails the test if a secret occurs in anything that is shown of the
// values: text as it is, everything else by the verbs of fmt and as JSON, errors
// with all that they wrap. Secrets are found in plain text, escaped for Go,
// JSON, HTML and URLs, and in hexadecimal and Base64, also inside longer text.
// Empty secrets are left out.
func NotShown(t testing.TB, secrets []string, values ...any) {
	t.Helper()
	texts := shown(values)
	for i, secret := range secrets {
		for _, form := range forms(secret) {
			for _, text := range texts {
				if at := strings.Index(text, form); at >= 0 {
					// Who reads this needs the place more than we need the secret kept: it is a test's.
					t.Errorf("secret %d, as %q, is shown: …%s…", i, form, text[max(0, at-80):min(len(text), at+len(form)+80)])
				}
			}
		}
	}
}

// shown is every text that the values may end up as.
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

// shortest is the length from which on a secret's encoded forms are looked for:
// those of a few characters are found in any random text.
const shortest = 6

// forms is how a secret may be written.
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
				return // found already
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
	// Base64 of a text that has the secret in it depends on how many bytes are
	// before it. What the neighbours change is cut off at both ends.
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			core := encoding.EncodeToString(padded[:len(padded)/3*3])
			add(core[[]int{0, 2, 3}[before]:])
		}
	}
	return all
}
