package vendorapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// submitAll starts n jobs at the same time and returns how many were denied.
func submitAll(t *testing.T, c *Client, n int) (denied int) {
	t.Helper()
	retrier := &Retrier{Client: c, Policy: Policy{InitialInterval: time.Millisecond, MaxInterval: 10 * time.Millisecond, Budget: 5 * time.Second}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			job, _, err := retrier.Submit(t.Context(), t.Context(), loadTask(i+1), permitted)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wantJob(t, job, err)
			case VerdictOf(err) == AuthRefused:
				denied++
			default:
				t.Errorf("job %d: %v", i, err)
			}
			noSecrets(t, err)
		})
	}
	all.Wait()
	return denied
}

// Two web servers behind a load balancer, each with tokens of its own: a sticky
// cookie keeps the calls on the server that knows the token.
func TestCookies_areSentBack(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Servers: 2, Sticky: true})
	if denied := submitAll(t, c, 20); denied > 0 {
		t.Errorf("%d of 20 requests were denied", denied)
	}
	if _, err := c.Find(t.Context(), loadTask(1), time.Now().Add(-time.Minute)); err != nil {
		t.Error(err)
	}
	if a := sim.Account(); a.JobsStarted != 20 || a.Logins != 1 || a.Unauthorised != 0 {
		t.Errorf("%d jobs, %d logins, %d calls with 401", a.JobsStarted, a.Logins, a.Unauthorised)
	}
}

// Without cookies every other server refuses the token. That does not say anything
// about the user.
func TestSession_serversWithoutCookiesDenyNothing(t *testing.T) {
	for servers := 2; servers <= 4; servers++ {
		sim, c := onLoopback(t, simulator.Config{Servers: servers})
		for i := range 20 {
			_, err := c.CreateTask(t.Context(), loadTask(i+1))
			if err != nil {
				wantVerdict(t, err, NotSent)
			}
			c.session.failure.Store(nil) // its pause is over
		}
		if a := sim.Account(); servers == 2 && a.JobsStarted < 10 {
			t.Errorf("%d jobs of 20 requests", a.JobsStarted)
		}
	}
}

// A server that restarts has forgotten its tokens: one more login, and no denial.
func TestSession_aServerThatForgotItsTokens(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Servers: 2, Sticky: true})
	job, err := c.CreateTask(t.Context(), loadTask(1))
	wantJob(t, job, err)
	sim.Script(simulator.Fault{Kind: simulator.Unauthorised})
	job, err = c.CreateTask(t.Context(), loadTask(2))
	wantJob(t, job, err)
	if n := sim.Account().Logins; n != 2 {
		t.Errorf("%d logins", n)
	}
}

// Only an answer that names the user makes a denial of a refused token.
func TestSession_aDenialNeedsTheUsersName(t *testing.T) {
	for name, who := range map[string]http.HandlerFunc{
		"no user":      always(200, `<CvEntities_ProcessingInstructionInfo/>`),
		"empty user":   always(200, `<CvEntities_ProcessingInstructionInfo><user userName="" userId="0"/></CvEntities_ProcessingInstructionInfo>`),
		"empty body":   always(200, ""),
		"a login page": always(200, `<html><script>userName = "guest"</script></html>`),
		"other JSON":   always(200, `{"status":"ok"}`),
		"a redirect":   always(302, ""),
		"a crash":      always(500, `{"user":{"userName":"backhaul"}}`),
		"another 2xx":  always(202, `{"user":{"userName":"backhaul"}}`),
	} {
		v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(401, denied), "WhoAmI": who})
		_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
		if e := wantVerdict(t, err, NotSent); !strings.Contains(e.Message, "it is not known whether") {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(401, denied), "WhoAmI": always(200, `{"errorCode":5,"user":{"userName":"backhaul"}}`)})
	_, err := newTestClient(t, v.url).CreateTask(t.Context(), testTask())
	wantLoginError(t, err, "just issued")
	v = startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(401, denied), "WhoAmI": always(200, `{"user":{"userName":"backhaul","userId":1}}`)})
	_, err = newTestClient(t, v.url).CreateTask(t.Context(), testTask())
	wantVerdict(t, err, AuthRefused)
}

// Servers that disagree about a token are asked again, and more often from then on.
func TestSession_serversThatDisagree(t *testing.T) {
	known, unknown := always(200, `{"user":{"userName":"backhaul"}}`), always(401, denied)
	v := startVendor(t, nil)
	v.answer = map[string]http.HandlerFunc{
		"CreateTask": func(w http.ResponseWriter, r *http.Request) {
			if v.count("CreateTask") != 2 {
				reply(w, 401, denied)
				return
			}
			reply(w, 200, `{"jobIds":["1"]}`)
		},
		"WhoAmI": func(w http.ResponseWriter, r *http.Request) {
			if v.count("WhoAmI") == 2 {
				unknown(w, r)
				return
			}
			known(w, r)
		},
	}
	c := newTestClient(t, v.url, byToken)
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	_, err = c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, AuthRefused)
	if asked := v.count("WhoAmI"); asked != 2+2*splitVotes {
		t.Errorf("asked %d times", asked)
	}
}

// A denial is repeated once, and later ones of the same token are believed at once.
func TestSession_confirmsADenialOnce(t *testing.T) {
	v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": always(401, denied), "WhoAmI": always(200, `{"user":{"userName":"backhaul"}}`)})
	c := newTestClient(t, v.url, byToken)
	for range 10 {
		_, err := c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, AuthRefused)
	}
	if calls, asked := v.count("CreateTask"), v.count("WhoAmI"); calls != 11 || asked != 2*votes+9 {
		t.Errorf("%d calls, asked %d times", calls, asked)
	}
}

func jarFor(t *testing.T, endpoint string) *cookies {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return newCookies(u)
}

func (c *cookies) keepAll(lines ...string) string {
	c.keep(http.Header{"Set-Cookie": lines})
	return c.header()
}

func TestCookies_areOfTheEndpointOnly(t *testing.T) {
	for line, want := range map[string]string{
		"a=1":                                        "a=1",
		"a=1; Path=/":                                "a=1",
		"a=1; Path=/webconsole":                      "a=1",
		"a=1; Path=/webconsole/api":                  "a=1",
		"a=1; Path=/webconsole/api/":                 "a=1",
		"a=1; Path=/webconsole/api/Login":            "",
		"a=1; Path=/web":                             "",
		"a=1; Path=/commandcenter":                   "",
		"a=1; Domain=cs.example.com":                 "a=1",
		"a=1; Domain=.EXAMPLE.com":                   "a=1",
		"a=1; Domain=other.example.com":              "",
		"a=1; Domain=s.example.com":                  "",
		"a=1; Secure; HttpOnly":                      "a=1",
		"a=1; Max-Age=0":                             "",
		"a=1; Max-Age=-1":                            "",
		"a=1; Max-Age=99999999999":                   "a=1",
		"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT": "",
		`a="quoted value"`:                           `a="quoted value"`,
		"a=" + strings.Repeat("x", maxCookie-1):      "a=" + strings.Repeat("x", maxCookie-1),
		"a=" + strings.Repeat("x", maxCookie):        "",
		"a=\x01":                                     "",
		"a=b\r\nX: y":                                "",
		"":                                           "",
		"=1":                                         "",
	} {
		if got := jarFor(t, "https://CS.example.com:8443/webconsole/api").keepAll(line); got != want {
			t.Errorf("%.60q: sent back as %.60q", line, got)
		}
	}
	if got := jarFor(t, "http://127.0.0.1/api").keepAll("a=1; Secure", "b=1; Domain=0.0.1", "c=1; Domain=127.0.0.1"); got != "c=1" {
		t.Errorf("sent back as %q", got)
	}
}

func TestCookies_areReplacedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := jarFor(t, "https://cs.example.com/api")
		c.keepAll("a=1", "b=1; Max-Age=60", "c=1")
		if got := c.keepAll("a=2", "c=; Max-Age=0"); got != "a=2; b=1" {
			t.Errorf("%q", got)
		}
		<-time.After(time.Minute)
		if got := c.header(); got != "a=2" {
			t.Errorf("%q", got)
		}
	})
}

func TestCookies_areBounded(t *testing.T) {
	c := jarFor(t, "https://cs.example.com/api")
	for n := range 1000 {
		c.keepAll(fmt.Sprintf("c%d=%s", n, strings.Repeat("x", 1000)), fmt.Sprintf("p%d=1; Path=/api/%d", n, n))
	}
	if got := c.header(); len(c.kept) != maxCookies || strings.Count(got, "=") != maxCookies || !strings.Contains(got, "c999=") {
		t.Errorf("%d cookies kept", len(c.kept))
	}
}

// Pages for developers show the request, with its cookies.
func TestCookies_areNotShown(t *testing.T) {
	const value = "5ec7e75ec7e75ec7e75ec7e7"
	v := startVendor(t, map[string]http.HandlerFunc{
		"Login": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "JSESSIONID="+value)
			reply(w, 200, `{"token":"`+vendorToken(1)+`"}`)
		},
		"CreateTask": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Cookie") != "JSESSIONID="+value {
				t.Errorf("cookie %q", r.Header.Get("Cookie"))
			}
			reply(w, 500, `{"errorCode":2,"errorMessage":"Cookie: `+r.Header.Get("Cookie")+`"}`)
		},
	})
	c := newTestClient(t, v.url)
	_, err := c.CreateTask(t.Context(), testTask())
	if e := wantVerdict(t, err, Refused); e.Message != "Cookie: JSESSIONID=***" {
		t.Errorf("%q", e.Message)
	}
	noSecrets(t, c, c.cookies, c.cookies.kept)
}
