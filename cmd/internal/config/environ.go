package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"

	"backhaul/cmd/internal/strictyaml"
	"backhaul/schemas"
)

// envPrefix begins the name of every environment variable that is a setting.
const envPrefix = "BACKHAUL_"

// environment is the variables of a process, by name.
type environment map[string]string

// newEnvironment reads a list as os.Environ returns it.
func newEnvironment(environ []string) environment {
	env := make(environment, len(environ))
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	return env
}

func (env environment) lookup(name string) (string, bool) {
	value, ok := env[name]
	return value, ok
}

// foreignEnv are variables with our prefix that other programs read:
// deploy/compose/compose.yaml takes its image from one.
var foreignEnv = []string{"BACKHAUL_IMAGE"}

// problems returns the variables that look like settings but are unknown. A variable
// without a value sets nothing. A problem never shows a value, which may be a secret.
func (env environment) problems(settings []setting) []string {
	known := make(map[string]bool)
	for _, name := range append([]string{fileEnv}, foreignEnv...) {
		known[name] = true
	}
	for _, s := range settings {
		known[s.env] = true
		if s.secret() {
			known[s.env+"_FILE"] = true
		}
	}
	var problems []string
	for name, value := range env {
		if value == "" || known[name] {
			continue
		}
		first, rest, _ := strings.Cut(name, "_")
		near := ""
		switch {
		case !strings.HasPrefix(name, envPrefix):
			// Only the prefix is wrong, or the case of letters. Other variables are not ours.
			near = envPrefix + strings.ToUpper(rest)
			if schemas.Nearest(first+"_", []string{envPrefix}) == "" || !known[near] {
				continue
			}
		case ofKubernetes(name, value):
			continue
		default:
			near = nearestEnv(rest, settings)
		}
		if near != "" {
			near = ", did you mean " + near + "?"
		}
		problems = append(problems, fmt.Sprintf("%s: unknown environment variable%s", printable(name), near))
	}
	slices.Sort(problems)
	if len(problems) > strictyaml.MaxProblems {
		problems = append(problems[:strictyaml.MaxProblems], "and more environment variables")
	}
	return problems
}

// nearestEnv returns the variable that was probably meant by the name behind the
// prefix, "" if none is near. The name may be that of the key in a file or of the
// flag, or lack the section.
func nearestEnv(rest string, settings []setting) string {
	env := map[string]string{strings.TrimPrefix(fileEnv, envPrefix): fileEnv}
	var names []string
	add := func(name, variable string) {
		if _, ok := env[name]; !ok && name != "" {
			env[name] = variable
			names = append(names, name)
		}
	}
	names = append(names, strings.TrimPrefix(fileEnv, envPrefix))
	for _, s := range settings {
		add(strings.TrimPrefix(s.env, envPrefix), s.env)
		if s.secret() {
			add(strings.TrimPrefix(s.env, envPrefix)+"_FILE", s.env+"_FILE")
		}
	}
	for _, s := range settings {
		add(strings.ReplaceAll(s.key, ".", "_"), s.env)
		add(s.flag, s.env)
	}
	for _, s := range settings {
		_, name, _ := strings.Cut(s.key, ".")
		add(name, s.env)
	}
	return env[schemas.Nearest(rest, names)]
}

// serviceEnv matches the names of the variables that Kubernetes gives a container for
// each service: the service's name, and which part of its address the variable has.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceEnv = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^BACKHAUL(?:_[A-Z0-9_]+?)??_(?:(SERVICE_HOST)|(SERVICE_PORT)(?:_[A-Z0-9_]+)?|(PORT)|(PORT)_[0-9]+_(?:TCP|UDP|SCTP)|PORT_[0-9]+_(?:TCP|UDP|SCTP)_(?:(PROTO)|(PORT)|(ADDR)))$`)
})

var (
	number     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]{1,5}$`) })
	serviceURL = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:tcp|udp|sctp)://[^/]+:[0-9]{1,5}$`) })
	protocol   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:tcp|udp|sctp)$`) })
)

// ofKubernetes reports whether a variable is that of a Kubernetes service whose name
// begins with backhaul. The value must fit as well: BACKHAUL_ADMIN_PORT=9090 is a
// setting that a user guessed.
func ofKubernetes(name, value string) bool {
	m := serviceEnv().FindStringSubmatch(name)
	if m == nil {
		return false
	}
	switch {
	case m[1] != "" || m[7] != "":
		return net.ParseIP(value) != nil
	case m[2] != "" || m[6] != "":
		return number().MatchString(value)
	case m[5] != "":
		return protocol().MatchString(value)
	}
	return serviceURL().MatchString(value)
}
