package vendorapi

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What the vendor says about a login that fails reaches the operator.
func TestLogIn_hasTheVendorsMessage(t *testing.T) {
	moved := func(location string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			reply(w, 302, "")
		}
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a crash, JSON":       {always(500, `{"error":{"errorCode":500,"errorMessage":"The CommServe is down."}}`), "HTTP 500: code 500: The CommServe is down."},
		"a crash, XML":        {always(500, `<CVGui_GenericResp errorMessage="The CommServe is down." errorCode="500"/>`), "HTTP 500: code 500: The CommServe is down."},
		"in an error list":    {always(500, `{"errList":[{"errLogMessage":"The CommServe is down.","errorCode":500}]}`), "The CommServe is down."},
		"plain text":          {always(500, "Service temporarily out of order"), "HTTP 500: Service temporarily out of order"},
		"a page":              {always(502, "<html><head><title>502 Bad Gateway</title></head></html>"), "502 Bad Gateway"},
		"throttled":           {always(429, `{"errorCode":429,"errorMessage":"Rate limit is exceeded."}`), "Rate limit is exceeded."},
		"unavailable":         {always(503, "<html><title>Service Unavailable</title></html>"), "Service Unavailable"},
		"a redirect":          {moved("https://sso.example.com/login/start;jsessionid=5ec7e7?token=5ec7e7#5ec7e7"), "redirected to https://sso.example.com/login/start"},
		"a redirect by path":  {moved("/webconsole/login.jsp?user=5ec7e7"), "redirected to /webconsole/login.jsp"},
		"a redirect, user":    {moved("https://user:5ec7e7@cs.example.com/api"), "redirected to https://cs.example.com/api"},
		"a redirect, long":    {moved("https://cs.example.com/" + strings.Repeat("way-", 5000)), "redirected to https://cs.example.com/way-way-"},
		"half a token":        {always(200, `{"token":"QSDK 5ec7e7","errList":[`), "the answer (34 bytes) is not one to a login"},
		"a token under 500":   {always(500, `{"token":"QSDK 5ec7e7","errList":[`), "the answer (34 bytes) is not one to a login"},
		"the password, 500":   {always(500, `{"error":{"errorCode":500,"errorMessage":"Cannot check `+testSecret+`."}}`), "Cannot check ***."},
		"the password, plain": {always(500, `Cannot check `+testSecret+`.`), "Cannot check ***."},
	} {
		t.Run(name, func(t *testing.T) {
			v := startVendor(t, map[string]http.HandlerFunc{"Login": tt.answer})
			c := newTestClient(t, v.url, withAuth(Auth{Mode: AuthLogin, Username: "u", Password: fixed(testSecret)}))
			err := c.LogIn(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 500 {
				t.Errorf("%v, want %q", err, tt.want)
			}
			noSecrets(t, err)
		})
	}
}

// A redirect's target is named by every call.
func TestClient_namesTheTargetOfARedirect(t *testing.T) {
	moved := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://new.example.com/commandcenter/api/x?token=5ec7e7")
		reply(w, 302, "")
	}
	const want = "redirected to https://new.example.com/commandcenter/api/x"
	v := startVendor(t, map[string]http.HandlerFunc{
		"CreateTask": moved, "Jobs": moved, "Job": moved, "TaskDetails": moved, "Renew": moved, "api": moved,
	})
	c := newTestClient(t, v.url, byToken)
	_, createErr := c.CreateTask(t.Context(), testTask())
	_, findErr := c.Find(t.Context(), testTask(), time.Now())
	_, detailsErr := c.Description(t.Context(), "7")
	_, renewErr := c.renewPair(t.Context(), tokenPair{Access: "old-5ec7e7", Refresh: "old-5ec7e7-refresh"})
	for op, err := range map[string]error{"CreateTask": createErr, "Find": findErr, "Description": detailsErr, "Renew": renewErr} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", op, err)
		}
		noSecrets(t, err)
	}
	steps := c.Reach(t.Context()).Steps
	if last := steps[len(steps)-1]; !strings.Contains(last.Detail, want) {
		t.Errorf("%+v", last)
	}
}

// secureServer is a server that accepts only what cfg allows.
func secureServer(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = cfg
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL + "/api"
}

// A handshake that fails says what was offered and what the server answered.
func TestClient_aFailedHandshakeNamesWhatWasOffered(t *testing.T) {
	closes, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closes.Close() })
	go func() {
		for {
			conn, err := closes.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, tt := range map[string]struct {
		endpoint string
		want     []string
	}{
		"a cipher": {secureServer(t, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}),
			[]string{"handshake failure", "offered TLS 1.2 to TLS 1.3", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}},
		"a version": {secureServer(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), []string{"protocol version", "offered TLS 1.2 to TLS 1.3"}},
		"no TLS":    {strings.Replace(plain.URL, "http:", "https:", 1) + "/api", []string{"the server answers without TLS: tls: first record does not look like a TLS handshake"}},
		"closed":    {"https://" + closes.Addr().String() + "/api", []string{"offered TLS 1.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, tt.endpoint)
			steps := c.Reach(t.Context()).Steps
			for op, err := range map[string]error{"a call": c.LogIn(t.Context()), "check": steps[len(steps)-1].Err} {
				if err == nil || len(err.Error()) > 1000 {
					t.Fatalf("%s: %v", op, err)
				}
				for _, want := range tt.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %v\nwithout %q", op, err, want)
					}
				}
				if name == "no TLS" && strings.Contains(err.Error(), "offered") {
					t.Errorf("%s: %v", op, err)
				}
			}
		})
	}
	// The error of an untrusted certificate does not list what was offered.
	err = newTestClient(t, secureServer(t, &tls.Config{})).LogIn(t.Context())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || strings.Contains(err.Error(), "offered") {
		t.Errorf("%v", err)
	}
}
