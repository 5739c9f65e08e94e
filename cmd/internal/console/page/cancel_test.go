package page_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/console/page"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// queued publishes requests that wait, with a label.
func (b *bench) queued(source, ticket string, ids ...string) {
	b.t.Helper()
	js := natstest.JetStream(b.t, b.nats.Connect(b.t))
	for _, id := range ids {
		data := fmt.Appendf(nil, `{"requestId":%q,"clientName":"files","subclientName":"<b>home</b>","labels":{"ticket":%q}}`, id, ticket)
		if _, err := js.Publish(b.t.Context(), "backup.request."+source, data); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) outcomes() []*jetstream.RawStreamMsg {
	b.t.Helper()
	return natstest.Stored(b.t, natstest.JetStream(b.t, b.nats.Connect(b.t)), publisher.EventsStream, "backup.event.job-failed.>")
}

// A reader sees what would be done; with a session and a reason it is done, and what cannot be
// cancelled is listed with what happens to it next.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queued("billing", "CHG-17", "b-1", "b-2")
	b.queued("crm", "CHG-17", "c-1")
	b.queued("crm", "CHG-18", "c-2")
	b.queued("billing", "CHG-17", "held")
	b.request("billing", "held", func(c *schemas.JobSubmitting) {
		m, err := schemas.DecodeRequest(nil, []byte(`{"requestId":"held","clientName":"files","subclientName":"<b>home</b>","labels":{"ticket":"CHG-17"}}`))
		if err != nil {
			t.Fatal(err)
		}
		c.Request, c.PayloadHash = m.Request, m.Request.Hash()
	}).submit()

	if body := b.get("/cancel"); !strings.Contains(body, `action="/cancel"`) || strings.Contains(body, `id="selected"`) || strings.Contains(body, `method="post" action="/cancel"`) {
		t.Errorf("nothing is selected yet:\n%s", body)
	}
	const path = "/cancel?label=ticket%3DCHG-17"
	body := b.get(path)
	for _, want := range []string{"<b>4</b> requests wait: 3 of billing, 1 of crm.", "would cancel", "refused: host/7 has claimed it until", `<a href="/login?next=`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not have %q:\n%s", want, body)
		}
	}
	inert(t, path, body)
	if body := b.get("/cancel?source=billing&id=b-1"); !strings.Contains(body, "<b>1</b> request waits: 1 of billing.") {
		t.Errorf("one request:\n%s", body)
	}
	if body := b.get("/cancel?all=yes"); !strings.Contains(body, "<b>5</b> requests wait") {
		t.Errorf("all:\n%s", body)
	}
	if body := b.get("/cancel?source=none"); !strings.Contains(body, "No request that waits is selected.") {
		t.Errorf("none:\n%s", body)
	}
	if resp, body := b.do(http.MethodGet, "/cancel?label=x", nil); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "a label is given as name=value") {
		t.Errorf("a bad label: %d\n%s", resp.StatusCode, body)
	}

	csrf := b.signIn()
	form := url.Values{"label": {"ticket=CHG-17"}, "before": {"6"}, "reason": {"sent by mistake"}}
	for name, test := range map[string]struct {
		form    url.Values
		headers []string
		want    int
	}{
		"without the secret":             {form, nil, http.StatusForbidden},
		"from another site":              {with(form, csrf), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"without a reason":               {with(url.Values{"label": {"ticket=CHG-17"}, "before": {"6"}}, csrf), nil, http.StatusUnprocessableEntity},
		"without a selection":            {with(url.Values{"before": {"6"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
		"without what was seen":          {with(url.Values{"label": {"ticket=CHG-17"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
		"with a reason that is too long": {with(url.Values{"label": {"ticket=CHG-17"}, "before": {"6"}, "reason": {strings.Repeat("ö", 1025)}}, csrf), nil, http.StatusUnprocessableEntity},
		"with a form of a megabyte":      {with(url.Values{"label": {"ticket=CHG-17"}, "before": {"6"}, "reason": {strings.Repeat("x", 1<<20)}}, csrf), nil, http.StatusForbidden},
		"with a bad label":               {with(url.Values{"label": {"x"}, "before": {"6"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
		"with a control character":       {with(url.Values{"source": {"billing"}, "group": {"<b>\x00home</b>"}, "before": {"6"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
		"with a source that is none":     {with(url.Values{"source": {"*"}, "before": {"6"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
	} {
		if resp, body := b.do(http.MethodPost, "/cancel", test.form, test.headers...); resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d\n%s", name, resp.StatusCode, test.want, body)
		}
	}
	if n := len(b.outcomes()); n != 0 {
		t.Fatalf("%d requests were cancelled", n)
	}
	if body := b.get(path); !strings.Contains(body, "<button>Cancel 4 requests</button>") || !strings.Contains(body, `name="before" value="6"`) {
		t.Errorf("no form:\n%s", body)
	}
	b.queued("billing", "CHG-17", "later") // after the form was shown
	resp, body := b.do(http.MethodPost, "/cancel", with(form, csrf))
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `id="done">3 cancelled, 0 cancelled before, 1 refused.`) || !strings.Contains(body, "refused: host/7 has claimed it until") {
		t.Errorf("%d\n%s", resp.StatusCode, body)
	}
	_, body = b.do(http.MethodPost, "/cancel", with(form, csrf)) // pressed twice
	if !strings.Contains(body, `id="done">0 cancelled, 3 cancelled before, 1 refused.`) {
		t.Errorf("twice:\n%s", body)
	}
	all := b.outcomes()
	if len(all) != 3 || !strings.Contains(string(all[0].Data), `"cancelled by Ann (console): sent by mistake"`) {
		t.Errorf("%d outcomes, %s", len(all), all[0].Data)
	}
	b.waitForRow("b-1", `s-cancelled">cancelled<`)
}

// A page of a process without a canceller, or without a token, changes nothing.
func TestCancel_readOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *page.Config) { c.Token, c.Canceller = nil, nil })
	b.queued("billing", "CHG-17", "b-1")
	if resp, body := b.do(http.MethodGet, "/cancel?all=yes", nil); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "this process cannot do that") {
		t.Errorf("%d\n%s", resp.StatusCode, body)
	}
	if resp, _ := b.do(http.MethodPost, "/cancel", url.Values{"all": {"yes"}, "reason": {"x"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a cancellation without a token: %d, want 403", resp.StatusCode)
	}
	if n := len(b.outcomes()); n != 0 {
		t.Errorf("%d requests were cancelled", n)
	}
}

// The page of an open request leads to its cancellation, that of a settled one does not.
func TestRequest_leadsToItsCancellation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "open", func(c *schemas.JobSubmitting) { c.LeaseMillis = 0 }).submit()
	b.request("billing", "done").submit().start("7")
	b.waitForRow("done", "7")
	const link = `<a href="/cancel?source=billing&amp;id=open">`
	if body := b.get("/requests/billing/open"); !strings.Contains(body, link) {
		t.Errorf("no link %s in\n%s", link, body)
	}
	if body := b.get("/requests/billing/done"); strings.Contains(body, "/cancel?source") {
		t.Errorf("a started request is offered for cancellation:\n%s", body)
	}
}

// The page of a failed request links to its dead letter, where it can be replayed.
func TestRequest_linksToItsDeadLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "other").fail("587207178", "no such group").keep("587207178", "no such group")
	number := b.request("billing", "broken").fail("587207178", "no such group").keep("587207178", "no such group")
	b.request("billing", "lost").fail("2", "busy") // its dead letter was dropped
	b.request("billing", "done").submit().start("7")
	b.waitForRow("done", "7")
	want := fmt.Sprintf(`<a href="/dead-letters/%d#replay">replay the request</a>`, number)
	if body := b.get("/requests/billing/broken"); !strings.Contains(body, want) {
		t.Errorf("no %s in\n%s", want, body)
	}
	for _, id := range []string{"lost", "done"} {
		if body := b.get("/requests/billing/" + id); strings.Contains(body, `id="letter"`) {
			t.Errorf("%s has no dead letter:\n%s", id, body)
		}
	}
	if body := b.get("/dead-letters"); !strings.Contains(body, "<b>587207178 (35:4618)</b>") {
		t.Errorf("the list does not show the code of the vendor's logs:\n%s", body)
	}
	if body := b.get(fmt.Sprintf("/dead-letters/%d", number)); !strings.Contains(body, "<dd>open</dd>") {
		t.Errorf("the dead letter does not show its state:\n%s", body)
	}
}
