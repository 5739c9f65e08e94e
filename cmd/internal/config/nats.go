package config

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/secret"
	"backhaul/cmd/internal/serverurl"
	"backhaul/schemas/bounded"
)

// NATS is how to reach JetStream.
type NATS struct {
	// URL is the server to join, or several with commas; "" stands for an embedded
	// server.
	URL string
	// Context is the context of the nats command that the rest was filled in from.
	Context string
	Auth    NATSAuth
	TLS     NATSTLS
	// InboxPrefix replaces "_INBOX" in reply subjects.
	InboxPrefix string
	// Provision makes missing streams and consumers.
	Provision bool
	// Replicas of new streams; 0 means 3 in a cluster, else 1.
	Replicas int
	Embedded Embedded
	// locate replaces variables in problems with the origins of the values, if it is set.
	locate func(problems []string)
}

// NATSAuth is who connects, in one way at most.
type NATSAuth struct {
	// Origin is where that is set, such as "context prod"; "" without credentials.
	Origin string
	Creds  string // a file with JWT and seed
	NKey   string // a file with a seed

	User     string
	Password secret.Source
	Token    secret.Source

	// JWT and Seed come from a context only.
	JWT  string
	Seed secret.Source
}

// NATSTLS is how the connection is secured.
type NATSTLS struct {
	CA, Cert, Key string // files
	// First: the handshake comes before the server's greeting.
	First bool
}

// Embedded is the server that runs when none is joined.
type Embedded struct {
	Listen   string
	StoreDir string
}

// joinNATS fills in the values of the context of the nats command, and returns the problems
// of ways to connect that contradict each other.
func (c *Config) joinNATS(from sources, settings []setting) []string {
	origin := func(key string) *string {
		for i, s := range settings {
			if s.key == key {
				return &c.origins[i]
			}
		}
		return new(string)
	}
	n := &c.NATS
	if n.Context != "" {
		if n.URL != "" {
			return []string{fmt.Sprintf("%s and %s both say which server to join; keep one", *origin("nats.url"), *origin("nats.context"))}
		}
		name, context, err := readContext(n.Context, from.lookupEnv)
		if err != nil {
			return []string{fmt.Sprintf("%s: %v", *origin("nats.context"), err)}
		}
		values := context.settings()
		for i, s := range settings {
			if value := values[s.key]; value != "" && c.origins[i] == originDefault {
				_ = s.assign(given{text: value}) // texts and true
				c.origins[i] = originContext + name
			}
		}
		n.Auth.JWT, n.Auth.Seed = context.UserJWT, secret.Of(context.UserSeed)
	}
	var ways []string
	for _, way := range []struct {
		given  bool
		origin string
	}{
		{serverurl.HasUser(n.URL), *origin("nats.url") + " (a user or token in the URL)"},
		{n.Auth.Creds != "", *origin("nats.creds")},
		{n.Auth.NKey != "", *origin("nats.nkey")},
		{n.Auth.User != "", *origin("nats.user")},
		{n.Auth.Token.Given(), *origin("nats.token")},
		{n.Auth.JWT != "", *origin("nats.url") + " (user_jwt)"},
	} {
		if way.given {
			ways = append(ways, way.origin)
			n.Auth.Origin = way.origin
		}
	}
	var e Error
	if len(ways) > 1 {
		e.add("%s say in %d ways who connects to NATS; keep one of creds, nkey, user, token", strings.Join(ways, ", "), len(ways))
	}
	if n.Auth.Password.Given() && n.Auth.User == "" {
		e.add("%s: a password without a user; set BACKHAUL_NATS_USER", *origin("nats.password"))
	}
	if n.Auth.User != "" && !n.Auth.Password.Given() {
		e.add("%s: a user without a password; set BACKHAUL_NATS_PASSWORD_FILE", *origin("nats.user"))
	}
	if (n.TLS.Cert == "") != (n.TLS.Key == "") {
		e.add("BACKHAUL_NATS_CERT and BACKHAUL_NATS_KEY belong together; one of them is missing")
	}
	if n.URL == "" && (len(ways) > 0 || n.Auth.Password.Given() || n.TLS != (NATSTLS{})) {
		e.add("there are settings for a connection to NATS but no server: set BACKHAUL_NATS_URL or BACKHAUL_NATS_CONTEXT; an embedded server asks for none of them")
	}
	return e.Problems
}

// Check returns an [*Error] if no server can be joined with these settings.
func (n NATS) Check() error {
	if problems := n.problems(); len(problems) > 0 {
		if n.locate != nil {
			n.locate(problems)
		}
		return &Error{Problems: problems}
	}
	return nil
}

// problems returns what is wrong with how to join a server.
func (n NATS) problems() []string {
	var e Error
	for i, raw := range strings.Split(n.URL, ",") {
		if strings.HasPrefix(strings.TrimSpace(raw), "nsc://") {
			e.add("BACKHAUL_NATS_URL: number %d is nsc://, which needs the nsc command and its keys: write a credentials file with `nsc generate creds`, set BACKHAUL_NATS_CREDS to it, and the URL to the server", i+1)
		} else if !serverurl.Valid(raw) {
			// It is not shown: it may have a password in it.
			e.add("BACKHAUL_NATS_URL: number %d is not a URL such as nats://127.0.0.1:4222; in a user or password, percent-encode what is not a letter or digit", i+1)
		}
	}
	if n.Auth.Creds != "" {
		if err := checkCreds(n.Auth.Creds); err != nil {
			e.add("NATS credentials: %v (BACKHAUL_NATS_CREDS)", err)
		}
	}
	if n.Auth.NKey != "" {
		_, err := bounded.ReadText(n.Auth.NKey, bounded.Small)
		if err == nil {
			if _, err = nats.NkeyOptionFromSeed(n.Auth.NKey); err != nil { // does not name the file
				err = fmt.Errorf("no user seed in %s: %w; it must have a line that begins with SU, and no byte order mark", n.Auth.NKey, err)
			}
		}
		if err != nil {
			e.add("NATS nkey: %v (BACKHAUL_NATS_NKEY)", err)
		}
	}
	for _, s := range []struct {
		name string
		secret.Source
	}{{"PASSWORD", n.Auth.Password}, {"TOKEN", n.Auth.Token}} {
		if _, err := s.Read(); err != nil {
			e.add("NATS %s: %v (BACKHAUL_NATS_%s_FILE)", strings.ToLower(s.name), err, s.name)
		}
	}
	if n.TLS.Cert != "" && n.TLS.Key != "" {
		if _, err := tls.LoadX509KeyPair(n.TLS.Cert, n.TLS.Key); err != nil {
			e.add("NATS certificate: %v (BACKHAUL_NATS_CERT, BACKHAUL_NATS_KEY)", err)
		}
	}
	e.checkCA("NATS CA file", "BACKHAUL_NATS_CA", n.TLS.CA)
	if err := nats.CustomInboxPrefix(n.InboxPrefix)(new(nats.Options)); err != nil {
		e.add("BACKHAUL_NATS_INBOX_PREFIX: is %q, must be the beginning of a subject, without a dot at its end", n.InboxPrefix)
	}
	return e.Problems
}

// checkCreds returns an error if a credentials file lacks one of its two parts.
func checkCreds(file string) error {
	data, err := bounded.ReadText(file, bounded.Small)
	if err != nil {
		return err
	}
	if !strings.Contains(string(data), "BEGIN NATS USER JWT") {
		return fmt.Errorf("no user JWT in %s", file)
	}
	if _, err := nats.NkeyOptionFromSeed(file); err != nil {
		return fmt.Errorf("no user seed in %s", file)
	}
	return nil
}
