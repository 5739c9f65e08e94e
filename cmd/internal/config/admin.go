package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"backhaul/vendorapi"
)

// minAdminToken is how short a token may be: it can be tried over the network.
const minAdminToken = 16

// AdminToken reads the token of the console page anew each time; nil without one.
func (a Admin) AdminToken() func() (vendorapi.Secret, error) {
	if !a.Token.Given() {
		return nil
	}
	return a.Token.Read
}

func (a Admin) check(e *Error) {
	if a.Token.Given() {
		switch token, err := a.Token.Read(); {
		case err != nil:
			e.add("admin token: %v (BACKHAUL_ADMIN_TOKEN_FILE)", err)
		case len(token) < minAdminToken:
			e.add("admin token: has %d characters, must have at least %d; `openssl rand -hex 32` makes one (BACKHAUL_ADMIN_TOKEN_FILE)", len(token), minAdminToken)
		}
	}
	if a.CommandCenterURL == "" {
		return
	}
	u, err := url.Parse(strings.ReplaceAll(a.CommandCenterURL, "{jobId}", "1"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || !strings.Contains(a.CommandCenterURL, "{jobId}") {
		e.add("Command Center URL: is %q, must be an address with {jobId} in it, such as https://cc.example.com/commandcenter/#/jobs/{jobId} (BACKHAUL_ADMIN_COMMAND_CENTER_URL)", a.CommandCenterURL)
	}
}

// problem is what is wrong with the settings of the admin listener, "" if nothing
// is. Profiles show the command line and stop the world now and then, and nobody
// has to log in for them.
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
