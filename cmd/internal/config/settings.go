package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

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
	GroupTrigger  Group = "trigger"
	GroupStore    Group = "store" // where directive files are written
	GroupLog      Group = "log"
	GroupProfiles Group = "profiles" // of the process that has the admin listener
)

// AllGroups are the groups of all settings.
var AllGroups = []Group{GroupNATS, GroupEmbedded, GroupVendor, GroupWork, GroupFollow, GroupProtection, GroupAdmin, GroupProfiles, GroupTrigger, GroupStore, GroupArchive, GroupArchiver, GroupLog}

// setting is one value, its names and how it is checked.
type setting struct {
	group Group
	flag  string // "" for a secret, which must not be seen in a list of processes
	key   string // its place in a configuration file, section and name
	env   string
	usage string // what it is; in `backquotes`, what to write
	// field is the *string, *int, *bool, *time.Duration or *secret.Source to set.
	field any
	// fallback is the default, as it would be written.
	fallback string
	// oneOf lists the values that a string may have, if not any.
	oneOf []string
	// least is the smallest allowed number or duration.
	least int64
	// doc is what the reference says beyond the usage.
	doc string
	// reads: the value names a file that is only read. A name without a slash is
	// looked up in $CREDENTIALS_DIRECTORY, if there is one.
	reads bool
	// url: the value is a URL, or several, and may have a password in it.
	url bool
	// list: a file may have a sequence instead of one text with commas.
	list bool
}

// settings returns every setting, in the order of the reference.
func (c *Config) settings() []setting {
	return slices.Concat(c.NATS.settings(), c.Vendor.settings(), c.Work.settings(), c.Follow.settings(), c.Protection.settings(), c.Admin.settings(), c.Trigger.settings(), c.Archive.settings(), c.Log.settings())
}

func (n *NATS) settings() []setting {
	return []setting{
		{
			group: GroupNATS, key: "nats.url", env: "BACKHAUL_NATS_URL", flag: "nats",
			field: &n.URL, url: true, list: true,
			usage: "NATS server to join, `URL`[,URL]; without it, and without a context, run starts an embedded " +
				"server",
			doc: "As the nats command takes it: 127.0.0.1:4222 is nats://127.0.0.1:4222. nsc:// is refused; " +
				"`nsc generate creds` writes a file for nats.creds.",
		},
		{
			group: GroupNATS, key: "nats.context", env: "BACKHAUL_NATS_CONTEXT", flag: "nats-context",
			field: &n.Context,
			usage: "`name` of a context of the nats command, instead of a URL; " + SelectedContext + " is the selected one",
			doc: "It is read from $XDG_CONFIG_HOME/nats/context/NAME.json, or below ~/.config. Other settings " +
				"are stronger than what it says. Its nsc, socks_proxy, jetstream_domain, jetstream_api_prefix " +
				"and op:// are refused. The nats command's own NATS_CONTEXT is ignored.",
		},
		{
			group: GroupNATS, key: "nats.creds", env: "BACKHAUL_NATS_CREDS", flag: "nats-creds",
			field: &n.Auth.Creds, reads: true,
			usage: "`file` with the user's JWT and seed",
		},
		{
			group: GroupNATS, key: "nats.nkey", env: "BACKHAUL_NATS_NKEY", flag: "nats-nkey",
			field: &n.Auth.NKey, reads: true,
			usage: "`file` with the seed of a user's nkey",
		},
		{
			group: GroupNATS, key: "nats.user", env: "BACKHAUL_NATS_USER", flag: "nats-user",
			field: &n.Auth.User,
			usage: "NATS `user`",
		},
		{
			group: GroupNATS, key: "nats.password", env: "BACKHAUL_NATS_PASSWORD",
			field: &n.Auth.Password,
			usage: "the NATS user's password",
		},
		{
			group: GroupNATS, key: "nats.token", env: "BACKHAUL_NATS_TOKEN",
			field: &n.Auth.Token,
			usage: "NATS token",
		},
		{
			group: GroupNATS, key: "nats.ca", env: "BACKHAUL_NATS_CA", flag: "nats-ca",
			field: &n.TLS.CA, reads: true,
			usage: "PEM `file` with the only roots to trust for NATS",
		},
		{
			group: GroupNATS, key: "nats.cert", env: "BACKHAUL_NATS_CERT", flag: "nats-cert",
			field: &n.TLS.Cert, reads: true,
			usage: "PEM `file` with the client's certificate",
		},
		{
			group: GroupNATS, key: "nats.key", env: "BACKHAUL_NATS_KEY", flag: "nats-key",
			field: &n.TLS.Key, reads: true,
			usage: "PEM `file` with the key of the certificate",
		},
		{
			group: GroupNATS, key: "nats.tlsFirst", env: "BACKHAUL_NATS_TLS_FIRST", flag: "nats-tls-first",
			field: &n.TLS.First, fallback: "false",
			usage: "begin with the TLS handshake, for a server with handshake_first",
		},
		{
			group: GroupNATS, key: "nats.inboxPrefix", env: "BACKHAUL_NATS_INBOX_PREFIX", flag: "nats-inbox-prefix",
			field: &n.InboxPrefix, fallback: "_INBOX",
			usage: "`prefix` of reply subjects",
			doc:   "A user who may subscribe to nothing but its own replies needs the prefix that is allowed.",
		},
		{
			group: GroupEmbedded, key: "nats.listen", env: "BACKHAUL_NATS_LISTEN", flag: "nats-listen",
			field: &n.Embedded.Listen, fallback: "127.0.0.1:4222",
			usage: "`address` of the embedded server",
			doc:   "It has no authentication: keep it on loopback.",
		},
		{
			group: GroupEmbedded, key: "nats.storeDir", env: "BACKHAUL_STORE_DIR", flag: "store-dir",
			field: &n.Embedded.StoreDir, fallback: defaultStoreDir(),
			usage: "`directory` of the embedded server's streams",
			doc:   "One process at a time: a lock in it refuses a second one. A replica keeps in its directory `claims` what it has claimed and not sent, also if it joins another server and the directory exists.",
		},
		{
			group: GroupEmbedded, key: "nats.provision", env: "BACKHAUL_NATS_PROVISION", flag: "provision",
			field: &n.Provision, fallback: "true",
			usage: "make streams and consumers that are missing",
			doc: "If false they must be there, as deploy/streams has them, and the user needs no permission to " +
				"make any.",
		},
		{
			group: GroupEmbedded, key: "nats.replicas", env: "BACKHAUL_NATS_REPLICAS", flag: "replicas",
			field: &n.Replicas, fallback: "0",
			usage: "replicas of new streams, 0 means 3 in a cluster and else 1",
		},
	}
}

func (v *Vendor) settings() []setting {
	return []setting{
		{
			group: GroupVendor, key: "vendor.endpoint", env: "BACKHAUL_VENDOR_ENDPOINT", flag: "vendor-endpoint",
			field: &v.Endpoint, url: true,
			usage: "base `URL` of the Commvault API",
			doc:   "For example https://m6.metallic.io/webconsole/api.",
		},
		{
			group: GroupVendor, key: "vendor.insecureHTTP", env: "BACKHAUL_VENDOR_INSECURE_HTTP", flag: "vendor-insecure-http",
			field: &v.InsecureHTTP, fallback: "false",
			usage: "allow plain http to a vendor that is not on this machine",
			doc:   "The password and the token can then be read on the way.",
		},
		{
			group: GroupVendor, key: "vendor.ca", env: "BACKHAUL_VENDOR_CA", flag: "vendor-ca",
			field: &v.CA, reads: true,
			usage: "PEM `file` with the only roots to trust",
		},
		{
			group: GroupVendor, key: "vendor.auth", env: "BACKHAUL_VENDOR_AUTH", flag: "vendor-auth",
			field: &v.Auth, fallback: vendorapi.AuthLogin, oneOf: []string{vendorapi.AuthLogin, vendorapi.AuthToken, vendorapi.AuthBearer},
			usage: "how calls are authorised",
			doc: "login: with user and password. token: with an access token as it is. bearer: with an access " +
				"token that is renewed, from the token pair file.",
		},
		{
			group: GroupVendor, key: "vendor.username", env: "BACKHAUL_VENDOR_USERNAME", flag: "vendor-username",
			field: &v.Username,
			usage: "Commvault `user`",
		},
		{
			group: GroupVendor, key: "vendor.password", env: "BACKHAUL_VENDOR_PASSWORD",
			field: &v.Password,
			usage: "the Commvault user's password",
		},
		{
			group: GroupVendor, key: "vendor.token", env: "BACKHAUL_VENDOR_TOKEN",
			field: &v.Token,
			usage: "access token, for the mode token",
		},
		{
			group: GroupVendor, key: "vendor.tokenPairFile", env: "BACKHAUL_VENDOR_TOKEN_PAIR_FILE", flag: "vendor-token-pair-file",
			field: &v.TokenPairFile,
			usage: "`file` with an access token and its refresh token, shared by all replicas and rewritten",
			doc: "For the mode bearer: {\"accessToken\":\"…\",\"refreshToken\":\"…\"}, rewritten with each " +
				"renewal, so it and its directory must be writable.",
		},
		{
			group: GroupVendor, key: "vendor.format", env: "BACKHAUL_VENDOR_FORMAT", flag: "vendor-format",
			field: &v.Format, fallback: vendorapi.FormatXML, oneOf: []string{vendorapi.FormatXML, vendorapi.FormatJSON},
			usage: "how CreateTask is written",
			doc:   "xml is as on the vendor's page.",
		},
		{
			group: GroupVendor, key: "vendor.timeout", env: "BACKHAUL_VENDOR_TIMEOUT", flag: "vendor-timeout",
			field: &v.Timeout, fallback: text(vendorapi.DefaultTimeout), least: int64(time.Second / 10),
			usage: "how long one call may take",
		},
		{
			group: GroupVendor, key: "vendor.retryBudget", env: "BACKHAUL_VENDOR_RETRY_BUDGET", flag: "vendor-retry-budget",
			field: &v.RetryBudget, fallback: text(vendorapi.DefaultRetryBudget), least: int64(time.Second / 10),
			usage: "how long one delivery tries before the request is postponed",
		},
		{
			group: GroupVendor, key: "vendor.visibilityWindow", env: "BACKHAUL_VENDOR_VISIBILITY_WINDOW", flag: "vendor-visibility-window",
			field: &v.VisibilityWindow, fallback: text(consumer.DefaultVisibilityWindow), least: int64(time.Second / 10),
			usage: "how long the vendor may take to list a job that it started",
		},
		{
			group: GroupVendor, key: "vendor.lookAfter", env: "BACKHAUL_VENDOR_LOOK_AFTER", flag: "vendor-look-after",
			field: &v.LookAfter, fallback: "5s",
			usage: "how long an answer may take before its job is looked up, 0 means never",
			doc:   "Lookups are calls too, which a limited tenant has to count.",
		},
		{
			group: GroupVendor, key: "vendor.writesPerHour", env: "BACKHAUL_WRITES_PER_HOUR", flag: "writes-per-hour",
			field: &v.WritesPerHour, fallback: "0",
			usage: "most writing calls at the vendor in any hour by all replicas together, 0 means no limit",
			doc: "Every call but a GET counts: starts, logins, renewals. Metallic's gateway allows a tenant 100 an hour. " +
				"All replicas must have the same value. Needs the stream `BACKUP_BUDGET`; SCALING.md, One budget for a tenant.",
		},
		{
			group: GroupVendor, key: "vendor.startsPerHour", env: "BACKHAUL_STARTS_PER_HOUR", flag: "starts-per-hour",
			field: &v.StartsPerHour, fallback: "0",
			usage: "most jobs started in an hour by one replica, 0 means no limit",
			doc: "It is for each replica, so divide. For the limit of a tenant, whose logins count as well, use " +
				"`BACKHAUL_WRITES_PER_HOUR`, which all replicas share.",
		},
		{
			group: GroupVendor, key: "vendor.startsPerSecond", env: "BACKHAUL_STARTS_PER_SECOND", flag: "starts-per-second",
			field: &v.StartsPerSecond, fallback: "0",
			usage: "most jobs started in a second by one replica, 0 means no limit",
		},
	}
}

func (w *Work) settings() []setting {
	return []setting{
		{
			group: GroupWork, key: "work.maxInFlight", env: "BACKHAUL_MAX_IN_FLIGHT", flag: "max-in-flight",
			field: &w.MaxInFlight, fallback: strconv.Itoa(consumer.DefaultMaxInFlight), least: 1,
			usage: "requests at the vendor at once",
			doc:   "Of one replica; up to 32 more are claimed ahead.",
		},
		{
			group: GroupWork, key: "work.giveUpAfter", env: "BACKHAUL_GIVE_UP_AFTER", flag: "give-up-after",
			field: &w.GiveUpAfter, fallback: text(consumer.DefaultGiveUpAfter), least: int64(time.Second),
			usage: "age at which a request that cannot reach the vendor fails",
		},
		{
			group: GroupWork, key: "work.drainTimeout", env: "BACKHAUL_DRAIN_TIMEOUT", flag: "drain-timeout",
			field: &w.DrainTimeout, fallback: text(consumer.DefaultDrainTimeout), least: 1,
			usage: "how long work may go on after a stop",
		},
		{
			group: GroupWork, key: "work.inDoubt", env: "BACKHAUL_IN_DOUBT", flag: "in-doubt",
			field: &w.InDoubt, fallback: consumer.InDoubtReconcile, oneOf: []string{consumer.InDoubtReconcile, consumer.InDoubtFail},
			usage: "what happens to a request whose job is not found after a lost answer",
			doc: "reconcile: it is sent again once the visibility window is over. fail: it ends as " +
				"OUTCOME_UNKNOWN. An answer that says that no job was started, such as 503, is no lost one: its job is " +
				"looked up once, and the request is sent again with either.",
		},
		{
			group: GroupWork, key: "work.policyFile", env: "BACKHAUL_POLICY_FILE", flag: "policy-file",
			field: &w.PolicyFile, reads: true,
			usage: "YAML `file` that says who may back up what; without it every request is allowed",
			doc:   "See POLICY.md. It is read again when it changes.",
		},
	}
}

func (a *Admin) settings() []setting {
	return []setting{
		{
			group: GroupAdmin, key: "admin.addr", env: "BACKHAUL_ADMIN_ADDR", flag: "admin-addr",
			field: &a.Addr, fallback: "127.0.0.1:9090",
			usage: "`address` of the console page, /livez, /readyz and /metrics, or off",
			doc: "The default of `backhaul trigger` is " + TriggerAdminAddr + ", that of `backhaul archive` " + ArchiveAdminAddr + ". A second replica on the same machine needs another one, such as 127.0.0.1:0 for any free " +
				"port. On loopback it answers to the names of loopback only; elsewhere the page can be read " +
				"without a password.",
		},
		{
			group: GroupAdmin, key: "admin.token", env: "BACKHAUL_ADMIN_TOKEN",
			field: &a.Token,
			usage: "what the console page asks for before it changes anything",
			doc: "At least 22 characters, 8 of them different; `openssl rand -hex 32` makes them. Without one " +
				"the page is read-only.",
		},
		{
			group: GroupAdmin, key: "admin.commandCenterURL", env: "BACKHAUL_ADMIN_COMMAND_CENTER_URL", flag: "admin-command-center-url",
			field: &a.CommandCenterURL, url: true,
			usage: "`URL` of a job in the Command Center, with {jobId} in it, for the links of the console page",
			doc:   "For example https://cc.example.com/commandcenter/#/jobs/{jobId}.",
		},
		{
			group: GroupProfiles, key: "admin.pprof", env: "BACKHAUL_ADMIN_PPROF", flag: "admin-pprof",
			field: &a.Pprof, fallback: "false",
			usage: "serve profiles at /debug/pprof/; on a loopback address only",
		},
	}
}

func (t *Trigger) settings() []setting {
	routes := []setting{
		{
			group: GroupTrigger, key: "trigger.routes", env: "BACKHAUL_TRIGGER_ROUTES", flag: "routes",
			field: &t.Routes, reads: true,
			usage: "YAML `file` with the routes from changes in storage to content groups",
			doc:   "See routes.example.yaml. `backhaul trigger check` reports what is wrong with one.",
		},
	}
	return append(routes, t.S3.settings(s3Place{
		group: GroupStore, key: "trigger.s3", env: "BACKHAUL_TRIGGER_S3_", flag: "s3-", store: "the store of directive files",
		endpoint: "Needed if a route has a directive; it must be the account that is backed up.",
		access:   "It must be allowed to put objects below the directives' prefixes.", plain: "The paths",
	})...)
}

func (l *Log) settings() []setting {
	return []setting{
		{
			group: GroupLog, key: "log.level", env: "BACKHAUL_LOG_LEVEL", flag: "log-level",
			field: &l.Level, fallback: "info", oneOf: []string{"debug", "info", "warn", "error"},
			usage: "least `level` that is logged",
		},
		{
			group: GroupLog, key: "log.format", env: "BACKHAUL_LOG_FORMAT", flag: "log-format",
			field: &l.Format, fallback: "auto", oneOf: []string{"auto", "console", "json"},
			usage: "auto is console on a terminal, else json",
		},
	}
}

// text returns a default as people write it: 24h and not 24h0m0s.
func text(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
