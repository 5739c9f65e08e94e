package vendorapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backhaul/vendorapi/secretstest"
)

func TestCheckEndpoint(t *testing.T) {
	for endpoint, why := range map[string]string{
		"https://m6.metallic.io/webconsole/api":          "",
		"https://m6.metallic.io/webconsole/api/":         "",
		"https://api.metallic.io":                        "",
		"https://cs.example:443/commandcenter/api":       "",
		"HTTPS://cs.example/api":                         "",
		"http://localhost:8080/webconsole/api":           "",
		"http://127.0.0.1:81/SearchSvc/CVWebService.svc": "",
		"http://[::1]:81/api":                            "",

		"":                                                  "must be a URL",
		"m6.metallic.io/webconsole/api":                     "must be a URL",
		"m6.metallic.io:443":                                "must be a URL",
		"ftp://cs.example/api":                              "must be a URL",
		"https://":                                          "must be a URL",
		"https://:443/api":                                  "must be a URL",
		"https:/hunter2@cs.example/api":                     "must be a URL",
		"https:hunter2@cs.example":                          "must be a URL",
		"https://cs.example:hunter2/api":                    "must be a URL",
		"https://cs example/api":                            "must be a URL",
		"://hunter2":                                        "must be a URL",
		"https://u:hunter2@cs.example/api":                  "must not have a user",
		"https://hunter2@cs.example/api":                    "must not have a user",
		"https://cs.example/api?t=hunter2":                  "must not have a user",
		"https://cs.example/api?":                           "must not have a user",
		"https://cs.example/api#":                           "must not have a user",
		"https://cs.example/api#hunter2":                    "must not have a user",
		"https://m6.metallic.io/webconsole/api/CreateTask":  "must be the base",
		"https://m6.metallic.io/webconsole/api/createtask/": "must be the base",
		"http://cs.example/api":                             "plain http",
		"http://localhost.evil.example/api":                 "plain http",
		"http://10.0.0.1/api":                               "plain http",
	} {
		err := CheckEndpoint(endpoint, false)
		switch {
		case why == "" && err != nil:
			t.Errorf("%s: %v", endpoint, err)
		case why != "" && (err == nil || !strings.Contains(err.Error(), why)):
			t.Errorf("%s: error %v, want one with %q", endpoint, err, why)
		}
		secretstest.NotShown(t, []string{"hunter2"}, err)
		_, newErr := New(Config{Endpoint: endpoint, Auth: loginAuth()})
		if (newErr == nil) != (err == nil) {
			t.Errorf("%s: New says %v", endpoint, newErr)
		}
	}
	if err := CheckEndpoint("http://cs.example/api", true); err != nil {
		t.Errorf("allowed insecure http: %v", err)
	}
}

func TestNew_refuses(t *testing.T) {
	const endpoint = "https://cs.example/api"
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"no mode":       {Endpoint: endpoint},
		"odd mode":      {Endpoint: endpoint, Auth: Auth{Mode: "guess"}},
		"no user":       {Endpoint: endpoint, Auth: Auth{Mode: AuthLogin, Password: fixed("x")}},
		"no password":   {Endpoint: endpoint, Auth: Auth{Mode: AuthLogin, Username: "x"}},
		"no token":      {Endpoint: endpoint, Auth: Auth{Mode: AuthToken}},
		"no CA file":    {Endpoint: endpoint, Auth: loginAuth(), CAFile: filepath.Join(t.TempDir(), "missing.pem")},
		"empty CA file": {Endpoint: endpoint, Auth: loginAuth(), CAFile: noPEM},
	} {
		if c, err := New(cfg); err == nil || c != nil {
			t.Errorf("%s: client %v, error %v", name, c, err)
		}
	}
}

// TestNew_usesTheEndpointAsGiven: with or without a slash at its end.
func TestNew_usesTheEndpointAsGiven(t *testing.T) {
	v := startVendor(t, nil)
	for _, slashes := range []string{"", "/", "//"} {
		c := newTestClient(t, v.url+slashes)
		if _, err := c.session.token(t.Context()); err != nil {
			t.Errorf("%q: %v", slashes, err)
		}
	}
	if n := v.count("Login"); n != 3 {
		t.Errorf("%d logins", n)
	}
}
