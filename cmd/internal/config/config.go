// Package config reads Backhaul's settings: defaults < YAML file < environment <
// flags.
//
// # Sources
//
// The file is named by --config or BACKHAUL_CONFIG; no default location is searched. It
// is read strictly: an unknown name, a repeated one and a value of another type are
// problems with their line. An empty environment variable counts as unset. A context of
// the nats command supplies what no other source gives.
//
// # Secrets
//
// A secret is never a flag and never stands in the file. It comes from the
// environment, from a file that a setting names, or from the directory that
// systemd makes for a service's credentials. It is masked wherever a value is shown. A
// file is read each time that its secret is needed.
//
// # Problems
//
// Every value knows its origin. All problems are reported together as one [Error], before
// anything starts: by [Load] what cannot be read, by [Config.CheckRun] what `backhaul run`
// cannot work with.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backhaul/cmd/internal/secret"
	"backhaul/cmd/internal/strictyaml"
	"backhaul/consumer"
	"backhaul/vendorapi"
)

// Config is every setting of the program.
type Config struct {
	NATS   NATS
	Vendor Vendor
	Work   Work
	Follow Follow
	Admin  Admin
	Log    Log

	Protection Protection
	Trigger    Trigger
	Archive    Archive

	origins []string // of the settings, in the order of the table
	unknown bool     // the file could not be read: what it would set is not known
}

// Trigger has the settings of `backhaul trigger`.
type Trigger struct {
	// Routes is the file with the routes.
	Routes string
	// S3 is where directive files are written.
	S3 S3
}

// Vendor is how to reach Commvault.
type Vendor struct {
	Endpoint         string
	InsecureHTTP     bool
	CA               string
	Auth             string
	Username         string
	Password         secret.Source
	Token            secret.Source
	TokenPairFile    string
	Format           string
	Timeout          time.Duration
	RetryBudget      time.Duration
	LookAfter        time.Duration
	VisibilityWindow time.Duration
	WritesPerHour    int
	StartsPerHour    int
	StartsPerSecond  int
}

// Work has the settings of the consumer.
type Work struct {
	MaxInFlight  int
	GiveUpAfter  time.Duration
	DrainTimeout time.Duration
	InDoubt      string
	// PolicyFile is the file that restricts who may back up what. Defaults to no restriction.
	PolicyFile string
}

// Admin has the settings of the admin listener.
type Admin struct {
	// Addr is where to listen; see Off.
	Addr string
	// Token permits changes on the console page. Without one the page is read-only.
	Token secret.Source
	// CommandCenterURL leads to a job, with {jobId} in its place; "" for no links.
	CommandCenterURL string
	// Pprof serves profiles as well.
	Pprof bool
}

// Listen returns the address to listen on, "" if the listener is off. An empty flag turns
// it off as well; an empty environment variable counts as unset.
func (a Admin) Listen() string {
	if a.Addr == "off" {
		return ""
	}
	return a.Addr
}

// Off reports whether the listener is off.
func (a Admin) Off() bool { return a.Listen() == "" }

// Log is what is logged, and how.
type Log struct {
	Level  string
	Format string
}

// Error lists what is wrong with the settings. Nothing was started.
type Error struct {
	Problems []string
}

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0]
	}
	return "configuration:\n  " + strings.Join(e.Problems, "\n  ")
}

// FileError returns an [*Error] with every problem of a YAML file, or err itself if it is
// another error.
func FileError(err error) error {
	if e, ok := errors.AsType[*strictyaml.Error](err); ok {
		return &Error{Problems: e.Each()}
	}
	return err
}

// Starts returns the most jobs that are started in an hour, 0 for any number. Each replica has
// the limit of starts for itself, and logins use up the budget too, so it is an estimate.
func (v Vendor) Starts() int {
	if v.WritesPerHour > 0 && v.StartsPerHour > 0 {
		return min(v.WritesPerHour, v.StartsPerHour)
	}
	return max(v.WritesPerHour, v.StartsPerHour)
}

// Client returns the configuration of the vendor's client.
func (v Vendor) Client(maxInFlight int) vendorapi.Config {
	auth := vendorapi.Auth{Mode: v.Auth, Username: v.Username, TokenPairFile: v.TokenPairFile}
	if v.Password.Given() {
		auth.Password, auth.PasswordName = vendorSecret(v.Password), "BACKHAUL_VENDOR_PASSWORD"
		if file := v.Password.File(); file != "" {
			auth.PasswordName = "BACKHAUL_VENDOR_PASSWORD_FILE, " + file
		}
	}
	if v.Token.Given() {
		auth.Token = vendorSecret(v.Token)
	}
	return vendorapi.Config{
		Endpoint: v.Endpoint, EndpointName: "BACKHAUL_VENDOR_ENDPOINT", InsecureHTTP: v.InsecureHTTP, CAFile: v.CA,
		Auth: auth, Format: v.Format, MaxConns: maxInFlight, Timeout: v.Timeout,
		Pace: vendorapi.Pace{PerHour: v.StartsPerHour, PerSecond: v.StartsPerSecond},
	}
}

// vendorSecret returns how the vendor's client reads a secret.
func vendorSecret(s secret.Source) func() (vendorapi.Secret, error) {
	return func() (vendorapi.Secret, error) {
		value, err := s.Read()
		return vendorapi.Secret(value), err
	}
}

// Consumer returns the consumer's configuration.
func (c *Config) Consumer(owner string) consumer.Config {
	return consumer.Config{
		Owner:            owner,
		MaxInFlight:      c.Work.MaxInFlight,
		AttemptTimeout:   c.Vendor.Timeout,
		VisibilityWindow: c.Vendor.VisibilityWindow,
		GiveUpAfter:      c.Work.GiveUpAfter,
		DrainTimeout:     c.Work.DrainTimeout,
		InDoubt:          c.Work.InDoubt,
		ClaimsDir:        c.claimsDir(),
	}
}

// claimsDir returns the directory for what a process has not sent: below the one that systemd makes
// for a running service, or below that of the embedded server, if there is one, else among the
// temporary files. A process that is started again has the same one.
func (c *Config) claimsDir() string {
	if running, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); running != "" {
		return filepath.Join(running, "claims")
	}
	store := c.NATS.Embedded.StoreDir
	if info, err := os.Stat(store); c.NATS.URL == "" || err == nil && info.IsDir() {
		return filepath.Join(store, "claims")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("backhaul-claims-%d", os.Getuid()))
}

// defaultStoreDir returns a directory below the one that the program was started in.
func defaultStoreDir() string { return filepath.Join(".", "backhaul-data") }
