package page_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/console/page"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

// acts notes what was asked for, in place of a queue and a box of dead letters:
// this is about who may ask.
type acts struct{ done []string }

func (a *acts) Pause(_ context.Context, by string, d time.Duration) error {
	a.done = append(a.done, by+" pauses for "+d.String())
	return nil
}

func (a *acts) Resume(_ context.Context, by string) error {
	a.done = append(a.done, by+" resumes")
	return nil
}

func (a *acts) Replay(_ context.Context, by string, sequence uint64) (publisher.Key, error) {
	if sequence == 404 {
		return publisher.Key{}, errors.New("there is no such letter <b>")
	}
	a.done = append(a.done, by+" replays")
	return publisher.NewKey("billing", "new"), nil
}

func (a *acts) in(c *page.Config) { c.Queue, c.Letters = a, a }

// actions are all that change something, with a form that is in order.
var actions = []struct {
	path string
	form url.Values
	done string
}{
	{"/pause", url.Values{"for": {"15m"}}, "Ann pauses for 15m0s"},
	{"/resume", nil, "Ann resumes"},
	{"/dead-letters/1/replay", nil, "Ann replays"},
}

func with(form url.Values, csrf string) url.Values {
	all := url.Values{"csrf": {csrf}}
	for name, values := range form {
		all[name] = values
	}
	return all
}

func TestOnlyASessionMayAct(t *testing.T) {
	t.Parallel()
	var a acts
	b := newBench(t, a.in)
	try := func(what string, want int, csrf string, headers ...string) {
		t.Helper()
		for _, action := range actions {
			if resp, _ := b.do(http.MethodPost, action.path, with(action.form, csrf), headers...); resp.StatusCode != want {
				t.Errorf("%s, %s: %d, want %d", action.path, what, resp.StatusCode, want)
			}
			if resp, _ := b.do(http.MethodGet, action.path, nil); resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("GET %s: %d, want 405", action.path, resp.StatusCode)
			}
		}
	}
	port := b.url[strings.LastIndexByte(b.url, ':')+1:]
	try("without a session", http.StatusUnauthorized, "")
	try("with an invented session", http.StatusUnauthorized, "x", "Cookie", "backhaul-session-"+port+"=invented")
	csrf := b.signIn()
	try("without its secret", http.StatusForbidden, "")
	try("with another secret", http.StatusForbidden, csrf+"x")
	try("from another site", http.StatusForbidden, csrf, "Sec-Fetch-Site", "cross-site")
	try("from another site of the same domain", http.StatusForbidden, csrf, "Sec-Fetch-Site", "same-site")
	try("from another origin", http.StatusForbidden, csrf, "Origin", "http://evil.example")
	try("under another name", http.StatusMisdirectedRequest, csrf, "Host", "evil.example")
	if len(a.done) > 0 {
		t.Fatalf("it did %v", a.done)
	}
	for _, action := range actions {
		if resp, body := b.do(http.MethodPost, action.path, with(action.form, csrf), "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d\n%s", action.path, resp.StatusCode, body)
		}
		if got := a.done[len(a.done)-1]; got != action.done {
			t.Errorf("%s: %s, want %s", action.path, got, action.done)
		}
	}
	for _, wrong := range []string{"", "x", "-1h", "0s", "9999h"} {
		if resp, _ := b.do(http.MethodPost, "/pause", with(url.Values{"for": {wrong}}, csrf)); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("a pause of %q: %d", wrong, resp.StatusCode)
		}
	}
	resp, body := b.do(http.MethodPost, "/dead-letters/404/replay", with(nil, csrf))
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "no such letter &lt;b&gt;") {
		t.Errorf("a replay that fails: %d", resp.StatusCode)
	}
	inert(t, "a replay that fails", body)
	if resp, _ := b.do(http.MethodPost, "/logout", with(nil, csrf)); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %d", resp.StatusCode)
	}
	try("after the end of the session", http.StatusUnauthorized, csrf)
}

func TestTheCookie(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {token}, "next": {"/dead-letters?source=a"}})
	cookies := resp.Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/" || cookies[0].Domain != "" {
		t.Errorf("cookies %+v", cookies)
	}
	if got := resp.Header.Get("Location"); got != "/dead-letters?source=a" {
		t.Errorf("after the login it leads to %q", got)
	}
	for _, next := range []string{"//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "evil", "/%09/evil.example\t"} {
		resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {token}, "next": {next}})
		if got := resp.Header.Get("Location"); !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.Contains(got, "\\") {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

func TestWrongTokensAreLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	login := func(given string) int {
		resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {"Mallory"}, "token": {given}})
		return resp.StatusCode
	}
	if got := login(token); got != http.StatusSeeOther {
		t.Fatalf("the right token: %d", got)
	}
	for i := range 5 {
		if got := login("wrong-" + token[:i]); got != http.StatusForbidden {
			t.Errorf("wrong token %d: %d", i, got)
		}
	}
	// Now even the right one has to wait: who guesses learns nothing.
	for _, given := range []string{"wrong", token} {
		if got := login(given); got != http.StatusTooManyRequests {
			t.Errorf("after five wrong tokens: %d", got)
		}
	}
	if resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {" \n "}, "token": {token}}); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("without a name: %d", resp.StatusCode)
	}
	if resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {token}}, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a login from another site: %d", resp.StatusCode)
	}
}

// A token that is replaced ends the sessions that the old one opened.
func TestANewTokenEndsSessions(t *testing.T) {
	t.Parallel()
	var a acts
	current := make(chan vendorapi.Secret, 1)
	current <- token
	b := newBench(t, a.in, func(c *page.Config) {
		c.Token = func() (vendorapi.Secret, error) {
			now := <-current
			current <- now
			if now == "" {
				return "", errors.New("read secret: no such file")
			}
			return now, nil
		}
	})
	csrf := b.signIn()
	<-current
	current <- "another-token-of-some-length"
	if resp, _ := b.do(http.MethodPost, "/resume", with(nil, csrf)); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("with the old token's session: %d, want 401", resp.StatusCode)
	}
	<-current
	current <- ""
	resp, body := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {token}})
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(body, "no such file") {
		t.Errorf("with a token that cannot be read: %d", resp.StatusCode)
	}
	if len(a.done) > 0 {
		t.Errorf("it did %v", a.done)
	}
}

func TestWithoutATokenNothingCanBeChanged(t *testing.T) {
	t.Parallel()
	var a acts
	b := newBench(t, a.in, func(c *page.Config) { c.Token, c.Exposed = nil, true })
	body := b.get("/")
	if !strings.Contains(body, "nothing can be changed: no admin token is set") || strings.Contains(body, "Sign in") || !strings.Contains(body, "read-only") {
		t.Error("the page does not say that it is read-only and exposed")
	}
	for _, action := range actions {
		if resp, _ := b.do(http.MethodPost, action.path, with(action.form, "x")); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d, want 403", action.path, resp.StatusCode)
		}
	}
	if resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {""}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("login: %d, want 403", resp.StatusCode)
	}
	if len(a.done) > 0 {
		t.Errorf("it did %v", a.done)
	}
}
