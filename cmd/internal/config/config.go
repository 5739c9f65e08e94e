// Package config reads Backhaul's settings: defaults < environment < flags.
//
// Every setting knows where its value came from, secrets are read only from the
// environment or from a file that it names and are masked wherever a value is
// shown, and whatever is wrong is reported at once as one [Error], before
// anything is started.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backhaul/consumer"
	"backhaul/vendorapi"
)

// Config is every setting of the program.
type Config struct {
	NATS   NATS
	Vendor Vendor
	Work   Work
	Admin  Admin
	Log    Log
}

// NATS is how to reach JetStream.
type NATS struct {
	// URL is the server to join; "" stands for an embedded server.
	URL string
	// Creds is a credentials file.
	Creds string
	// InboxPrefix replaces "_INBOX" in reply subjects.
	InboxPrefix string
	// Listen is where the embedded server listens.
	Listen string
	// StoreDir is where the embedded server keeps its streams.
	StoreDir string
	// Provision makes missing streams and consumers.
	Provision bool
	// Replicas of new streams; 0 means 3 in a cluster, else 1.
	Replicas int
}

// Vendor is how to reach Commvault.
type Vendor struct {
	Endpoint         string
	InsecureHTTP     bool
	CA               string
	Auth             string
	Username         string
	Password         secret
	Token            secret
	TokenPairFile    string
	Format           string
	Timeout          time.Duration
	RetryBudget      time.Duration
	LookAfter        time.Duration
	VisibilityWindow time.Duration
	StartsPerHour    int
	StartsPerSecond  int
}

// Work is how requests are worked on.
type Work struct {
	MaxInFlight  int
	GiveUpAfter  time.Duration
	DrainTimeout time.Duration
	InDoubt      string
	// PolicyFile says who may back up what; "" stands for everybody everything.
	PolicyFile string
}

// Admin is what is shown of the process.
type Admin struct {
	// Addr is where to listen; see Off.
	Addr string
	// Token is what the console page asks for before it changes anything; without
	// one it changes nothing.
	Token secret
	// CommandCenterURL leads to a job, with {jobId} in its place; "" for no links.
	CommandCenterURL string
}

// Off tells whether to listen at all. An empty flag says no as well; an empty
// environment variable is one that is not set.
func (a Admin) Off() bool { return a.Addr == "off" || a.Addr == "" }

// Log is what is logged, and how.
type Log struct {
	Level  string
	Format string
}

// secret is where a secret is to be had. It never holds the secret of a file,
// which is read anew each time it is needed, so that a replaced file is found.
type secret struct {
	value vendorapi.Secret
	file  string
}

// Format shows at most the file's name, whatever the verb.
func (s secret) Format(f fmt.State, _ rune) {
	switch {
	case s.file != "":
		fmt.Fprintf(f, "(in %s)", s.file)
	case s.value != "":
		fmt.Fprint(f, "***")
	}
}

func (s secret) given() bool { return s.value != "" || s.file != "" }

// Read is the secret as it is now.
func (s secret) Read() (vendorapi.Secret, error) {
	if s.file == "" {
		return s.value, nil
	}
	data, err := os.ReadFile(s.file)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		return "", fmt.Errorf("read secret: %s is empty", s.file)
	}
	return vendorapi.Secret(value), nil
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

// Client is the vendor client's configuration.
func (v Vendor) Client(maxInFlight int) vendorapi.Config {
	auth := vendorapi.Auth{Mode: v.Auth, Username: v.Username, TokenPairFile: v.TokenPairFile}
	if v.Password.given() {
		auth.Password = v.Password.Read
	}
	if v.Token.given() {
		auth.Token = v.Token.Read
	}
	return vendorapi.Config{
		Endpoint: v.Endpoint, InsecureHTTP: v.InsecureHTTP, CAFile: v.CA,
		Auth: auth, Format: v.Format, MaxConns: maxInFlight, Timeout: v.Timeout,
		Pace: vendorapi.Pace{PerHour: v.StartsPerHour, PerSecond: v.StartsPerSecond},
	}
}

// Consumer is the consumer's configuration.
func (c *Config) Consumer(owner string) consumer.Config {
	return consumer.Config{
		Owner:            owner,
		MaxInFlight:      c.Work.MaxInFlight,
		AttemptTimeout:   c.Vendor.Timeout,
		VisibilityWindow: c.Vendor.VisibilityWindow,
		GiveUpAfter:      c.Work.GiveUpAfter,
		DrainTimeout:     c.Work.DrainTimeout,
		InDoubt:          c.Work.InDoubt,
	}
}

// CheckRun refuses settings with which `backhaul run` cannot work.
func (c *Config) CheckRun() error {
	var e Error
	if c.Vendor.Endpoint == "" {
		e.Problems = append(e.Problems, "no vendor endpoint: set BACKHAUL_VENDOR_ENDPOINT or --vendor-endpoint, for example https://m6.metallic.io/webconsole/api (or try `backhaul demo`)")
	} else if err := vendorapi.CheckEndpoint(c.Vendor.Endpoint, c.Vendor.InsecureHTTP); err != nil {
		e.Problems = append(e.Problems, err.Error()+" (BACKHAUL_VENDOR_ENDPOINT, --vendor-insecure-http)")
	}
	switch c.Vendor.Auth {
	case vendorapi.AuthLogin:
		if c.Vendor.Username == "" {
			e.Problems = append(e.Problems, "no vendor user: set BACKHAUL_VENDOR_USERNAME or --vendor-username")
		}
		e.checkSecret("password", "BACKHAUL_VENDOR_PASSWORD", c.Vendor.Password)
	case vendorapi.AuthToken:
		e.checkSecret("token", "BACKHAUL_VENDOR_TOKEN", c.Vendor.Token)
	case vendorapi.AuthBearer:
		// A pair that is not there yet is waited for, a file that is none is not.
		if c.Vendor.TokenPairFile == "" {
			e.Problems = append(e.Problems, "no vendor token pair: set BACKHAUL_VENDOR_TOKEN_PAIR_FILE or --vendor-token-pair-file")
		} else if err := c.Vendor.Client(c.Work.MaxInFlight).Auth.Check(); err != nil {
			e.Problems = append(e.Problems, err.Error()+" (BACKHAUL_VENDOR_TOKEN_PAIR_FILE)")
		}
	}
	if c.Vendor.CA != "" {
		if _, err := os.Stat(c.Vendor.CA); err != nil {
			e.Problems = append(e.Problems, fmt.Sprintf("vendor CA file: %v (BACKHAUL_VENDOR_CA)", err))
		}
	}
	c.Admin.check(&e)
	if len(e.Problems) > 0 {
		return &e
	}
	return nil
}

func (e *Error) checkSecret(what, env string, s secret) {
	if !s.given() {
		e.Problems = append(e.Problems, fmt.Sprintf("no vendor %s: set %s or, better, %s_FILE", what, env, env))
		return
	}
	if _, err := s.Read(); err != nil {
		e.Problems = append(e.Problems, fmt.Sprintf("vendor %s: %v (%s_FILE)", what, err, env))
	}
}

// defaultStoreDir is beside wherever the program was started.
func defaultStoreDir() string { return filepath.Join(".", "backhaul-data") }
