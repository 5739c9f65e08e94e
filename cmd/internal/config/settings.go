package config

import (
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
var AllGroups = []Group{GroupNATS, GroupEmbedded, GroupVendor, GroupWork, GroupAdmin, GroupProfiles, GroupTrigger, GroupStore, GroupLog}

// setting is one value, its names and how it is checked.
type setting struct {
	group Group
	flag  string // "" for a secret, which must not be seen in a list of processes
	key   string // its place in a configuration file, section and name
	env   string
	usage string // what it is; in `backquotes`, what to write
	// field is the *string, *int, *bool, *time.Duration or *secret to set.
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

func (c *Config) settings() []setting {
	const s = int64(time.Second)
	n, v, w, l := &c.NATS, &c.Vendor, &c.Work, &c.Log
	return []setting{
		{group: GroupNATS, flag: "nats", key: "nats.url", env: "BACKHAUL_NATS_URL", field: &n.URL, usage: "NATS server to join, `URL`[,URL]; without it, and without a context, run starts an embedded server", url: true, doc: "As the nats command takes it: 127.0.0.1:4222 is nats://127.0.0.1:4222. nsc:// is refused; `nsc generate creds` writes a file for nats.creds.", list: true},
		{group: GroupNATS, flag: "nats-context", key: "nats.context", env: "BACKHAUL_NATS_CONTEXT", field: &n.Context, usage: "`name` of a context of the nats command, instead of a URL; " + SelectedContext + " is the selected one", doc: "It is read from $XDG_CONFIG_HOME/nats/context/NAME.json, or below ~/.config. Other settings are stronger than what it says. Its nsc, socks_proxy, jetstream_domain, jetstream_api_prefix and op:// are refused. The nats command's own NATS_CONTEXT is not looked at."},
		{group: GroupNATS, flag: "nats-creds", key: "nats.creds", env: "BACKHAUL_NATS_CREDS", field: &n.Auth.Creds, usage: "`file` with the user's JWT and seed", reads: true},
		{group: GroupNATS, flag: "nats-nkey", key: "nats.nkey", env: "BACKHAUL_NATS_NKEY", field: &n.Auth.NKey, usage: "`file` with the seed of a user's nkey", reads: true},
		{group: GroupNATS, flag: "nats-user", key: "nats.user", env: "BACKHAUL_NATS_USER", field: &n.Auth.User, usage: "NATS `user`"},
		{group: GroupNATS, key: "nats.password", env: "BACKHAUL_NATS_PASSWORD", field: &n.Auth.Password, usage: "the NATS user's password"},
		{group: GroupNATS, key: "nats.token", env: "BACKHAUL_NATS_TOKEN", field: &n.Auth.Token, usage: "NATS token"},
		{group: GroupNATS, flag: "nats-ca", key: "nats.ca", env: "BACKHAUL_NATS_CA", field: &n.TLS.CA, usage: "PEM `file` with the only roots to trust for NATS", reads: true},
		{group: GroupNATS, flag: "nats-cert", key: "nats.cert", env: "BACKHAUL_NATS_CERT", field: &n.TLS.Cert, usage: "PEM `file` with the client's certificate", reads: true},
		{group: GroupNATS, flag: "nats-key", key: "nats.key", env: "BACKHAUL_NATS_KEY", field: &n.TLS.Key, usage: "PEM `file` with the key of the certificate", reads: true},
		{group: GroupNATS, flag: "nats-tls-first", key: "nats.tlsFirst", env: "BACKHAUL_NATS_TLS_FIRST", field: &n.TLS.First, usage: "begin with the TLS handshake, for a server with handshake_first", fallback: "false"},
		{group: GroupNATS, flag: "nats-inbox-prefix", key: "nats.inboxPrefix", env: "BACKHAUL_NATS_INBOX_PREFIX", field: &n.InboxPrefix, usage: "`prefix` of reply subjects", fallback: "_INBOX", doc: "A user who may subscribe to nothing but its own replies needs the prefix that is allowed."},
		{group: GroupEmbedded, flag: "nats-listen", key: "nats.listen", env: "BACKHAUL_NATS_LISTEN", field: &n.Embedded.Listen, usage: "`address` of the embedded server", fallback: "127.0.0.1:4222", doc: "It has no authentication: keep it on loopback."},
		{group: GroupEmbedded, flag: "store-dir", key: "nats.storeDir", env: "BACKHAUL_STORE_DIR", field: &n.Embedded.StoreDir, usage: "`directory` of the embedded server's streams", fallback: defaultStoreDir(), doc: "One process at a time: a lock in it refuses a second one."},
		{group: GroupEmbedded, flag: "provision", key: "nats.provision", env: "BACKHAUL_NATS_PROVISION", field: &n.Provision, usage: "make streams and consumers that are missing", fallback: "true", doc: "If false they must be there, as deploy/streams has them, and the user needs no permission to make any."},
		{group: GroupEmbedded, flag: "replicas", key: "nats.replicas", env: "BACKHAUL_NATS_REPLICAS", field: &n.Replicas, usage: "replicas of new streams, 0 means 3 in a cluster and else 1", fallback: "0"},

		{group: GroupVendor, flag: "vendor-endpoint", key: "vendor.endpoint", env: "BACKHAUL_VENDOR_ENDPOINT", field: &v.Endpoint, usage: "base `URL` of the Commvault API", url: true, doc: "For example https://m6.metallic.io/webconsole/api."},
		{group: GroupVendor, flag: "vendor-insecure-http", key: "vendor.insecureHTTP", env: "BACKHAUL_VENDOR_INSECURE_HTTP", field: &v.InsecureHTTP, usage: "allow plain http to a vendor that is not on this machine", fallback: "false", doc: "The password and the token can then be read on the way."},
		{group: GroupVendor, flag: "vendor-ca", key: "vendor.ca", env: "BACKHAUL_VENDOR_CA", field: &v.CA, usage: "PEM `file` with the only roots to trust", reads: true},
		{group: GroupVendor, flag: "vendor-auth", key: "vendor.auth", env: "BACKHAUL_VENDOR_AUTH", field: &v.Auth, usage: "how calls are authorised", fallback: vendorapi.AuthLogin, oneOf: []string{vendorapi.AuthLogin, vendorapi.AuthToken, vendorapi.AuthBearer}, doc: "login: with user and password. token: with an access token as it is. bearer: with an access token that is renewed, from the token pair file."},
		{group: GroupVendor, flag: "vendor-username", key: "vendor.username", env: "BACKHAUL_VENDOR_USERNAME", field: &v.Username, usage: "Commvault `user`"},
		{group: GroupVendor, key: "vendor.password", env: "BACKHAUL_VENDOR_PASSWORD", field: &v.Password, usage: "the Commvault user's password"},
		{group: GroupVendor, key: "vendor.token", env: "BACKHAUL_VENDOR_TOKEN", field: &v.Token, usage: "access token, for the mode token"},
		{group: GroupVendor, flag: "vendor-token-pair-file", key: "vendor.tokenPairFile", env: "BACKHAUL_VENDOR_TOKEN_PAIR_FILE", field: &v.TokenPairFile, usage: "`file` with an access token and its refresh token, shared by all replicas and rewritten", doc: "For the mode bearer: {\"accessToken\":\"…\",\"refreshToken\":\"…\"}, rewritten with each renewal, so it and its directory must be writable."},
		{group: GroupVendor, flag: "vendor-format", key: "vendor.format", env: "BACKHAUL_VENDOR_FORMAT", field: &v.Format, usage: "how CreateTask is written", fallback: vendorapi.FormatXML, oneOf: []string{vendorapi.FormatXML, vendorapi.FormatJSON}, doc: "xml is as on the vendor's page."},
		{group: GroupVendor, flag: "vendor-timeout", key: "vendor.timeout", env: "BACKHAUL_VENDOR_TIMEOUT", field: &v.Timeout, usage: "how long one call may take", fallback: "30s", least: s / 10},
		{group: GroupVendor, flag: "vendor-retry-budget", key: "vendor.retryBudget", env: "BACKHAUL_VENDOR_RETRY_BUDGET", field: &v.RetryBudget, usage: "how long one delivery tries before the request is postponed", fallback: "30s", least: s / 10},
		{group: GroupVendor, flag: "vendor-visibility-window", key: "vendor.visibilityWindow", env: "BACKHAUL_VENDOR_VISIBILITY_WINDOW", field: &v.VisibilityWindow, usage: "how long the vendor may take to list a job that it started", fallback: "60s", least: s / 10},
		{group: GroupVendor, flag: "vendor-look-after", key: "vendor.lookAfter", env: "BACKHAUL_VENDOR_LOOK_AFTER", field: &v.LookAfter, usage: "how long an answer may take before its job is looked for, 0 means never", fallback: "5s", doc: "Looks are calls too, which a limited tenant has to count."},
		{group: GroupVendor, flag: "starts-per-hour", key: "vendor.startsPerHour", env: "BACKHAUL_STARTS_PER_HOUR", field: &v.StartsPerHour, usage: "most jobs started in an hour by one replica, 0 means no limit", fallback: "0", doc: "It is for each replica, so divide. Metallic's gateway allows a tenant 100 writing calls an hour, logins and looks among them."},
		{group: GroupVendor, flag: "starts-per-second", key: "vendor.startsPerSecond", env: "BACKHAUL_STARTS_PER_SECOND", field: &v.StartsPerSecond, usage: "most jobs started in a second by one replica, 0 means no limit", fallback: "0"},

		{group: GroupWork, flag: "max-in-flight", key: "work.maxInFlight", env: "BACKHAUL_MAX_IN_FLIGHT", field: &w.MaxInFlight, usage: "requests at the vendor at once", fallback: "64", least: 1, doc: "Of one replica; up to 32 more are claimed ahead."},
		{group: GroupWork, flag: "give-up-after", key: "work.giveUpAfter", env: "BACKHAUL_GIVE_UP_AFTER", field: &w.GiveUpAfter, usage: "age at which a request that cannot reach the vendor fails", fallback: "24h", least: s},
		{group: GroupWork, flag: "drain-timeout", key: "work.drainTimeout", env: "BACKHAUL_DRAIN_TIMEOUT", field: &w.DrainTimeout, usage: "how long work may go on after a stop", fallback: "25s", least: 1},
		{group: GroupWork, flag: "in-doubt", key: "work.inDoubt", env: "BACKHAUL_IN_DOUBT", field: &w.InDoubt, usage: "a request whose job is not to be seen after a lost answer", fallback: consumer.InDoubtReconcile, oneOf: []string{consumer.InDoubtReconcile, consumer.InDoubtFail}, doc: "reconcile: it is sent again once the visibility window is over. fail: it ends as OUTCOME_UNKNOWN."},
		{group: GroupWork, flag: "policy-file", key: "work.policyFile", env: "BACKHAUL_POLICY_FILE", field: &w.PolicyFile, usage: "YAML `file` that says who may back up what; without it everybody may everything", reads: true, doc: "See POLICY.md. It is read again when it changes."},

		{group: GroupAdmin, flag: "admin-addr", key: "admin.addr", env: "BACKHAUL_ADMIN_ADDR", field: &c.Admin.Addr, usage: "`address` of the console page, /livez, /readyz and /metrics, or off", fallback: "127.0.0.1:9090", doc: "A second replica on the same machine needs another one, such as 127.0.0.1:0 for any free port. On loopback it answers to the names of loopback only; elsewhere everybody who reaches it can read the page."},
		{group: GroupAdmin, key: "admin.token", env: "BACKHAUL_ADMIN_TOKEN", field: &c.Admin.Token, usage: "what the console page asks for before it changes anything", doc: "At least 22 characters, 8 of them different; `openssl rand -hex 32` makes them. Without one the page is read-only."},
		{group: GroupAdmin, flag: "admin-command-center-url", key: "admin.commandCenterURL", env: "BACKHAUL_ADMIN_COMMAND_CENTER_URL", field: &c.Admin.CommandCenterURL, url: true, usage: "`URL` of a job in the Command Center, with {jobId} in it, for the links of the console page", doc: "For example https://cc.example.com/commandcenter/#/jobs/{jobId}."},
		{group: GroupProfiles, flag: "admin-pprof", key: "admin.pprof", env: "BACKHAUL_ADMIN_PPROF", field: &c.Admin.Pprof, usage: "serve profiles at /debug/pprof/; on a loopback address only", fallback: "false"},

		{group: GroupTrigger, flag: "routes", key: "trigger.routes", env: "BACKHAUL_TRIGGER_ROUTES", field: &c.Trigger.Routes, usage: "YAML `file` with the routes from changes in storage to content groups", reads: true, doc: "See routes.example.yaml. `backhaul trigger check` tells what is wrong with one."},

		{group: GroupStore, flag: "s3-endpoint", key: "trigger.s3Endpoint", env: "BACKHAUL_TRIGGER_S3_ENDPOINT", field: &c.Trigger.S3.Endpoint, usage: "`URL` of the S3 API that directive files are written with", url: true, doc: "For example https://s3.eu-central-1.amazonaws.com. Needed if a route has a directive; it must be the account that is backed up."},
		{group: GroupStore, flag: "s3-region", key: "trigger.s3Region", env: "BACKHAUL_TRIGGER_S3_REGION", field: &c.Trigger.S3.Region, usage: "`region` of the buckets", fallback: "us-east-1"},
		{group: GroupStore, flag: "s3-path-style", key: "trigger.s3PathStyle", env: "BACKHAUL_TRIGGER_S3_PATH_STYLE", field: &c.Trigger.S3.PathStyle, usage: "the bucket is part of the path, not of the host's name", fallback: "false", doc: "What MinIO and Ceph usually want."},
		{group: GroupStore, flag: "s3-ca", key: "trigger.s3CA", env: "BACKHAUL_TRIGGER_S3_CA", field: &c.Trigger.S3.CA, usage: "PEM `file` with the only roots to trust for it", reads: true},
		{group: GroupStore, flag: "s3-insecure-http", key: "trigger.s3InsecureHTTP", env: "BACKHAUL_TRIGGER_S3_INSECURE_HTTP", field: &c.Trigger.S3.InsecureHTTP, usage: "allow plain http to an object store that is not on this machine", fallback: "false", doc: "The paths can then be read on the way; the secret key is never sent."},
		{group: GroupStore, key: "trigger.s3AccessKey", env: "BACKHAUL_TRIGGER_S3_ACCESS_KEY", field: &c.Trigger.S3.AccessKey, usage: "the access key; it must be allowed to put objects below the directives' prefixes"},
		{group: GroupStore, key: "trigger.s3SecretKey", env: "BACKHAUL_TRIGGER_S3_SECRET_KEY", field: &c.Trigger.S3.SecretKey, usage: "the secret key of the access key"},

		{group: GroupLog, flag: "log-level", key: "log.level", env: "BACKHAUL_LOG_LEVEL", field: &l.Level, usage: "least `level` that is logged", fallback: "info", oneOf: []string{"debug", "info", "warn", "error"}},
		{group: GroupLog, flag: "log-format", key: "log.format", env: "BACKHAUL_LOG_FORMAT", field: &l.Format, usage: "auto is console on a terminal, else json", fallback: "auto", oneOf: []string{"auto", "console", "json"}},
	}
}
