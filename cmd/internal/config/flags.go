package config

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// The configuration file is the one thing that cannot be set in itself.
const (
	fileFlag = "config"
	fileEnv  = "BACKHAUL_CONFIG"
)

// allSettings has every setting, for all commands of the process.
var allSettings = sync.OnceValue(func() []setting { return new(Config).settings() })

// AddFlags adds the flags of some groups, and the one for a configuration file.
func AddFlags(flags *pflag.FlagSet, groups ...Group) {
	flags.String(fileFlag, "", "YAML `file` with settings ("+fileEnv+")")
	for _, s := range allSettings() {
		if s.flag == "" || !slices.Contains(groups, s.group) {
			continue
		}
		usage := s.usage
		if s.oneOf != nil {
			usage += ": `" + strings.Join(s.oneOf, "|") + "`"
		}
		usage += " (" + s.env + ")"
		switch s.field.(type) {
		case *bool:
			flags.Bool(s.flag, s.fallback == "true", usage)
		case *int:
			n, _ := strconv.Atoi(s.fallback)
			flags.Int(s.flag, n, usage)
		case *time.Duration:
			d, _ := time.ParseDuration(s.fallback)
			flags.Duration(s.flag, d, usage)
		default:
			flags.String(s.flag, s.fallback, usage)
		}
	}
}

// AddFlag adds the flag of one setting that is a text, with a usage that fits the command.
// A setting without this flag is a mistake in the code: it panics.
func AddFlag(flags *pflag.FlagSet, name, usage string) {
	for _, s := range allSettings() {
		if s.flag == name {
			flags.String(name, s.fallback, usage+" ("+s.env+")")
			return
		}
	}
	panic("no setting has the flag --" + name)
}
