package page_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/page"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// A request that only waits in the queue has a page: its place, what holds it up, and the way to
// its cancellation.
func TestRequest_thatWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queued("crm", "CHG-17", "other")
	b.queued("billing", "CHG-17", "b-1", "b-2", "b-3")

	if body := b.get("/cancel?source=billing&id=b-2"); !strings.Contains(body, `href="/requests/billing/b-2"`) {
		t.Errorf("the cancellation does not link to it:\n%s", body)
	}
	body := b.get("/requests/billing/b-2")
	for _, want := range []string{"Its place is 3 of 4 that wait or are in flight, in the order of starts.", `<a href="/cancel?source=billing&amp;id=b-2">`, "<dd>files</dd>", "<h1>b-2</h1>"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "held up") {
		t.Errorf("nothing holds it up:\n%s", body)
	}
	inert(t, "a request that waits", body)

	csrf := b.signIn()
	for source, reason := range map[string]string{"billing": "audit", "crm": "move"} {
		if resp, body := b.do(http.MethodPost, "/pause", with(url.Values{"for": {"1h"}, "reason": {reason}, "source": {source}}, csrf)); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("pause: %d\n%s", resp.StatusCode, body)
		}
	}
	if body := b.get("/requests/billing/b-2"); !strings.Contains(body, "It is held up: source billing is paused until") || !strings.Contains(body, "Ann (console): audit") || strings.Contains(body, "source crm") {
		t.Errorf("the pause of its source is not named:\n%s", body)
	}
	for _, path := range []string{"/requests/billing/nothing", "/requests/crm/b-2", "/requests/a%3Eb/b-2"} {
		if resp, _ := b.do(http.MethodGet, path, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, resp.StatusCode)
		}
	}
	b.request("billing", "b-2").submit()
	if body := b.get("/requests/billing/b-2"); strings.Contains(body, `id="waits"`) || !strings.Contains(body, "job-submitting") {
		t.Errorf("its first event does not replace the page:\n%s", body)
	}
}

// The page of a request that waits and has events says the same.
func TestRequest_thatWaitsAgain(t *testing.T) {
	t.Parallel()
	outage := errors.New("connection refused")
	next := time.Date(2026, 11, 29, 5, 0, 0, 0, time.UTC)
	b := newBench(t, func(c *page.Config) {
		c.Vendor.Trouble = func() error { return outage }
		c.Vendor.Next = func() time.Time { return next }
	})
	b.queued("billing", "CHG-17", "b-1", "b-2")
	csrf := b.signIn()
	for _, source := range []string{"billing", "crm"} {
		if resp, body := b.do(http.MethodPost, "/pause", with(url.Values{"for": {"1h"}, "reason": {"audit"}, "source": {source}}, csrf)); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("pause: %d\n%s", resp.StatusCode, body)
		}
	}
	stored, err := natstest.Stream(t, b.js, publisher.RequestsStream).GetMsg(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	b.request("billing", "b-2", func(c *schemas.JobSubmitting) { c.LeaseMillis, c.Message.RequestedAt = 0, stored.Time }).submit()
	const vendorAway = "<dd>vendor: connection refused; the next try is at 2026-11-29T05:00:00Z</dd>"
	body := b.get("/requests/billing/b-2")
	for _, want := range []string{"<dd>2 of 2 that wait or are in flight, in the order of starts</dd>", "<dd>source billing is paused until", "Ann (console): audit", vendorAway} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "source crm is paused") {
		t.Errorf("another source's pause is shown:\n%s", body)
	}
	b.request("billing", "b-1").submit()
	if body := b.get("/requests/billing/b-1"); strings.Count(body, "Held up by") != 1 || !strings.Contains(body, vendorAway) || strings.Contains(body, "<dt>Place") {
		t.Errorf("a claimed request waits for the vendor only:\n%s", body)
	}
	b.request("billing", "b-3").submit().start("7")
	if body := b.get("/requests/billing/b-3"); strings.Contains(body, "Held up by") {
		t.Errorf("a started request does not wait:\n%s", body)
	}
}

// A limit holds up a request although the vendor answers.
func TestRequest_thatWaitsForALimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *page.Config) {
		c.Vendor.Cooldown = func() vendorapi.Cooldown {
			return vendorapi.Cooldown{For: time.Minute, Reason: vendorapi.CooldownBudget}
		}
	})
	b.queued("billing", "CHG-17", "b-1")
	if body := b.get("/requests/billing/b-1"); !strings.Contains(body, "It is held up: vendor: the budget of writing calls allows none now.") {
		t.Errorf("the limit is not named:\n%s", body)
	}
}

// What fails in the process is on the page of requests. It is among what holds up a request if
// requests are not started because of it.
func TestList_whatFails(t *testing.T) {
	t.Parallel()
	fails := func(text string) func() error { return func() error { return errors.New(text) } }
	b := newBench(t, func(c *page.Config) {
		c.Checks = []console.Check{
			{Name: "requests", Probe: func() error { return nil }, HoldsUp: true},
			{Name: "ledger writes", Probe: fails("raise max_file_store <now>"), HoldsUp: true},
			{Name: "following", Probe: fails("list of jobs"), Condition: true},
			{Name: "vendor", Probe: fails("has a light"), Condition: true, HoldsUp: true},
		}
	})
	b.queued("billing", "CHG-17", "b-1")
	body := b.get("/")
	for _, want := range []string{`<p class="note bad" role="status"><b>ledger writes</b>: raise max_file_store &lt;now&gt;</p>`, `<p class="note" role="status"><b>following</b>: list of jobs</p>`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<b>requests</b>") || strings.Contains(body, "has a light") {
		t.Errorf("the page has a check that passes, or one that has a light:\n%s", body)
	}
	body = b.get("/requests/billing/b-1")
	if !strings.Contains(body, "It is held up: ledger writes: raise max_file_store &lt;now&gt;.") || strings.Contains(body, "list of jobs") || strings.Contains(body, "has a light") {
		t.Errorf("the page of the request does not have what holds it up, and only that:\n%s", body)
	}
}
