package config

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/pflag"
)

// Value is one setting as it is, for people to read.
type Value struct {
	Key string `json:"key"`
	// Value is masked where it is a secret: *** or (in FILE).
	Value string `json:"value"`
	// Origin is "default", FILE:LINE, an environment variable, a flag,
	// $CREDENTIALS_DIRECTORY/NAME, or a context of the nats command.
	Origin string `json:"origin"`
	Env    string `json:"env"`
	Flag   string `json:"flag,omitempty"`
}

// Show reads the settings and tells all of them, also those that are wrong: they
// have their default, and are in the [*Error].
func Show(flags *pflag.FlagSet, environ []string) ([]Value, error) {
	c, problems := read(flags, environ)
	var values []Value
	for i, s := range c.settings() {
		v := Value{Key: s.key, Value: s.shown(), Origin: c.origins[i], Env: s.env}
		if s.flag != "" {
			v.Flag = "--" + s.flag
		}
		values = append(values, v)
	}
	if len(problems) > 0 {
		return values, &Error{Problems: problems}
	}
	return values, nil
}

// shown is the field's value for people.
func (s setting) shown() string {
	switch field := s.field.(type) {
	case *string:
		switch {
		case s.url && s.list:
			return Masked(*field)
		case s.url:
			return maskedURL(*field)
		}
		return *field
	case *secret:
		return fmt.Sprint(*field)
	case interface{ String() string }: // a duration
		return field.String()
	case *int:
		return fmt.Sprint(*field)
	case *bool:
		return fmt.Sprint(*field)
	}
	return ""
}

// Masked is a list of servers without their users, passwords, tokens and queries.
func Masked(urls string) string {
	list := strings.Split(urls, ",")
	for i, raw := range list {
		list[i] = maskedURL(strings.TrimSpace(raw))
	}
	return strings.Join(list, ",")
}

// maskedURL returns one URL without its user, query and fragment. A fragment that is a
// path stays: the Command Center's pages have one.
func maskedURL(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := parseServer(raw)
	if err != nil {
		return "(not a URL)"
	}
	raw, fragment, hasFragment := strings.Cut(raw, "#")
	raw, _, hasQuery := strings.Cut(raw, "?")
	if u.User != nil {
		scheme, rest := "", raw
		if before, after, ok := strings.Cut(raw, "://"); ok {
			scheme, rest = before+"://", after
		}
		authority, path, hasPath := strings.Cut(rest, "/")
		raw = scheme + "xxxxx" + authority[strings.LastIndexByte(authority, '@'):]
		if hasPath {
			raw += "/" + path
		}
	}
	if hasQuery {
		raw += "?xxxxx"
	}
	switch {
	case hasFragment && strings.HasPrefix(fragment, "/"):
		raw += "#" + fragment
	case hasFragment:
		raw += "#xxxxx"
	}
	return raw
}

// parseServer parses a URL that may lack its scheme, as the nats command takes it.
func parseServer(raw string) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	if !strings.Contains(raw, "://") {
		raw = "nats://" + raw
	}
	return url.Parse(raw)
}

// isServer reports whether a text can be a server's URL.
func isServer(raw string) bool {
	u, err := parseServer(raw)
	return err == nil && u.Hostname() != ""
}

// hasUser tells whether one of the URLs may have a user, password or token in it.
func hasUser(urls string) bool {
	for raw := range strings.SplitSeq(urls, ",") {
		if u, err := parseServer(raw); err != nil && strings.Contains(raw, "@") || err == nil && u.User != nil {
			return true
		}
	}
	return false
}
