package vendorapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// operations is a client of a web service below /commandcenter/api that answers every
// operation with a status and a text.
func operations(t *testing.T, status int, text string, change ...func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Location", "/commandcenter/")
		reply(w, status, text)
	}))
	t.Cleanup(server.Close)
	return newTestClient(t, server.URL+"/commandcenter/api", change...)
}

// Where the API has no such operation the error suggests where it may be. Other answers
// say nothing about the endpoint.
func TestEndpointError_NamesTheUsualBases(t *testing.T) {
	pair := tokenPair{Access: "old-5ec7e7-access", Refresh: "old-5ec7e7-refresh"}
	byToken := withAuth(tokenAuth("QSDK 5ec7e7-token"))
	calls := map[string]func(*testing.T, int, string) (*Client, error){
		"Login": func(t *testing.T, status int, text string) (*Client, error) {
			c := operations(t, status, text)
			return c, c.LogIn(t.Context())
		},
		"CreateTask": func(t *testing.T, status int, text string) (*Client, error) {
			c := operations(t, status, text, byToken)
			_, err := c.CreateTask(t.Context(), testTask())
			return c, err
		},
		"list": func(t *testing.T, status int, text string) (*Client, error) {
			c := operations(t, status, text, byToken)
			return c, c.CanListJobs(t.Context())
		},
		"Renew": func(t *testing.T, status int, text string) (*Client, error) {
			c := operations(t, status, text)
			_, err := c.renewPair(t.Context(), pair)
			return c, err
		},
		"State of a job": func(t *testing.T, status int, text string) (*Client, error) {
			c := operations(t, status, text, byToken)
			_, err := c.Job(t.Context(), "5976")
			return c, err
		},
	}
	for _, tt := range []struct {
		name   string
		status int
		text   string
		says   string // the calls that say so
	}{
		{"not found", 404, "<html><title>404</title></html>", "CreateTask list Login Renew"},
		{"not found, empty", 404, "", "CreateTask list Login Renew"},
		{"wrong method", 405, "Method Not Allowed", "CreateTask list Login Renew"},
		{"redirect", 302, "", "Login"},
		{"page", 200, "<!doctype html><title>Command Center</title>", "Login"},
		{"words of the API", 404, `{"errorCode":2,"errorMessage":"No."}`, ""},
		{"crash", 500, "", ""},
		{"proxy", 502, "<html/>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, try := range calls {
				c, err := try(t, tt.status, tt.text)
				e, got := errors.AsType[*EndpointError](err)
				if want := strings.Contains(tt.says, name); err == nil || got != want {
					t.Errorf("%s: %v", name, err)
				}
				if got && (e.Endpoint != c.endpoint || len(e.Try) != 1 || e.Try[0] != strings.Replace(c.endpoint, "commandcenter", "webconsole", 1)) {
					t.Errorf("%s: %+v", name, e)
				}
				noSecrets(t, err)
			}
		})
	}
}

// A base that is not found is an error, unless the operations are there.
func TestReach_NotFoundIsAnErrorOfTheEndpoint(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		text   string
		detail string
		err    string
	}{
		"operations only": {status: 401, text: denied, detail: "/commandcenter/api: 404, POST WhoAmI: 401"},
		"its own words":   {status: 404, text: denied, detail: "/commandcenter/api: 404, POST WhoAmI: 404"},
		"nothing":         {status: 404, err: "/commandcenter/api: 404: the API does not seem to be at the endpoint http://"},
		"a website":       {status: 405, err: "the API does not seem to be at the endpoint http://"},
	} {
		c := operations(t, tt.status, tt.text)
		r := c.Reach(t.Context())
		names, err := steps(r)
		last := r.Steps[len(r.Steps)-1]
		if names != "DNS TCP HTTP" || !strings.HasSuffix(last.Detail, tt.detail) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %s, %q, %v", name, names, last.Detail, err)
		}
		if _, ok := errors.AsType[*EndpointError](err); ok != (tt.err != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
