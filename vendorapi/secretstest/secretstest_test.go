package secretstest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

const secret = "Tr0ub4dor&3 hünter2"

// failures counts errors instead of failing a test.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

type hidden struct{ password string }

func (hidden) String() string { return "***" }

type carrier struct{ err error }

func (carrier) Error() string   { return "failed" }
func (c carrier) Unwrap() error { return c.err }

func TestNotShown_FindsEveryForm(t *testing.T) {
	for name, value := range map[string]any{
		"text":              "password " + secret,
		"bytes":             []byte(secret),
		"error":             errors.New(secret),
		"wrapped":           fmt.Errorf("login: %w", errors.New(secret)),
		"wrapped, unspoken": carrier{errors.New(secret)},
		"joined":            carrier{errors.Join(errors.New("a"), carrier{errors.New(secret)})},
		"field":             struct{ Password string }{secret},
		"hidden from %v":    hidden{secret}, // %#v shows it
		"JSON":              `{"p":"Tr0ub4dor\u00263 hünter2"}`,
		"URL":               "http://u:" + url.QueryEscape(secret) + "@h",
		"user info":         (&url.URL{Scheme: "nats", User: url.UserPassword("u", secret), Host: "h"}).String(),
		"HTML":              "Tr0ub4dor&amp;3 hünter2",
		"quoted":            fmt.Sprintf("%+q", secret),
		"hex":               fmt.Sprintf("%x", secret),
		"HEX":               fmt.Sprintf("%X", secret),
		"base64":            base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64url":         base64.URLEncoding.EncodeToString([]byte(secret)),
		"basic":             base64.StdEncoding.EncodeToString([]byte("u:" + secret + ":x")),
		"basic, one more":   base64.StdEncoding.EncodeToString([]byte("us:" + secret + ":x")),
		"basic, two more":   base64.StdEncoding.EncodeToString([]byte("user:" + secret + ":xy")),
		"list":              []any{1, map[string]string{"a": secret}},
	} {
		f := &failures{TB: t}
		NotShown(f, []string{"", "another", secret}, "harmless", value)
		if f.n == 0 {
			t.Errorf("%s: not found in %v", name, value)
		}
	}
}

func TestNotShown_IgnoresHarmlessText(t *testing.T) {
	f := &failures{TB: t}
	NotShown(f, []string{"", secret, "QSDK"}, nil, "", "Tr0ub4dor", errors.New("VQSD"), bytes.NewBufferString("x"), struct{}{}, carrier{})
	if f.n > 0 {
		t.Errorf("%d findings in harmless text", f.n)
	}
}

func TestEveryFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(".", name), []byte("package x\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("direct_test.go", `func TestA(t *testing.T) { secretstest.NotShown(t, nil) }`)
	write("helper_test.go", `func check() { for { again() } }; func again() { secretstest.NotShown(nil, nil); check() }`)
	write("indirect_test.go", `func TestB(t *testing.T) { check() }; func TestC(t *testing.T) {}`)
	write("value_test.go", `func FuzzD(f *testing.F) { f.Fuzz(check) }`)
	write("main_test.go", `func TestMain(m *testing.M) {}; func BenchmarkX(b *testing.B) {}`)
	f := &failures{TB: t}
	if EveryFile(f); f.n != 0 {
		t.Errorf("%d findings, want none", f.n)
	}
	write("careless_test.go", `func TestE(t *testing.T) { other() }; func other() { other() }`)
	if EveryFile(f); f.n != 1 {
		t.Errorf("%d findings, want the one careless file", f.n)
	}
}
