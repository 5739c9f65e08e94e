package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"backhaul/consumer"
	"backhaul/vendorapi"
)

// Group is a set of settings that a command takes as flags.
type Group string

// The groups. Every command reads all settings from the environment, but has
// flags only for those that it uses.
const (
	GroupNATS     Group = "nats"     // join a server
	GroupEmbedded Group = "embedded" // run one, and make streams
	GroupVendor   Group = "vendor"
	GroupWork     Group = "work"
	GroupAdmin    Group = "admin"
	GroupLog      Group = "log"
)

// setting is one value, its names and how it is checked.
type setting struct {
	group Group
	flag  string // "" for a secret, which must not be seen in a list of processes
	key   string // its place in a configuration file, section and name
	env   string
	usage string
	// field is the *string, *int, *bool, *time.Duration or *secret to set.
	field any
	// fallback is the default, as it would be written.
	fallback string
	// oneOf lists the values that a string may have, if not any.
	oneOf []string
	// least is the smallest allowed number or duration.
	least int64
}

func (c *Config) settings() []setting {
	const s = int64(time.Second)
	n, v, w, l := &c.NATS, &c.Vendor, &c.Work, &c.Log
	return []setting{
		{group: GroupNATS, flag: "nats", key: "nats.url", env: "BACKHAUL_NATS_URL", field: &n.URL, usage: "NATS server to join, `URL`[,URL]; without it an embedded server is started"},
		{group: GroupNATS, flag: "nats-creds", key: "nats.creds", env: "BACKHAUL_NATS_CREDS", field: &n.Creds, usage: "NATS credentials `file`"},
		{group: GroupNATS, flag: "nats-inbox-prefix", key: "nats.inboxPrefix", env: "BACKHAUL_NATS_INBOX_PREFIX", field: &n.InboxPrefix, usage: "`prefix` of reply subjects", fallback: "_INBOX"},
		{group: GroupEmbedded, flag: "nats-listen", key: "nats.listen", env: "BACKHAUL_NATS_LISTEN", field: &n.Listen, usage: "`address` of the embedded server", fallback: "127.0.0.1:4222"},
		{group: GroupEmbedded, flag: "store-dir", key: "nats.storeDir", env: "BACKHAUL_STORE_DIR", field: &n.StoreDir, usage: "`directory` of the embedded server's streams", fallback: defaultStoreDir()},
		{group: GroupEmbedded, flag: "provision", key: "nats.provision", env: "BACKHAUL_NATS_PROVISION", field: &n.Provision, usage: "make streams and consumers that are missing", fallback: "true"},
		{group: GroupEmbedded, flag: "replicas", key: "nats.replicas", env: "BACKHAUL_NATS_REPLICAS", field: &n.Replicas, usage: "replicas of new streams, 0 means 3 in a cluster and else 1", fallback: "0"},

		{group: GroupVendor, flag: "vendor-endpoint", key: "vendor.endpoint", env: "BACKHAUL_VENDOR_ENDPOINT", field: &v.Endpoint, usage: "base `URL` of the Commvault API"},
		{group: GroupVendor, flag: "vendor-insecure-http", key: "vendor.insecureHTTP", env: "BACKHAUL_VENDOR_INSECURE_HTTP", field: &v.InsecureHTTP, usage: "allow plain http to a vendor that is not on this machine", fallback: "false"},
		{group: GroupVendor, flag: "vendor-ca", key: "vendor.ca", env: "BACKHAUL_VENDOR_CA", field: &v.CA, usage: "PEM `file` with the only roots to trust"},
		{group: GroupVendor, flag: "vendor-auth", key: "vendor.auth", env: "BACKHAUL_VENDOR_AUTH", field: &v.Auth, usage: "how calls are authorised", fallback: vendorapi.AuthLogin, oneOf: []string{vendorapi.AuthLogin, vendorapi.AuthToken, vendorapi.AuthBearer}},
		{group: GroupVendor, flag: "vendor-username", key: "vendor.username", env: "BACKHAUL_VENDOR_USERNAME", field: &v.Username, usage: "Commvault `user`"},
		{group: GroupVendor, key: "vendor.password", env: "BACKHAUL_VENDOR_PASSWORD", field: &v.Password},
		{group: GroupVendor, key: "vendor.token", env: "BACKHAUL_VENDOR_TOKEN", field: &v.Token},
		{group: GroupVendor, flag: "vendor-token-pair-file", key: "vendor.tokenPairFile", env: "BACKHAUL_VENDOR_TOKEN_PAIR_FILE", field: &v.TokenPairFile, usage: "`file` with an access token and its refresh token, shared by all replicas and rewritten"},
		{group: GroupVendor, flag: "vendor-format", key: "vendor.format", env: "BACKHAUL_VENDOR_FORMAT", field: &v.Format, usage: "how CreateTask is written", fallback: vendorapi.FormatXML, oneOf: []string{vendorapi.FormatXML, vendorapi.FormatJSON}},
		{group: GroupVendor, flag: "vendor-timeout", key: "vendor.timeout", env: "BACKHAUL_VENDOR_TIMEOUT", field: &v.Timeout, usage: "of one call", fallback: "30s", least: s / 10},
		{group: GroupVendor, flag: "vendor-retry-budget", key: "vendor.retryBudget", env: "BACKHAUL_VENDOR_RETRY_BUDGET", field: &v.RetryBudget, usage: "how long one delivery tries before the request is postponed", fallback: "30s", least: s / 10},
		{group: GroupVendor, flag: "vendor-visibility-window", key: "vendor.visibilityWindow", env: "BACKHAUL_VENDOR_VISIBILITY_WINDOW", field: &v.VisibilityWindow, usage: "how long the vendor may take to list a job that it started", fallback: "60s", least: s / 10},
		{group: GroupVendor, flag: "vendor-look-after", key: "vendor.lookAfter", env: "BACKHAUL_VENDOR_LOOK_AFTER", field: &v.LookAfter, usage: "how long an answer may take before its job is looked for, 0 means never", fallback: "5s"},
		{group: GroupVendor, flag: "starts-per-hour", key: "vendor.startsPerHour", env: "BACKHAUL_STARTS_PER_HOUR", field: &v.StartsPerHour, usage: "most jobs started in an hour by one replica, 0 means no limit", fallback: "0"},
		{group: GroupVendor, flag: "starts-per-second", key: "vendor.startsPerSecond", env: "BACKHAUL_STARTS_PER_SECOND", field: &v.StartsPerSecond, usage: "most jobs started in a second by one replica, 0 means no limit", fallback: "0"},

		{group: GroupWork, flag: "max-in-flight", key: "work.maxInFlight", env: "BACKHAUL_MAX_IN_FLIGHT", field: &w.MaxInFlight, usage: "requests at the vendor at once", fallback: "64", least: 1},
		{group: GroupWork, flag: "give-up-after", key: "work.giveUpAfter", env: "BACKHAUL_GIVE_UP_AFTER", field: &w.GiveUpAfter, usage: "age at which a request that cannot reach the vendor fails", fallback: "24h", least: s},
		{group: GroupWork, flag: "drain-timeout", key: "work.drainTimeout", env: "BACKHAUL_DRAIN_TIMEOUT", field: &w.DrainTimeout, usage: "how long work may go on after a stop", fallback: "25s", least: 1},
		{group: GroupWork, flag: "in-doubt", key: "work.inDoubt", env: "BACKHAUL_IN_DOUBT", field: &w.InDoubt, usage: "a request whose job is not to be seen after a lost answer", fallback: consumer.InDoubtReconcile, oneOf: []string{consumer.InDoubtReconcile, consumer.InDoubtFail}},
		{group: GroupWork, flag: "policy-file", key: "work.policyFile", env: "BACKHAUL_POLICY_FILE", field: &w.PolicyFile, usage: "YAML `file` that says who may back up what; without it everybody may everything"},

		{group: GroupAdmin, flag: "admin-addr", key: "admin.addr", env: "BACKHAUL_ADMIN_ADDR", field: &c.Admin.Addr, usage: "`address` of the console page, /livez and /readyz, or off", fallback: "127.0.0.1:9090"},
		{group: GroupAdmin, key: "admin.token", env: "BACKHAUL_ADMIN_TOKEN", field: &c.Admin.Token},
		{group: GroupAdmin, flag: "admin-command-center-url", key: "admin.commandCenterURL", env: "BACKHAUL_ADMIN_COMMAND_CENTER_URL", field: &c.Admin.CommandCenterURL, usage: "`URL` of a job in the Command Center, with {jobId} in it, for the links of the console page"},

		{group: GroupLog, flag: "log-level", key: "log.level", env: "BACKHAUL_LOG_LEVEL", field: &l.Level, usage: "least `level` that is logged", fallback: "info", oneOf: []string{"debug", "info", "warn", "error"}},
		{group: GroupLog, flag: "log-format", key: "log.format", env: "BACKHAUL_LOG_FORMAT", field: &l.Format, usage: "auto is console on a terminal, else json", fallback: "auto", oneOf: []string{"auto", "console", "json"}},
	}
}

// AddFlags adds the flags of some groups.
func AddFlags(flags *pflag.FlagSet, groups ...Group) {
	for _, s := range new(Config).settings() {
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

// Load reads every setting. flags may lack any of them. The error is an
// [*Error].
func Load(flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) (*Config, error) {
	c := new(Config)
	var e Error
	for _, s := range c.settings() {
		text, origin := s.fallback, "default"
		if value, ok := lookupEnv(s.env); ok && value != "" {
			text, origin = value, s.env
		}
		if flag := flags.Lookup(s.flag); s.flag != "" && flag != nil && flag.Changed {
			text, origin = flag.Value.String(), "--"+s.flag
		}
		var err error
		if field, ok := s.field.(*secret); ok {
			err = field.load(text, s.env, lookupEnv)
		} else {
			err = s.set(text)
		}
		if err != nil {
			e.Problems = append(e.Problems, fmt.Sprintf("%s: %v", origin, err))
		}
	}
	if len(e.Problems) > 0 {
		return nil, &e
	}
	return c, nil
}

// load takes a secret from the environment, where its twin with _FILE names a
// file that holds it.
func (s *secret) load(text, env string, lookupEnv func(string) (string, bool)) error {
	file, _ := lookupEnv(env + "_FILE")
	if text != "" && file != "" {
		return fmt.Errorf("is given twice, here and in %s_FILE; keep one", env)
	}
	s.value, s.file = vendorapi.Secret(text), file
	return nil
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
