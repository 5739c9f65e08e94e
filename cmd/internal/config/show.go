package config

import (
	"fmt"

	"github.com/spf13/pflag"

	"backhaul/cmd/internal/secret"
	"backhaul/cmd/internal/serverurl"
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

// Show returns all settings. Those with a wrong value have their default, and are in
// the [*Error].
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

// shown returns the value of the field for display, masked if it is a secret.
func (s setting) shown() string {
	switch field := s.field.(type) {
	case *string:
		switch {
		case s.url && s.list:
			return serverurl.Mask(*field)
		case s.url:
			return serverurl.MaskOne(*field)
		}
		return *field
	case *secret.Source:
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
