package vendorapi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"

	"github.com/go-json-experiment/json"
)

// loginCase is an answer to Login and what a correct client concludes.
type loginCase struct {
	name    string
	status  int
	header  http.Header
	body    string
	token   string // "" when there is none
	refusal *LoginError
	verdict Verdict // of what is neither
	wait    time.Duration
}

var loginCases = []loginCase{
	{name: "recorded", status: 200, token: "QSDK 5ec7e7", body: `{"aliasName":"1","loginAttempts":0,"remainingLockTime":0,"token":"QSDK 5ec7e7","isAccountLocked":false,"ownerOrganization":{"providerId":0},"errList":[]}`},
	{name: "without a scheme", status: 200, token: "QSDK 5ec7e7", body: `{"token":"5ec7e7"}`},
	{name: "SAML", status: 200, token: "SAML 5ec7e7", body: `{"token":"SAML 5ec7e7"}`},
	{name: "bare CR and BOM", status: 200, token: "QSDK 5ec7e7", body: "\xef\xbb\xbf{\r\"token\":\"QSDK 5ec7e7\"\r}\r"},
	{name: "numbers for booleans", status: 200, token: "QSDK 5ec7e7", body: `{"token":"QSDK 5ec7e7","isAccountLocked":0,"remainingLockTime":"0"}`},
	{name: "XML", status: 200, token: "QSDK 5ec7e7", body: `<DM2ContentIndexing_CheckCredentialResp aliasName="1" loginAttempts="0" remainingLockTime="0" isAccountLocked="0" token="QSDK 5ec7e7"><ownerOrganization providerId="0"/></DM2ContentIndexing_CheckCredentialResp>`},
	{name: "XML with a declaration", status: 200, token: "QSDK 5ec7e7", body: `<?xml version="1.0" encoding="UTF-8" standalone="no" ?><DM2ContentIndexing_CheckCredentialResp token="QSDK 5ec7e7"/>`},

	{name: "refused", status: 200, refusal: &LoginError{Code: "1116", Message: "Wrong."}, body: `{"loginAttempts":1,"errList":[{"errLogMessage":"Wrong.","errorCode":1116}]}`},
	{name: "refused, XML", status: 200, refusal: &LoginError{Code: "1116", Message: "Wrong."}, body: `<DM2ContentIndexing_CheckCredentialResp loginAttempts="1" isAccountLocked="0"><errList errLogMessage="Wrong." errorCode="1116"/></DM2ContentIndexing_CheckCredentialResp>`},
	{name: "locked", status: 200, refusal: &LoginError{Code: "1117", Message: "Locked.", Locked: 5 * time.Minute}, body: `{"isAccountLocked":true,"remainingLockTime":300,"errList":[{"errLogMessage":"Locked.","errorCode":1117}]}`},
	{name: "locked, text and number", status: 200, refusal: &LoginError{Locked: 5 * time.Minute}, body: `{"isAccountLocked":1,"remainingLockTime":"300"}`},
	{name: "locked, XML", status: 200, refusal: &LoginError{Locked: 5 * time.Minute}, body: `<DM2ContentIndexing_CheckCredentialResp isAccountLocked="1" remainingLockTime="300"/>`},
	{name: "attempts left, not locked", status: 200, refusal: &LoginError{Code: "1116"}, body: `{"isAccountLocked":false,"remainingLockTime":3,"errList":[{"errorCode":1116}]}`},
	{name: "lock time below 0", status: 200, refusal: &LoginError{Code: "1117"}, body: `{"isAccountLocked":true,"remainingLockTime":-1,"errList":[{"errorCode":1117}]}`},
	{name: "lock time beyond time", status: 200, refusal: &LoginError{Code: "1117", Locked: 2147483647 * time.Second}, body: `{"isAccountLocked":true,"remainingLockTime":9223372036854775807,"errList":[{"errorCode":1117}]}`},
	{name: "on top", status: 200, refusal: &LoginError{Code: "5", Message: "Access denied"}, body: denied},
	{name: "401", status: 401, refusal: &LoginError{Code: "5", Message: "Access denied"}, body: denied},
	{name: "401 HTML", status: 401, refusal: &LoginError{Message: "HTTP 401: Unauthorized"}, body: "<html><title>Unauthorized</title></html>"},
	{name: "403 empty", status: 403, refusal: &LoginError{Message: "HTTP 403 without a reason"}},
	{name: "400 with a reason", status: 400, refusal: &LoginError{Code: "2", Message: "No."}, body: `{"errorCode":2,"errorMessage":"No."}`},
	{name: "no token and no reason", status: 200, refusal: &LoginError{Message: "HTTP 200 without a reason"}, body: `{"errList":[]}`},
	{name: "token under 401", status: 401, refusal: &LoginError{Message: "HTTP 401 without a reason"}, body: `{"token":"QSDK 5ec7e7"}`},

	{name: "empty", status: 200, verdict: NotSent},
	{name: "HTML", status: 200, verdict: NotSent, body: "<html><head><title>Sign in</title></head></html>"},
	{name: "XHTML", status: 200, verdict: NotSent, body: `<?xml version="1.0"?><html errorCode="5"><head/></html>`},
	{name: "half an answer", status: 200, verdict: NotSent, body: `{"token":"QSDK 5ec7e7","errList":[`},
	{name: "half an answer, XML", status: 200, verdict: NotSent, body: `<DM2ContentIndexing_CheckCredentialResp token="QSDK 5ec7e7">`},
	{name: "token that is none", status: 200, verdict: NotSent, body: `{"token":["QSDK 5ec7e7"]}`},
	{name: "404 of a gateway", status: 404, verdict: NotSent, body: `{"statusCode":404,"message":"Resource not found"}`},
	{name: "404", status: 404, verdict: NotSent, body: "<html/>"},
	{name: "302", status: 302, verdict: NotSent},
	{name: "500 with a reason", status: 500, verdict: NotSent, body: `{"errorCode":500,"errorMessage":"Failed."}`},
	{name: "500 that decides", status: 500, refusal: &LoginError{Code: "1116", Message: "Wrong."}, body: `{"errorCode":1116,"errorMessage":"Wrong."}`},
	{name: "500 that decides, XML", status: 500, refusal: &LoginError{Code: "1116", Message: "Wrong."}, body: `<DM2ContentIndexing_CheckCredentialResp errorCode="1116" errorMessage="Wrong."/>`},
	{name: "403 with a nested reason", status: 403, refusal: &LoginError{Code: "7", Message: "No."}, body: `{"error":{"errorCode":7,"errorMessage":"No."}}`},
	{name: "502", status: 502, verdict: NotSent, body: "<html/>"},
	{name: "429", status: 429, verdict: Throttled, header: http.Header{"X-Ratelimit-Period": {"36"}}, body: `{"statusCode":429,"message":"Rate limit is exceeded."}`, wait: 36 * time.Second},
	{name: "503", status: 503, verdict: NotSent, header: http.Header{"Retry-After": {"120"}}, wait: 2 * time.Minute},
	{name: "503 HTML", status: 503, verdict: NotSent, body: html503, wait: defaultRetryAfter},
}

func TestReadLogin(t *testing.T) {
	for _, tt := range loginCases {
		t.Run(tt.name, func(t *testing.T) {
			value, err := readLogin(response{Status: tt.status, Header: tt.header, Body: []byte(tt.body)})
			if string(value) != tt.token || (err == nil) != (tt.token != "") {
				t.Fatalf("token %q, error %v", string(value), err)
			}
			if err == nil {
				return
			}
			noSecrets(t, err)
			refusal, isRefusal := errors.AsType[*LoginError](err)
			if isRefusal != (tt.refusal != nil) {
				t.Fatalf("error %v (%T)", err, err)
			}
			if isRefusal {
				refusal.unsure = false // see TestReadLogin_faultsOfTheVendor
				if *refusal != *tt.refusal {
					t.Errorf("%+v, want %+v", *refusal, *tt.refusal)
				}
				return
			}
			if e := wantVerdict(t, err, tt.verdict); e.RetryAfter != tt.wait || e.Status != tt.status {
				t.Errorf("%+v, want a wait of %s", e, tt.wait)
			}
		})
	}
}

// TestReadLogin_namesAGateway: its token is of another kind, and sending it as ours
// would only look like an expired one.
func TestReadLogin_namesAGateway(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Gateway: true})
	_, err := c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, NotSent)
	if !strings.Contains(err.Error(), "gateway") {
		t.Errorf("%v does not say what is wrong", err)
	}
	if a := sim.Account(); a.CreateTaskCalls != 0 || a.Logins != 1 {
		t.Errorf("%+v", a)
	}
}

// TestSession_keepsAThrottledLogin: the pause applies to all calls, and is not a refusal.
func TestSession_keepsAThrottledLogin(t *testing.T) {
	for _, tt := range []struct {
		fault simulator.Fault
		want  Verdict
	}{
		{simulator.Fault{Kind: simulator.TooManyRequests, For: 20 * time.Second}, Throttled},
		{simulator.Fault{Kind: simulator.Unavailable, For: 20 * time.Second}, NotSent},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, c := onPipe(t, simulator.Config{})
				sim.ScriptFor("Login", tt.fault)
				for i := range 20 {
					_, err := c.CreateTask(t.Context(), testTask())
					e := wantVerdict(t, err, tt.want)
					if want := time.Duration(20-i) * time.Second; e.RetryAfter != want || e.Op != "Login" {
						t.Errorf("%s: retry after %s, want %s", e.Op, e.RetryAfter, want)
					}
					if _, ok := errors.AsType[*LoginError](err); ok {
						t.Error("a pause was taken for a refusal")
					}
					<-time.After(time.Second)
				}
				job, err := c.CreateTask(t.Context(), testTask())
				wantJob(t, job, err)
				if n := sim.Account().Calls["Login"]; n != 2 {
					t.Errorf("%d logins", n)
				}
			})
		})
	}
}

// TestSession_noLoginWithoutASecret: an empty file is being replaced, and a login with
// nothing counts towards the lock.
func TestSession_noLoginWithoutASecret(t *testing.T) {
	unreadable := func() (Secret, error) { return "", fmt.Errorf("read secret: %w", os.ErrPermission) }
	for _, read := range []func() (Secret, error){fixed(""), unreadable} {
		for _, auth := range []Auth{{Mode: AuthLogin, Username: "u", Password: read}, {Mode: AuthToken, Token: read}} {
			sim, c := onLoopback(t, simulator.Config{}, withAuth(auth))
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
			if n := len(sim.Account().Calls); n != 0 {
				t.Errorf("%s: calls were made", auth.Mode)
			}
		}
	}
}

// TestSession_hidesEchoedSecrets: pages for developers show the request.
func TestSession_hidesEchoedSecrets(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(testSecret))
	auth := withAuth(Auth{Mode: AuthLogin, Username: "u", Password: fixed(testSecret)})
	for _, status := range []int{200, 400, 401, 404, 429, 500, 503} {
		v := startVendor(t, map[string]http.HandlerFunc{
			"CreateTask": func(w http.ResponseWriter, r *http.Request) {
				page, err := json.Marshal(map[string]any{"errorCode": 2, "errorMessage": "Authtoken: " + r.Header.Get("Authtoken")[5:]})
				if err != nil {
					t.Error(err)
				}
				reply(w, status, string(page))
			},
			"Job": func(w http.ResponseWriter, r *http.Request) {
				reply(w, status, "<html><title>"+r.Header.Get("Authtoken")[5:]+"</title></html>")
			},
		})
		c := newTestClient(t, v.url, auth)
		_, err := c.CreateTask(t.Context(), testTask())
		if err == nil {
			t.Fatal("no error")
		}
		noSecrets(t, err)
		_, err = newTestClient(t, v.url, auth).Find(t.Context(), testTask(), time.Now())
		if err == nil {
			t.Fatal("no error")
		}
		noSecrets(t, err)

		v = startVendor(t, map[string]http.HandlerFunc{"Login": always(status,
			`{"errList":[{"errorCode":1116,"errLogMessage":"Wrong password `+testSecret+` (`+encoded+`)"}]}`)})
		_, err = newTestClient(t, v.url, auth).CreateTask(t.Context(), testTask())
		wantVerdict(t, err, map[bool]Verdict{true: Throttled, false: NotSent}[status == 429])
	}
}

func TestSecret_isNeverShown(t *testing.T) {
	secret := Secret(testSecret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%T %v"} {
		args := []any{secret}
		if strings.HasPrefix(verb, "%T") {
			args = []any{secret, secret}
		}
		if text := fmt.Sprintf(verb, args...); strings.Contains(text, "Tr0ub4dor") || strings.Contains(text, fmt.Sprintf("%x", testSecret)) {
			t.Errorf("%s shows it: %s", verb, text)
		}
	}
	text, err := json.Marshal(map[string]any{"password": secret, "list": []Secret{secret}})
	if err != nil || strings.Contains(string(text), "Tr0ub4dor") {
		t.Errorf("JSON shows it: %s, %v", text, err)
	}
	_, c := onLoopback(t, simulator.Config{}, withAuth(Auth{Mode: AuthLogin, Username: testUser, Password: fixed(testSecret)}))
	_, err = c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, NotSent)
	noSecrets(t, c)
	noSecrets(t, c.session)
	noSecrets(t, []any{secret, &secret, struct{ Password Secret }{secret}})
}

// TestGiven_aReplacedToken: a token that is not accepted any more is not sent again
// until it was replaced, and then at once.
func TestGiven_aReplacedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var token atomic.Value
		token.Store(Secret("expired-5ec7e7"))
		auth := Auth{Mode: AuthToken, Token: func() (Secret, error) { return token.Load().(Secret), nil }}
		sim, c := onPipe(t, simulator.Config{}, withAuth(auth))
		for range loginPause / time.Second {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
			if _, ok := errors.AsType[*LoginError](err); !ok || !strings.Contains(err.Error(), "replace it") {
				t.Fatalf("%v does not say what to do", err)
			}
			<-time.After(time.Second)
		}
		if n := sim.Account().CreateTaskCalls; n != 1 {
			t.Errorf("the refused token was sent %d times", n)
		}
		_, err := c.CreateTask(t.Context(), testTask()) // the pause is over: it may be accepted again
		wantVerdict(t, err, NotSent)
		if n := sim.Account().CreateTaskCalls; n != 2 {
			t.Errorf("the refused token was sent %d times", n)
		}
		token.Store(Secret(worldToken))
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)

		// Replaced before it is refused: the call that notices continues with the new one.
		token.Store(Secret("QSDK " + worldToken))
		c.session.current = &token0
		job, err = c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)

		// The new one is refused too: that is not an answer about the request.
		token.Store(Secret("another-5ec7e7"))
		c.session.current = &token0
		_, err = c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, NotSent)
	})
}

// TestGiven_aTokenThatAlwaysChanges ends: a call is sent three times at most.
func TestGiven_aTokenThatAlwaysChanges(t *testing.T) {
	var n atomic.Int32
	next := func() (Secret, error) { return Secret(fmt.Sprintf("5ec7e7-%d", n.Add(1))), nil }
	sim, c := onLoopback(t, simulator.Config{}, withAuth(Auth{Mode: AuthToken, Token: next}))
	_, err := c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, NotSent)
	if n := sim.Account().CreateTaskCalls; n != maxTries {
		t.Errorf("sent %d times", n)
	}
}

var token0 = *authtoken("old-5ec7e7")

// TestGiven_aTokenWithoutPermission: a request that a given token may not make is
// refused, and does not stop the requests of others.
func TestGiven_aTokenWithoutPermission(t *testing.T) {
	v := startVendor(t, map[string]http.HandlerFunc{
		"WhoAmI": always(200, `<CvEntities_ProcessingInstructionInfo><user userName="backhaul" userId="1"/></CvEntities_ProcessingInstructionInfo>`),
		"CreateTask": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authtoken") != "QSDK "+worldToken {
				t.Error("another token")
			}
			if body, err := io.ReadAll(r.Body); err != nil || bytes.Contains(body, []byte("stestgroup")) {
				reply(w, 401, denied)
				return
			}
			reply(w, 200, `{"jobIds":["1"]}`)
		},
	})
	c := newTestClient(t, v.url, byToken)
	for range 3 {
		_, err := c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, AuthRefused)
		job, err := c.CreateTask(t.Context(), loadTask(1))
		wantJob(t, job, err)
	}
}

// TestSession_aTokenThatCannotBeChecked: the token is kept, and nothing is said about the
// request.
func TestSession_aTokenThatCannotBeChecked(t *testing.T) {
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, check := range []http.HandlerFunc{always(500, crashed), always(429, ""), always(503, html503), cut} {
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(401, denied), "WhoAmI": check})
		c := newTestClient(t, v.url, byToken)
		for range 2 {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
			if _, ok := errors.AsType[*LoginError](err); ok {
				t.Errorf("%v blames the token", err)
			}
		}
		if n := v.count("CreateTask"); n != 2 {
			t.Errorf("%d calls: the token was dropped", n)
		}
	}
}

func TestLoginError_text(t *testing.T) {
	for want, e := range map[string]*LoginError{
		"login refused":                    {},
		"login refused: code 1116: Wrong.": {Code: "1116", Message: "Wrong. "},
		"login refused: code 1117: Locked.: account locked for 5m0s": {Code: "1117", Message: "Locked.", Locked: 5 * time.Minute},
		"login refused; the password is that of A_SETTING":           {Setting: "A_SETTING"},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}
