package page_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// acts notes what was asked for, in place of a queue and a box of dead letters:
// this is about who may ask.
type acts struct {
	done   []string
	vendor bool // the vendor asked for the pause
}

func (a *acts) Pause(_ context.Context, by operator.By, d time.Duration) error {
	a.done = append(a.done, by.Actor+" pauses for "+d.String())
	return nil
}

func (a *acts) PauseScope(_ context.Context, by operator.By, s scope.Scope, d time.Duration) error {
	a.done = append(a.done, by.Actor+" pauses "+s.String()+" for "+d.String()+": "+by.Reason)
	return nil
}

func (a *acts) ResumeScope(_ context.Context, by operator.By, s scope.Scope) error {
	if s.Source == "running" {
		return &queue.NotPausedError{Scope: s}
	}
	a.done = append(a.done, by.Actor+" resumes "+s.String())
	return nil
}

func (a *acts) Resume(_ context.Context, by operator.By) error {
	if a.vendor {
		return &queue.NotByOperatorError{Until: time.Unix(1800000000, 0).UTC(), By: &queue.PausedBy{Vendor: true, VendorWait: &consumer.VendorWait{By: "HTTP 503 to CreateTask"}}}
	}
	a.done = append(a.done, by.Actor+" resumes: "+by.Reason)
	return nil
}

func (a *acts) AddRequests(context.Context, []deadletter.Message) error { return nil }

func (a *acts) Get(_ context.Context, number uint64) (deadletter.Message, error) {
	if number == 404 {
		return deadletter.Message{}, &deadletter.NotFoundError{Number: number}
	}
	return deadletter.Message{Number: number}, nil
}

func (a *acts) Of(context.Context, publisher.Key, time.Time) (uint64, error) { return 0, nil }

func (a *acts) Page(context.Context, string, uint64, uint64) ([]deadletter.Message, uint64, error) {
	return nil, 0, nil
}

func (a *acts) Plan(context.Context, deadletter.Message, deadletter.Order) (deadletter.Plan, error) {
	return deadletter.Plan{}, nil
}

func (a *acts) Replay(_ context.Context, l deadletter.Message, o deadletter.Order) (deadletter.Plan, error) {
	switch l.Number {
	case 409:
		return deadletter.Plan{}, &deadletter.RefusedError{Why: "it makes no sense <b>"}
	case 502:
		return deadletter.Plan{}, errors.New("no answer <b>")
	}
	a.done = append(a.done, o.Actor+" replays")
	return deadletter.Plan{Key: publisher.NewKey("billing", "new")}, nil
}

func (a *acts) Drop(context.Context, deadletter.Message, operator.By) error { return nil }

func (a *acts) in(c *page.Config) { c.Queue, c.Letters = a, a }

// actions are all that change something, with a form that is in order.
var actions = []struct {
	path string
	form url.Values
	done string
}{
	{"/pause", url.Values{"for": {"15m"}, "reason": {"CHG-17"}, "source": {""}}, "Ann (console) pauses for 15m0s"},
	{"/pause", url.Values{"for": {"15m"}, "reason": {"CHG-17"}, "source": {" billing"}, "client": {"c"}, "group": {"g"}}, "Ann (console) pauses source billing, client c, content group g for 15m0s: CHG-17"},
	{"/resume", url.Values{"client": {"c"}}, "Ann (console) resumes client c"},
	{"/resume", url.Values{"reason": {"all\nis well"}}, "Ann (console) resumes: all is well"},
	{"/dead-letters/1/replay", nil, "Ann (console) replays"},
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
	for says, form := range map[string]url.Values{
		"Why? Enter a reason": {"for": {"1h"}}, "Why? Enter a reason:": {"for": {"1h"}, "reason": {" \u2028\x00 "}}, "one token of a subject": {"for": {"1h"}, "reason": {"x"}, "source": {"a.b"}},
	} {
		if resp, body := b.do(http.MethodPost, "/pause", with(form, csrf)); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, says) {
			t.Errorf("%v: %d\n%s", form, resp.StatusCode, body)
		}
	}
	if resp, body := b.do(http.MethodPost, "/resume", with(url.Values{"source": {"running"}}, csrf)); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "source running is not paused") {
		t.Errorf("a scope that is not paused: %d\n%s", resp.StatusCode, body)
	}
	a.vendor = true
	if resp, body := b.do(http.MethodPost, "/resume", with(nil, csrf)); resp.StatusCode != http.StatusConflict ||
		!strings.Contains(body, "is paused until 2027-01-15T08:00:00Z, because the vendor asked for it (HTTP 503 to CreateTask); the pause ends by itself then") || !strings.Contains(body, "resume --force") {
		t.Errorf("a pause of the vendor: %d\n%s", resp.StatusCode, body)
	}
	for path, want := range map[string]int{
		"/dead-letters/404/replay": http.StatusNotFound, "/dead-letters/409/replay": http.StatusConflict,
		"/dead-letters/502/replay": http.StatusBadGateway, "/dead-letters/x/replay": http.StatusNotFound,
		"/dead-letters/0/replay": http.StatusNotFound,
	} {
		resp, body := b.do(http.MethodPost, path, with(nil, csrf))
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
		inert(t, path, body)
	}
	if resp, _ := b.do(http.MethodPost, "/logout", with(nil, csrf)); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %d", resp.StatusCode)
	}
	try("after the end of the session", http.StatusUnauthorized, csrf)
}

func TestTheCookie(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	resp, _ := b.do(http.MethodPost, "/login", url.Values{"actor": {"Ann"}, "token": {token}, "next": {"/dead-letters?source=a"}})
	cookies := resp.cookies
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
	// One that guesses is limited, and does not lock out the owner.
	for range 3 {
		if got := login("wrong"); got != http.StatusTooManyRequests {
			t.Errorf("a wrong token after five: %d", got)
		}
		if got := login(token); got != http.StatusSeeOther {
			t.Errorf("the right token after five wrong ones: %d", got)
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
	current := make(chan string, 1)
	current <- token
	b := newBench(t, a.in, func(c *page.Config) {
		c.Token = func() (string, error) {
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
	if !strings.Contains(body, "It is read-only: no admin token is set") || strings.Contains(body, "Sign in") || !strings.Contains(body, "read-only") {
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

// The real queue and box: what is asked for happens, once, and is on record.
func TestActionsAreDoneAndRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	number := b.request("billing", "broken").fail("587207178", "no eligible subclients").keep("587207178", "no eligible subclients")
	letter := fmt.Sprintf("/dead-letters/%d", number)
	csrf := b.signIn()
	post := func(path string, form url.Values) string {
		t.Helper()
		resp, body := b.do(http.MethodPost, path, with(form, csrf))
		if resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d\n%s", path, resp.StatusCode, body)
		}
		return resp.Header.Get("Location")
	}
	says := func(what string, texts ...string) {
		t.Helper()
		waittest.Eventually(t, what, func() bool {
			body := b.get("/")
			return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(body, text) })
		})
	}
	post("/pause", url.Values{"for": {"1h"}, "reason": {"maintenance"}, "source": {"billing"}})
	says("word of the paused scope", "<b>pause-scope</b> source billing until", "maintenance, by Ann (console)", "source billing is paused until", "Resume source billing")
	post("/resume", url.Values{"source": {"billing"}})
	says("word of the resumed scope", "<b>resume-scope</b> source billing")
	post("/pause", url.Values{"for": {"1h"}, "reason": {"CHG-17"}})
	says("word of the pause", "<b>paused</b>", "Resume the queue", "<b>pause</b> until", "CHG-17, by Ann (console)")
	post("/resume", nil)
	says("word of the resume", "<b>running</b>", "<b>resume</b>")

	if body := b.get(letter); !strings.Contains(body, fmt.Sprintf("as the request <code>broken-replay-%d</code>", number)) {
		t.Errorf("the letter does not say what a replay does:\n%s", body)
	}
	replayed := post(letter+"/replay", url.Values{"reason": {"group made"}})
	if again := post(letter+"/replay", nil); again != replayed {
		t.Errorf("pressed twice it leads to %s and %s", replayed, again)
	}
	says("word of the replay", "<b>dlq-replay</b>", "group made, by Ann (console)")
	if body := b.get(replayed); !strings.Contains(body, `id="replayed"`) || !strings.Contains(body, fmt.Sprintf(`<a href="/requests/billing/broken-replay-%d">`, number)) {
		t.Errorf("the letter does not say that it was replayed:\n%s", body)
	}
	requests := natstest.Stream(t, natstest.JetStream(t, b.nats.Connect(t)), publisher.RequestsStream)
	for sequence := range requests.CachedInfo().State.Msgs { // pressed twice it is the same request twice
		msg, err := requests.GetMsg(t.Context(), sequence+1)
		if id := fmt.Sprintf("broken-replay-%d", number); err != nil || msg.Header.Get(schemas.HeaderRequestID) != id {
			t.Errorf("request %d: %v, %v, want the id %s", sequence+1, msg, err, id)
		}
	}

	unknown := b.request("billing", "lost").fail("OUTCOME_UNKNOWN", "two jobs may be it").keep("OUTCOME_UNKNOWN", "two jobs may be it")
	letter = fmt.Sprintf("/dead-letters/%d", unknown)
	if body := b.get(letter); !strings.Contains(body, "Not from here: there may be a job of it already") || strings.Contains(body, "<button>Replay") {
		t.Errorf("a replay that may start a second job is offered:\n%s", body)
	}
	if resp, _ := b.do(http.MethodPost, letter+"/replay", with(nil, csrf)); resp.StatusCode != http.StatusConflict {
		t.Errorf("a replay that may start a second job: %d, want 409", resp.StatusCode)
	}
}
