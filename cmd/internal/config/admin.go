package config

import (
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
