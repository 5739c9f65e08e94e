package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"backhaul/cmd/internal/serverurl"
)

// A token can be tried over the network as often as a caller likes: nothing locks it.
// 22 characters of base64 are 128 bits. Few different characters are not a random token.
const (
	minAdminToken   = 22
	minAdminLetters = 8
)

// Defaults of admin.addr for commands that run on the same machine as `backhaul run`.
const (
	TriggerAdminAddr = "127.0.0.1:9091"
	ArchiveAdminAddr = "127.0.0.1:9092"
)

// AdminByDefault sets the address of the admin listener unless it is given.
func (c *Config) AdminByDefault(addr string) {
	for i, s := range c.settings() {
		if s.key == "admin.addr" && c.origins[i] == originDefault {
			c.Admin.Addr = addr
		}
	}
}

// AdminToken returns how to read the token of the console page, nil if there is none.
func (a Admin) AdminToken() func() (string, error) {
	if !a.Token.Given() {
		return nil
	}
	return func() (string, error) { // a weak one is refused also when the file changes
		token, err := a.Token.Read()
		if err == nil {
			err = strong(token)
		}
		if err != nil {
			return "", fmt.Errorf("admin token: %w", err)
		}
		return token, nil
	}
}

// strong returns why a token is too easy to guess, nil if it is not.
func strong(token string) error {
	deadLetters := make(map[rune]bool)
	for _, r := range token {
		deadLetters[r] = true
	}
	const way = "`openssl rand -hex 32` makes one (BACKHAUL_ADMIN_TOKEN_FILE)"
	switch {
	case len(token) < minAdminToken:
		return fmt.Errorf("has %d characters, must have at least %d; %s", len(token), minAdminToken, way)
	case len(deadLetters) < minAdminLetters:
		return fmt.Errorf("has %d different characters, must have at least %d; %s", len(deadLetters), minAdminLetters, way)
	}
	return nil
}

func (a Admin) check(e *Error) {
	if a.Token.Given() {
		if token, err := a.Token.Read(); err != nil {
			e.add("admin token: %v (BACKHAUL_ADMIN_TOKEN_FILE)", err)
		} else if err := strong(token); err != nil {
			e.add("admin token: %v", err)
		}
	}
	if a.CommandCenterURL == "" {
		return
	}
	u, err := url.Parse(strings.ReplaceAll(a.CommandCenterURL, "{jobId}", "1"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !strings.Contains(a.CommandCenterURL, "{jobId}") {
		e.add("Command Center URL: is %q, must be an address with {jobId} in it, such as https://cc.example.com/commandcenter/#/jobs/{jobId} (BACKHAUL_ADMIN_COMMAND_CENTER_URL)", serverurl.MaskOne(a.CommandCenterURL))
	}
}

// problem returns what is wrong with the settings of the admin listener, "" if nothing
// is. Profiles need no login, show the command line and stop the process for moments,
// so they are served on loopback only.
func (a Admin) problem() string {
	if a.Pprof && !a.onLoopback() {
		return fmt.Sprintf("profiles are served on a loopback address only, and the admin listener is %q: "+
			"set BACKHAUL_ADMIN_ADDR or --admin-addr to one such as 127.0.0.1:9090, or turn this off", a.Addr)
	}
	return ""
}

func (a Admin) onLoopback() bool {
	host, _, err := net.SplitHostPort(a.Addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
