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
		if s.url {
			return Masked(*field)
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

// Masked is a list of URLs without their users, passwords and tokens.
func Masked(urls string) string {
	list := strings.Split(urls, ",")
	for i, raw := range list {
		u, err := url.Parse(strings.TrimSpace(raw))
		switch {
		case err != nil:
			list[i] = "(not a URL)"
		case u.User != nil:
			u.User = url.User("xxxxx")
			list[i] = u.String()
		}
	}
	return strings.Join(list, ",")
}

// isURL tells whether a text can be a server's.
func isURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Host != "" || u.Opaque != "" || u.Path != "")
}

// hasUser tells whether one of the URLs may have a user, password or token in it.
func hasUser(urls string) bool {
	for raw := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(raw)); err != nil && strings.Contains(raw, "@") || err == nil && u.User != nil {
			return true
		}
	}
	return false
}
