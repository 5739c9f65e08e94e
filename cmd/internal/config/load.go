package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"backhaul/cmd/internal/secret"
)

// Load reads every setting. flags may lack any of them; environ is a list as
// os.Environ returns it. The error is an [*Error] with everything that is wrong.
func Load(flags *pflag.FlagSet, environ []string) (*Config, error) {
	c, problems := read(flags, environ)
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return c, nil
}

// read is like Load, but continues after a problem and keeps the default of that
// setting.
func read(flags *pflag.FlagSet, environ []string) (*Config, []string) {
	c := new(Config)
	settings := c.settings()
	env := newEnvironment(environ)
	from := sources{flags: flags, lookupEnv: env.lookup, credentials: env["CREDENTIALS_DIRECTORY"]}
	if name := from.fileName(); name != "" {
		from.file = readFile(name, settings)
		c.unknown = from.file.broken
	}
	problems := append(env.problems(settings), from.file.problems...)
	for _, s := range settings {
		g, err := from.find(s)
		if err == nil {
			err = s.assign(g)
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", g.prefix, err))
			g = given{text: s.fallback, origin: originDefault}
			_ = s.assign(g)
		}
		c.origins = append(c.origins, g.origin)
	}
	c.NATS.locate = c.locate
	return c, append(problems, c.joinNATS(from, settings)...)
}

const (
	originDefault = "default"
	originContext = "context " // and its name
)

// given is a value with where it came from.
type given struct {
	text string
	// inFile reports that the text names a file that has the secret.
	inFile bool
	origin string
	// prefix is what a problem with the value begins with.
	prefix string
}

// sources are where values come from, the strongest last: the file, the
// environment, the flags; and, for secrets only, the weakest of all, the
// directory that systemd makes for a service's credentials.
type sources struct {
	file        file
	lookupEnv   func(string) (string, bool)
	flags       *pflag.FlagSet
	credentials string
}

func (from sources) fileName() string {
	if flag := from.flags.Lookup(fileFlag); flag != nil && flag.Changed {
		return flag.Value.String()
	}
	name, _ := from.lookupEnv(fileEnv)
	return name
}

// find returns the value of the strongest source. With an error, the prefix of the
// value names its source.
func (from sources) find(s setting) (given, error) {
	g := given{text: s.fallback, origin: originDefault}
	if s.secret() && from.credentials != "" {
		if file := filepath.Join(from.credentials, s.key); isFile(file) {
			g = given{text: file, inFile: true, origin: "$CREDENTIALS_DIRECTORY/" + s.key}
		}
	}
	if e, ok := from.file.entries[s.key]; ok {
		origin := fmt.Sprintf("%s:%d", from.file.name, e.line)
		name := s.key
		if e.inFile {
			name = fileKey(s.key)
		}
		g = given{text: e.text, inFile: e.inFile, origin: origin, prefix: origin + ": " + name}
	}
	if value, ok := from.lookupEnv(s.env); ok && value != "" {
		g = given{text: value, origin: s.env, prefix: s.env}
	}
	if s.secret() {
		variant := s.env + "_FILE"
		if value, ok := from.lookupEnv(variant); ok && value != "" {
			if g.origin == s.env {
				return g, fmt.Errorf("is given twice, here and in %s; keep one", variant)
			}
			g = given{text: value, inFile: true, origin: variant, prefix: variant}
		}
	} else if flag := from.flags.Lookup(s.flag); s.flag != "" && flag != nil && flag.Changed {
		g = given{text: flag.Value.String(), origin: "--" + s.flag, prefix: "--" + s.flag}
	}
	if s.reads || g.inFile {
		g.text = expanded(g.text, from.lookupEnv)
	}
	if (s.reads || g.inFile) && g.text != "" && from.credentials != "" && !strings.ContainsRune(g.text, '/') {
		g.text = filepath.Join(from.credentials, g.text)
	}
	return g, nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// secret reports whether the setting is a secret.
func (s setting) secret() bool {
	_, ok := s.field.(*secret.Source)
	return ok
}

// assign sets the field, or returns why the value is not allowed.
func (s setting) assign(g given) error {
	if field, ok := s.field.(*secret.Source); ok {
		if g.inFile {
			*field = secret.InFile(g.text)
		} else {
			*field = secret.Of(g.text)
		}
		return nil
	}
	return s.set(g.text)
}

func (s setting) set(text string) error {
	switch field := s.field.(type) {
	case *string:
		if s.oneOf != nil && !slices.Contains(s.oneOf, text) {
			return fmt.Errorf("is %q, must be one of %s", text, strings.Join(s.oneOf, ", "))
		}
		*field = text
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("is %q, must be true or false", text)
		}
		*field = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || int64(n) < s.least {
			return fmt.Errorf("is %q, must be a whole number of at least %d", text, s.least)
		}
		*field = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || int64(d) < s.least {
			return fmt.Errorf("is %q, must be a duration such as 30s, at least %s", text, time.Duration(s.least))
		}
		*field = d
	}
	return nil
}
