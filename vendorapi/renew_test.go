package vendorapi

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestReadRenewal: only a whole new pair is one, and only what is clearly no
// renewal leaves the old pair as it was.
func TestReadRenewal(t *testing.T) {
	old := tokenPair{Access: "old-5ec7e7", Refresh: "old-refresh-5ec7e7"}
	const access, refresh = "new-5ec7e7", "new-refresh-5ec7e7"
	for _, tt := range []struct {
		name    string
		status  int
		header  http.Header
		body    string
		renewed bool
		refusal string // its message has this; "" when there is no LoginError
		verdict Verdict
		wait    time.Duration
	}{
		{name: "recorded", status: 200, renewed: true, body: `{"accessTokenId":9,"tokenName":"Backhaul","accessToken":"new-5ec7e7","refreshToken":"new-refresh-5ec7e7","renewableUntilTimestamp":1778644800,"tokenExpiryTimestamp":1770926484,"refreshTokenExpiryTimestamp":1772134284}`},
		{name: "in an object", status: 200, renewed: true, body: `{"errorCode":0,"tokenInfo":{"accessToken":"new-5ec7e7","refreshToken":"new-refresh-5ec7e7"}}`},
		{name: "not well-formed", status: 200, renewed: true, body: `{"accessToken":"new-5ec7e7","refreshToken":"new-refresh-5ec7e7",}`},
		{name: "escaped, with spaces", status: 200, renewed: true, body: "{\r \"accessToken\" : \"new\\u002d5ec7e7\",\r \"refreshToken\" : \"new-refresh-5ec7e7\"}"},
		{name: "XML", status: 200, renewed: true, body: `<Api_RenewAccessTokenResp accessTokenId="9" accessToken="new-5ec7e7" refreshToken="new-refresh-5ec7e7"/>`},
		{name: "beside a warning", status: 200, renewed: true, body: `{"errorCode":0,"errorMessage":"","accessToken":"new-5ec7e7","refreshToken":"new-refresh-5ec7e7"}`},

		{name: "401", status: 401, refusal: "Access denied", body: denied},
		{name: "401 HTML", status: 401, refusal: "HTTP 401", body: "<html><title>old-5ec7e7</title></html>"},
		{name: "403 empty", status: 403, refusal: "HTTP 403"},
		{name: "access denied in 200", status: 200, refusal: "Access denied", body: denied},
		{name: "with a reason", status: 200, refusal: "*** has expired", body: `{"errorCode":7,"errorMessage":"old-refresh-5ec7e7 has expired"}`},
		{name: "400 with a reason", status: 400, refusal: "No.", body: `{"error":{"errorCode":7,"errorMessage":"No."}}`},
		{name: "401 with the request in it", status: 401, refusal: "HTTP 401", body: `denied: {"accessToken":"old-5ec7e7","refreshToken":"old-refresh-5ec7e7"}`},

		{name: "429", status: 429, verdict: Throttled, wait: 36 * time.Second, header: http.Header{"X-Ratelimit-Period": {"36"}}, body: `{"statusCode":429,"message":"Rate limit is exceeded."}`},
		{name: "404", status: 404, verdict: NotSent, wait: loginPause, body: "<html/>"},
		{name: "400", status: 400, verdict: NotSent, wait: loginPause, body: "Request body is empty or format is invalid."},
		{name: "redirect", status: 307, verdict: NotSent, wait: loginPause, header: http.Header{"Location": {"https://elsewhere.example.com/V4"}}},

		{name: "empty", status: 200},
		{name: "the old pair", status: 200, body: `{"accessToken":"old-5ec7e7","refreshToken":"old-refresh-5ec7e7"}`},
		{name: "half a pair", status: 200, body: `{"accessToken":"new-5ec7e7"}`},
		{name: "cut", status: 200, body: `{"accessToken":"new-5ec7e7","refreshToken":"new-refr`},
		{name: "not text", status: 200, body: `{"accessToken":17,"refreshToken":18}`},
		{name: "not sendable", status: 200, body: `{"accessToken":"new 5ec7e7","refreshToken":"new-refresh-5ec7e7"}`},
		{name: "pair under an error", status: 401, body: `{"accessToken":"new-5ec7e7","refreshToken":"new-refresh-5ec7e7"}`},
		{name: "HTML", status: 200, body: "<html><title>new-5ec7e7</title></html>"},
		{name: "crash", status: 500, body: crashed},
		{name: "crash in 200", status: 200, body: `{"errorCode":500,"errorMessage":"Failed."}`},
		{name: "500 with a reason", status: 500, body: `{"errorCode":2,"errorMessage":"No."}`},
		{name: "502", status: 502, body: "<html/>"},
		{name: "503", status: 503, body: html503},
		{name: "503 with a time", status: 503, header: http.Header{"Retry-After": {"1"}}},
		{name: "303", status: 303},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, err := readRenewal(response{Status: tt.status, Header: tt.header, Body: []byte(tt.body)}, old)
			if tt.renewed {
				if err != nil || next != (tokenPair{Access: access, Refresh: refresh}) {
					t.Errorf("%+v, %v", next, err)
				}
				return
			}
			noSecrets(t, err)
			if next != (tokenPair{}) {
				t.Errorf("a pair beside %v", err)
			}
			refusal, isRefusal := errors.AsType[*LoginError](err)
			if isRefusal != (tt.refusal != "") || isRefusal && !strings.Contains(refusal.Message, tt.refusal) {
				t.Fatalf("error %v (%T)", err, err)
			}
			if isRefusal {
				return
			}
			if e := wantVerdict(t, err, tt.verdict); e.RetryAfter != tt.wait || e.Status != tt.status {
				t.Errorf("%+v, want a wait of %s", e, tt.wait)
			}
		})
	}
}

// TestRenewPair_request: as the vendor's page has it.
func TestRenewPair_request(t *testing.T) {
	v := startVendor(t, map[string]http.HandlerFunc{
		"CreateTask": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer new-5ec7e7" && r.Header.Get("Authtoken") == "" {
				reply(w, 200, `{"jobIds":["1"]}`)
				return
			}
			reply(w, 401, denied)
		},
		"Renew": func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if want := `{"accessToken":"simulator-access","refreshToken":"simulator-refresh"}`; err != nil || string(body) != want ||
				r.Header.Get("Authorization") != "Bearer simulator-access" || r.Header.Get("Content-Type") != "application/json" || r.URL.Path != "/api/V4/AccessToken/Renew" {
				t.Errorf("%s %v %s", r.URL.Path, r.Header, body)
			}
			reply(w, 200, `{"accessToken":"new-5ec7e7","refreshToken":"new-refresh-5ec7e7"}`)
		},
	})
	file := pairAt(t, worldPair)
	job, err := newTestClient(t, v.url, bearer(file)).CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	if pair := pairIn(t, file); pair != (tokenPair{Access: "new-5ec7e7", Refresh: "new-refresh-5ec7e7"}) {
		t.Error("the file has another pair")
	}
}
