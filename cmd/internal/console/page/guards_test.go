package page_test

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// Every address that takes a form, as it is in the sources, refuses one without a session, without
// its secret, and of another site. A new one cannot be forgotten.
func TestEveryActionIsGuarded(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("page.go")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, found := range regexp.MustCompile(`"POST (/[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		path := strings.NewReplacer("{number}", "1", "{source}", "billing", "{key}", "broken", "{job}", "7", "{$}", "").Replace(found[1])
		if strings.Contains(path, "{") {
			t.Fatalf("%s: what stands for the rest of the path?", path)
		}
		if path != "/login" {
			paths = append(paths, path)
		}
	}
	if len(paths) < 8 {
		t.Fatalf("only %d addresses: %v", len(paths), paths)
	}
	b := newBench(t)
	b.queued("billing", "CHG-17", "b-1")
	b.request("billing", "broken").fail("2", "busy").keep("2", "busy")
	b.request("billing", "started").submit().start("7")
	form := url.Values{
		"all": {"yes"}, "before": {"9"}, "reason": {"CHG-17"}, "for": {"1h"}, "do": {"kill"}, "sure": {"yes"}, "client": {"files"},
	}
	refused := func(what string, want int, csrf string, headers ...string) {
		t.Helper()
		for _, path := range paths {
			if resp, body := b.do(http.MethodPost, path, with(form, csrf), headers...); resp.StatusCode != want {
				t.Errorf("%s %s: %d, want %d\n%s", path, what, resp.StatusCode, want, body)
			}
		}
	}
	refused("without a session", http.StatusUnauthorized, "")
	csrf := b.signIn()
	refused("without the secret", http.StatusForbidden, "")
	refused("with another secret", http.StatusForbidden, csrf[1:])
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "null"} {
		refused("with "+name+" "+value, http.StatusForbidden, csrf, name, value)
	}
	js := natstest.JetStream(t, b.nats.Connect(t))
	if n := len(natstest.Stored(t, js, publisher.EventsStream, publisher.AnyOperator)); n != 0 {
		t.Errorf("%d actions were recorded", n)
	}
	if n := len(natstest.Stored(t, js, publisher.RequestsStream, publisher.AnyRequest)); n != 1 {
		t.Errorf("%d requests are in the queue, want 1", n)
	}
}
