package simulator_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// clock is a Config.Now that a test moves.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time       { return c.now }
func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

// denied makes a call and fails the test unless it is denied for its token.
func (c *client) denied(header ...string) {
	c.t.Helper()
	c.call(http.StatusUnauthorized, http.MethodGet, "/Job/1", "", header...).
		want("errorMessage", "Access denied", "errorCode", "5")
}

func TestSimulator_Login(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	c.post("/Login", loginBody("BackHaul", "simulator")).want("userName", "backhaul", "isAccountLocked", "false", "errList", "[]")
	c.post("/Login", loginBody(`company\backhaul`, "simulator")).want("errList", "[]")
	for _, body := range []string{
		loginBody("backhaul", "wrong"),
		loginBody("nobody", "simulator"),
		`{"username":"backhaul","password":"simulator"}`, // not Base64
		`{}`,
	} {
		c.post("/Login", body).want("token", "", "errList.0.errorCode", "1116", "isAccountLocked", "false")
	}
	c.call(http.StatusBadRequest, http.MethodPost, "/Login", "")

	a := sim.Account()
	if a.Logins != 3 || a.LoginFailures != 4 || a.TokensIssued != 3 {
		t.Errorf("account: %+v", a)
	}
}

func TestSimulator_LoginXML(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	request := func(password string) string {
		return `<DM2ContentIndexing_CheckCredentialReq mode="Webconsole" username="backhaul" password="` +
			base64.StdEncoding.EncodeToString([]byte(password)) + `" />`
	}
	xml := []string{"Content-Type: application/xml", "Accept: application/xml"}
	root, attributes, children := tree(t, c.post("/Login", request("simulator"), xml...).body)
	if root != "DM2ContentIndexing_CheckCredentialResp" || attributes["isAccountLocked"] != "0" || len(children) != 1 {
		t.Errorf("%s %v %v", root, attributes, children)
	}
	c.token = attributes["token"]
	c.get("/Job/1")

	_, attributes, children = tree(t, c.post("/Login", request("wrong"), xml...).body)
	if _, there := attributes["token"]; there || len(children) != 1 {
		t.Errorf("%v %v", attributes, children)
	}
}

func TestSimulator_LocksAccounts(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	for range 4 {
		c.post("/Login", loginBody("backhaul", "wrong")).want("isAccountLocked", "false")
	}
	c.post("/Login", loginBody("backhaul", "wrong")).want("isAccountLocked", "true", "remainingLockTime", "300")
	now.pass(100 * time.Second)
	c.post("/Login", loginBody("backhaul", "simulator")).want("isAccountLocked", "true", "remainingLockTime", "200", "token", "")
	now.pass(200 * time.Second)
	c.post("/Login", loginBody("backhaul", "wrong")).want("isAccountLocked", "false", "loginAttempts", "1")
	c.login()
}

func TestSimulator_AcceptsTokenHeaders(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	secret := strings.TrimPrefix(c.token, "QSDK ")
	c.token = ""
	for _, header := range []string{"Authtoken: QSDK " + secret, "authtoken: " + secret,
		"Authorization: Bearer simulator-access", "Authtoken: simulator-access", "Authtoken: Bearer simulator-access"} {
		c.get("/Job/1", header)
	}
	for _, header := range []string{"", "Authtoken: QSDK 00", "Authtoken: QSDK ", "Authorization: Bearer " + secret,
		"Authorization: QSDK " + secret, "Authorization: simulator-access", "Authtoken: simulator-refresh"} {
		c.denied(header)
	}
	got := c.call(http.StatusUnauthorized, http.MethodGet, "/Job/1", "", "Accept: application/xml")
	wantTree(t, got.body, `<CVGui_GenericResp errorMessage="Access denied" errorCode="5"/>`)
}

func TestSimulator_ExpiresIdleTokens(t *testing.T) {
	now := newClock()
	sim, c := direct(t, simulator.Config{Now: now.Now})
	for range 5 {
		now.pass(29 * time.Minute)
		c.get("/Job/1")
	}
	now.pass(30 * time.Minute)
	c.denied()
	c.denied() // a denied call does not count as activity
	if n := sim.Account().Unauthorised; n != 2 {
		t.Errorf("%d calls were unauthorised", n)
	}

	short := c.post("/Login", `{"username":"backhaul","password":"c2ltdWxhdG9y","timeout":1}`)
	c.token = short.text("token")
	now.pass(59 * time.Second)
	c.get("/Job/1")
	now.pass(time.Minute)
	c.denied()
}

func TestSimulator_RenewLoginToken(t *testing.T) {
	now := newClock()
	sim, c := direct(t, simulator.Config{Now: now.Now, TokenIdle: time.Minute})
	old := c.token
	now.pass(2 * time.Minute)
	c.denied()
	c.token = c.post("/RenewLoginToken", `{"sessionId":"`+old+`","deviceId":"x"}`).text("token")
	c.get("/Job/1")
	c.post("/RenewLoginToken", `{"sessionId":"`+old+`"}`).want("token", "", "error.errLogMessage", "Invalid session.")
	if n := sim.Account().TokensIssued; n != 2 {
		t.Errorf("%d tokens issued", n)
	}
}

func TestSimulator_Logout(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	if got := c.post("/Logout", ""); got.body != "User logged out" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
		t.Errorf("%v %q", got.header, got.body)
	}
	c.denied()
	c.post("/RenewLoginToken", `{"sessionId":"`+c.token+`"}`).want("token", "")
}

func TestSimulator_WhoAmIAnswersXML(t *testing.T) {
	_, c := direct(t, simulator.Config{})
	_, _, children := tree(t, c.post("/WhoAmI", "").body)
	if user := children[0].([]any); user[0] != "user" || user[1].(map[string]string)["userName"] != "backhaul" {
		t.Errorf("%v", children)
	}
}

func (c *client) renew(status int, access, refresh string) reply {
	c.t.Helper()
	return c.call(status, http.MethodPost, "/V4/AccessToken/Renew", `{"accessToken":"`+access+`","refreshToken":"`+refresh+`"}`)
}

func TestSimulator_RenewsAccessTokens(t *testing.T) {
	now := newClock()
	_, c := direct(t, simulator.Config{Now: now.Now})
	c.token = ""
	now.pass(30 * time.Minute) // access tokens don't live longer by being used
	c.denied("Authorization: Bearer simulator-access")

	pair := c.renew(http.StatusOK, "simulator-access", "simulator-refresh")
	c.get("/Job/1", "Authorization: Bearer "+pair.text("accessToken"))
	c.renew(http.StatusUnauthorized, pair.text("accessToken"), "simulator-refresh")

	now.pass(14 * 24 * time.Hour)
	c.renew(http.StatusUnauthorized, pair.text("accessToken"), pair.text("refreshToken"))
}

func TestSimulator_EndsTheChainOfAReusedPair(t *testing.T) {
	sim, c := direct(t, simulator.Config{})
	c.token = ""
	second := c.renew(http.StatusOK, "simulator-access", "simulator-refresh")
	third := c.renew(http.StatusOK, second.text("accessToken"), second.text("refreshToken"))
	valid := "Authorization: Bearer " + third.text("accessToken")
	c.get("/Job/1", valid)
	c.denied("Authorization: Bearer " + second.text("accessToken"))

	c.renew(http.StatusUnauthorized, "simulator-access", "simulator-refresh")
	c.denied(valid)
	c.renew(http.StatusUnauthorized, third.text("accessToken"), third.text("refreshToken"))
	if n := sim.Account().RefreshReuse; n != 1 {
		t.Errorf("refresh reuse %d", n)
	}
}

func TestSimulator_GatewayLogin(t *testing.T) {
	_, c := newClient(t, simulator.Config{Gateway: true})
	token := c.post("/Login", loginBody("backhaul", "simulator"), "Accept: application/xml").text("data.authToken")
	c.get("/Job/1", "Authorization: Bearer "+token)
	c.denied("Authtoken: QSDK " + token)
}
