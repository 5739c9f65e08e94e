package page_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"backhaul/cmd/internal/console/page"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// sent returns the requests that were published, and the records of replays.
func (b *bench) sent() (requests, records int) {
	b.t.Helper()
	js := natstest.JetStream(b.t, b.nats.Connect(b.t))
	return len(natstest.Stored(b.t, js, publisher.RequestsStream, "backup.request.>")),
		len(natstest.Stored(b.t, js, publisher.EventsStream, publisher.OperatorSubject(schemas.ActionDeadLetterReplay)))
}

// A reader sees what would be done; with a session and a reason the dead letters that match and
// were there are replayed, and what is refused is listed.
func TestReplayMany(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const code = "587207178"
	b.request("billing", "b-1").keep(code, "no <b>group</b>")
	b.request("billing", "b-2").keep(code, "no group")
	b.request("crm", "c-1").keep(code, "no group")
	b.request("crm", "unknown").keep(schemas.CodeOutcomeUnknown, "no answer from "+strings.Repeat("x", 300))
	b.request("crm", "cancelled").keep(schemas.CodeCancelled, "cancelled by Ann")

	if body := b.get("/dead-letters/replay"); strings.Contains(body, `id="selected"`) || strings.Contains(body, `method="post"`) {
		t.Errorf("nothing is selected yet:\n%s", body)
	}
	const list = `<a id="replay-all" href="/dead-letters/replay?code=35%3A4618">Replay those that match`
	if body := b.get("/dead-letters?code=35:4618"); !strings.Contains(body, list) {
		t.Errorf("the list does not lead to the replay:\n%s", body)
	}
	for query, want := range map[string]string{
		"all=yes":                             "<b>4</b> dead letters are selected: 2 of billing, 2 of crm.",
		"source=billing":                      "<b>2</b> dead letters are selected: 2 of billing.",
		"code=35:4618&q=C-1":                  "<b>1</b> dead letter is selected: 1 of crm.",
		"code=cancelled":                      "<b>1</b> dead letter is selected: 1 of crm.",
		"code=OUTCOME_UNKNOWN":                "refused: there may be a job of it already",
		"state=replayed":                      "No dead letter is selected.",
		"state=opne":                          "No dead letter is selected.",
		"source=billing&q=none":               "No dead letter is selected.",
		"q=" + strings.Repeat("x", 300) + "c": "No dead letter is selected.",
	} {
		body := b.get("/dead-letters/replay?" + query)
		if !strings.Contains(body, want) {
			t.Errorf("%s: no %q in\n%s", query, want, body)
		}
		inert(t, query, body)
	}
	body := b.get("/dead-letters/replay?all=yes")
	if !strings.Contains(body, "would replay: as b-1-replay-1") || !strings.Contains(body, `<a href="/login?next=`) || strings.Contains(body, `method="post" action="/dead-letters/replay"`) {
		t.Errorf("a reader sees:\n%s", body)
	}

	form := url.Values{"all": {"yes"}, "before": {"6"}, "reason": {"group made, CHG-17"}}
	if resp, _ := b.do(http.MethodPost, "/dead-letters/replay", form); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", resp.StatusCode)
	}
	csrf := b.signIn()
	for name, test := range map[string]struct {
		form    url.Values
		headers []string
		want    int
	}{
		"without the secret":    {form, nil, http.StatusForbidden},
		"from another site":     {with(form, csrf), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"without a reason":      {with(url.Values{"all": {"yes"}, "before": {"6"}}, csrf), nil, http.StatusUnprocessableEntity},
		"without a selection":   {with(url.Values{"before": {"6"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
		"without what was seen": {with(url.Values{"all": {"yes"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity},
	} {
		if resp, body := b.do(http.MethodPost, "/dead-letters/replay", test.form, test.headers...); resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d\n%s", name, resp.StatusCode, test.want, body)
		}
	}
	if requests, records := b.sent(); requests != 0 || records != 0 {
		t.Fatalf("%d requests were sent, %d replays recorded", requests, records)
	}
	body = b.get("/dead-letters/replay?all=yes")
	if !strings.Contains(body, "<button>Replay 4 dead letters</button>") || !strings.Contains(body, `name="before" value="5"`) {
		t.Errorf("no form:\n%s", body)
	}
	form.Set("before", "5")
	b.request("billing", "later").keep(code, "no group") // after the form was shown
	_, body = b.do(http.MethodPost, "/dead-letters/replay", with(form, csrf))
	if !strings.Contains(body, `id="done">3 replayed, 1 refused.`) || !strings.Contains(body, "refused: there may be a job of it already") || strings.Contains(body, ">b-1<") {
		t.Errorf("after the replay:\n%s", body)
	}
	_, body = b.do(http.MethodPost, "/dead-letters/replay", with(form, csrf)) // pressed twice
	if !strings.Contains(body, `id="done">0 replayed, 1 refused.`) {
		t.Errorf("twice:\n%s", body)
	}
	if requests, records := b.sent(); requests != 3 || records != 3 {
		t.Errorf("%d requests were sent, %d replays recorded", requests, records)
	}
	// What was recorded and perhaps not sent is sent again where the filter asks for it, as the same
	// requests, which start nothing twice.
	again := with(url.Values{"state": {"replayed"}, "before": {"6"}, "reason": {"x"}}, csrf)
	if _, body := b.do(http.MethodPost, "/dead-letters/replay", again); !strings.Contains(body, `id="done">0 replayed, 3 sent again.`) {
		t.Errorf("again:\n%s", body)
	}
	if requests, records := b.sent(); requests != 6 || records != 3 {
		t.Errorf("after the repetition: %d requests, %d records", requests, records)
	}
}

// The list shows what became of each dead letter, and filters by it.
func TestLetters_showTheirState(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, id := range []string{"open", "replayed", "succeeded"} {
		s := b.request("billing", id).fail("2", "busy")
		number := s.keep("2", "busy")
		if i == 0 {
			continue
		}
		csrf := b.signIn()
		if resp, body := b.do(http.MethodPost, fmt.Sprintf("/dead-letters/%d/replay", number), with(url.Values{}, csrf)); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("replay: %d\n%s", resp.StatusCode, body)
		}
		if id == "succeeded" {
			b.request("billing", fmt.Sprintf("succeeded-replay-%d", number)).submit().start("7")
		}
	}
	for _, state := range []string{"open", "replayed", "succeeded"} {
		body := b.get("/dead-letters?state=" + state)
		if n := strings.Count(body, `data-label="Letter"`); n != 1 || !strings.Contains(body, `data-label="State">`+state+`</td>`) ||
			!strings.Contains(body, ">"+state+"</a>") || !strings.Contains(body, `<option value="`+state+`" selected>`) {
			t.Errorf("%s: %d rows\n%s", state, n, body)
		}
	}
	if n := strings.Count(b.get("/dead-letters?state=opne"), `data-label="Letter"`); n != 0 {
		t.Errorf("a state that does not exist has %d rows", n)
	}
}

// One action replays a bounded number, the oldest first, and says what is left.
func TestReplayMany_isBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 203 {
		err := b.pub.DeadLetter(t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: b.request("billing", "x").claim.Request.JSON(), Key: publisher.NewKey("billing", fmt.Sprintf("r-%d", i)),
			RequestID: fmt.Sprintf("r-%d", i), Sequence: uint64(i + 1), Code: "2", Reason: "busy",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	csrf := b.signIn()
	body := b.get("/dead-letters/replay?all=yes")
	if !strings.Contains(body, "<b>200</b> dead letters are selected: 200 of billing. 3 more match") || !strings.Contains(body, "would replay: as r-0-replay-1") {
		t.Errorf("the selection:\n%s", body)
	}
	form := with(url.Values{"all": {"yes"}, "before": {"204"}, "reason": {"x"}}, csrf)
	if _, body := b.do(http.MethodPost, "/dead-letters/replay", form); !strings.Contains(body, `id="done">200 replayed. 3 more match; replay them now.`) {
		t.Errorf("the first:\n%s", body)
	}
	if _, body := b.do(http.MethodPost, "/dead-letters/replay", form); !strings.Contains(body, `id="done">3 replayed.<`) {
		t.Errorf("the rest:\n%s", body)
	}
}

// A page of a process without dead letters, or without a token, replays nothing.
func TestReplayMany_readOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *page.Config) { c.Token, c.Letters = nil, nil })
	if resp, body := b.do(http.MethodGet, "/dead-letters/replay?all=yes", nil); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "this process cannot do that") {
		t.Errorf("%d\n%s", resp.StatusCode, body)
	}
	if resp, _ := b.do(http.MethodPost, "/dead-letters/replay", url.Values{"all": {"yes"}, "before": {"9"}, "reason": {"x"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a replay without a token: %d, want 403", resp.StatusCode)
	}
}
