package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *Console {
	t.Helper()
	c, err := Start(t.Context(), "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		c.Stop()
	})
	return c
}

func ask(t *testing.T, c *Console, method, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func check(name string, err error) Check {
	return Check{Name: name, Probe: func() error { return err }}
}

func condition(name string, err error) Check {
	return Check{Name: name, Probe: func() error { return err }, Condition: true}
}

func remark(name, text string, err error) Check {
	return Check{Name: name, Probe: func() error { return err }, Note: func() string { return text }}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	away := errors.New("NATS is not connected")
	for name, test := range map[string]struct {
		checks []Check
		status int
		text   string
		want   []Result
	}{
		"well": {
			[]Check{check("requests", nil), condition("vendor", nil)}, http.StatusOK, "ready\n",
			[]Result{{Name: "requests", OK: true}, {Name: "vendor", OK: true, Condition: true}},
		},
		"a remark": {
			[]Check{remark("vendor", "not asked yet", nil), remark("queue", "", nil), remark("nats", "up", away)}, http.StatusServiceUnavailable, "not ready: nats: NATS is not connected\n",
			[]Result{{Name: "vendor", OK: true, Note: "not asked yet"}, {Name: "queue", OK: true}, {Name: "nats", Error: away.Error()}},
		},
		"not": {
			[]Check{check("requests", away), check("other", nil)}, http.StatusServiceUnavailable, "not ready: requests: NATS is not connected\n",
			[]Result{{Name: "requests", Error: away.Error()}, {Name: "other", OK: true}},
		},
		"a condition": {
			[]Check{check("requests", nil), condition("vendor", away)}, http.StatusOK, "ready\n",
			[]Result{{Name: "requests", OK: true}, {Name: "vendor", Condition: true, Error: away.Error()}},
		},
		"both": {
			[]Check{check("requests", away), condition("vendor", away)}, http.StatusServiceUnavailable, "not ready: requests: NATS is not connected\n",
			[]Result{{Name: "requests", Error: away.Error()}, {Name: "vendor", Condition: true, Error: away.Error()}},
		},
		"several errors": {
			[]Check{check("requests", errors.Join(away, errors.New("and:\n  a\r\n  b")))}, http.StatusServiceUnavailable,
			"not ready: requests: NATS is not connected; and:; a; b\n", []Result{{Name: "requests", Error: "NATS is not connected; and:; a; b"}},
		},
		"before there are checks": {
			nil, http.StatusServiceUnavailable, "not ready: start: starting\n",
			[]Result{{Name: "start", Error: "starting"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			if test.checks != nil {
				c.Watch(test.checks...)
			}
			if resp, text := ask(t, c, http.MethodGet, "/readyz"); resp.StatusCode != test.status || text != test.text {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, text, test.status, test.text)
			}
			resp, text := ask(t, c, http.MethodGet, "/readyz?verbose")
			var got struct {
				Ready  bool
				Checks []Result
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			if resp.StatusCode != test.status || got.Ready != (test.status == http.StatusOK) || !reflect.DeepEqual(got.Checks, test.want) {
				t.Errorf("verbose: got %d %s, want %d and %+v", resp.StatusCode, text, test.status, test.want)
			}
			// Whatever is wrong, a restart is not the cure.
			for _, path := range []string{"/livez", "/healthz"} {
				if resp, text := ask(t, c, http.MethodGet, path); resp.StatusCode != http.StatusOK || text != "alive\n" {
					t.Errorf("%s: got %d %q", path, resp.StatusCode, text)
				}
			}
		})
	}
}

// An error may have the text of others in it, and people ask with curl.
func TestReadinessIsHarmless(t *testing.T) {
	t.Parallel()
	const foul = "a\u009b\u202eb\u200b"
	c := start(t)
	c.Watch(check("requests", errors.New(foul)))
	for _, path := range []string{"/readyz", "/readyz?verbose"} {
		if _, text := ask(t, c, http.MethodGet, path); strings.ContainsAny(text, "\u009b\u202e\u200b") || !strings.Contains(text, "\\u200b") {
			t.Errorf("%s answers %q", path, text)
		}
	}
}

func TestOnlyQuestionsAreAnswered(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, path := range []string{"/livez", "/healthz", "/readyz"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace} {
			if resp, _ := ask(t, c, method, path); resp.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d, want 405", method, path, resp.StatusCode)
			}
		}
		if resp, body := ask(t, c, http.MethodHead, path); resp.StatusCode == http.StatusMethodNotAllowed || body != "" {
			t.Errorf("HEAD %s: %d %q", path, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/", "/livez/", "/debug/pprof/", "/readyz/requests"} {
		resp, _ := ask(t, c, http.MethodGet, path)
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", path, resp.StatusCode)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("GET %s: %s is %q, want %s", path, name, got, want)
			}
		}
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	first := start(t)
	_, err := Start(t.Context(), strings.TrimPrefix(first.URL(), "http://"), zerolog.Nop())
	if _, ok := errors.AsType[*ListenError](err); !ok || !strings.Contains(err.Error(), "BACKHAUL_ADMIN_ADDR") {
		t.Errorf("got %v, want a ListenError that names the setting", err)
	}
}

func TestStart_withoutAnAddressDoesNotListen(t *testing.T) {
	t.Parallel()
	c, err := Start(t.Context(), "", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	c.Watch(check("requests", nil))
	if c.URL() != "" {
		t.Errorf("it listens at %s", c.URL())
	}
	c.Stop()
}

// An answer under way at the time of a stop is still given; after it nobody
// listens.
func TestStopLetsAnAnswerFinish(t *testing.T) {
	t.Parallel()
	c := start(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	c.Watch(Check{Name: "slow", Probe: func() error {
		close(asked)
		<-answer
		return nil
	}})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := make(chan int, 1)
	go func() {
		resp, err := client.Get(c.URL() + "/readyz")
		if err != nil {
			t.Error(err)
			close(status)
			return
		}
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-asked
	stopped := make(chan struct{})
	c.server.RegisterOnShutdown(sync.OnceFunc(func() { close(answer) })) // once: the clean-up stops it again
	go func() {
		c.Stop()
		close(stopped)
	}()
	if got := <-status; got != http.StatusOK {
		t.Errorf("status %d, want 200", got)
	}
	<-stopped
	if resp, err := client.Get(c.URL() + "/livez"); err == nil {
		_ = resp.Body.Close()
		t.Error("it still answers")
	}
}
