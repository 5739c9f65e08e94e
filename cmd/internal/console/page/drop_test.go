package page_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// kept returns how many dead letters there are, and the records of drops.
func (b *bench) kept() (letters int, records []schemas.OperatorEvent) {
	b.t.Helper()
	js := natstest.JetStream(b.t, b.nats.Connect(b.t))
	for _, msg := range natstest.Stored(b.t, js, publisher.EventsStream, publisher.OperatorSubject(schemas.ActionDeadLetterDrop)) {
		e, err := schemas.DecodeOperatorEvent(msg.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		records = append(records, e)
	}
	return len(natstest.Stored(b.t, js, publisher.DeadLetterStream, publisher.AnyDeadLetter)), records
}

// A reader sees what would be dropped, by source and state; with a session and a reason the dead
// letters that match and were there are dropped.
func TestDropMany(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const code = "587207178"
	b.request("crm", "c-2").keep("2", "busy")
	b.request("billing", "b-1").keep(code, "no <b>group</b>")
	replayed := b.request("billing", "b-2").keep(code, "no group")
	b.request("crm", "c-1").keep(code, "no group")
	csrf := b.signIn()
	if resp, body := b.do(http.MethodPost, fmt.Sprintf("/dead-letters/%d/replay", replayed), with(nil, csrf)); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("replay: %d\n%s", resp.StatusCode, body)
	}
	if resp, _ := b.do(http.MethodPost, "/logout", with(nil, csrf)); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("logout: %d", resp.StatusCode)
	}

	if body := b.get("/dead-letters/drop"); strings.Contains(body, `id="selected"`) || strings.Contains(body, `method="post"`) {
		t.Errorf("nothing is selected yet:\n%s", body)
	}
	const list = `<a id="drop-all" href="/dead-letters/drop?code=35%3A4618">Drop those that match`
	if body := b.get("/dead-letters?code=35:4618"); !strings.Contains(body, list) {
		t.Errorf("the list does not lead to the drop:\n%s", body)
	}
	for query, want := range map[string][]string{
		"all=yes":        {"<b>4</b> dead letters are selected: 2 of billing, 2 of crm; 3 open, 1 replayed.", "3 of 4 were never replayed", "would drop"},
		"source=billing": {"<b>2</b> dead letters are selected: 2 of billing; 1 open, 1 replayed.", "1 of 2 was never replayed"},
		"code=35:4618":   {"<b>3</b> dead letters are selected: 2 of billing, 1 of crm; 2 open, 1 replayed."},
		"state=replayed": {"<b>1</b> dead letter is selected: 1 of billing; 1 replayed."},
		"state=opne":     {"No dead letter is selected."},
		"q=none":         {"No dead letter is selected."},
	} {
		body := b.get("/dead-letters/drop?" + query)
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s: no %q in\n%s", query, text, body)
			}
		}
		if strings.Contains(body, `action="/dead-letters/drop"`) && strings.Contains(body, `method="post"`) {
			t.Errorf("%s: a reader gets a form", query)
		}
		inert(t, query, body)
	}
	if body := b.get("/dead-letters/drop?state=replayed"); strings.Contains(body, "never replayed") || !strings.Contains(body, `To drop it, <a href="/login?next=`) {
		t.Errorf("a reader sees:\n%s", body)
	}

	form := url.Values{"code": {"35:4618"}, "before": {"5"}, "reason": {"test data, CHG-17"}}
	if resp, _ := b.do(http.MethodPost, "/dead-letters/drop", form); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", resp.StatusCode)
	}
	csrf = b.signIn()
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
		if resp, body := b.do(http.MethodPost, "/dead-letters/drop", test.form, test.headers...); resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d\n%s", name, resp.StatusCode, test.want, body)
		}
	}
	if letters, records := b.kept(); letters != 4 || len(records) != 0 {
		t.Fatalf("%d dead letters are left, %d drops recorded", letters, len(records))
	}
	if body := b.get("/dead-letters/drop?code=35:4618"); !strings.Contains(body, `<button class="danger">Drop 3 dead letters for good</button>`) || !strings.Contains(body, `name="before" value="5"`) {
		t.Errorf("no form:\n%s", body)
	}
	b.request("billing", "later").keep(code, "no group") // after the form was shown
	if _, body := b.do(http.MethodPost, "/dead-letters/drop", with(form, csrf)); !strings.Contains(body, `id="done">3 dropped.<`) {
		t.Errorf("after the drop:\n%s", body)
	}
	letters, records := b.kept()
	if letters != 2 || len(records) != 3 || records[0].Actor != "Ann (console)" || records[0].Reason != "test data, CHG-17" || records[0].DeadLetter.RequestID != "b-1" {
		t.Errorf("%d dead letters are left, records %+v", letters, records)
	}
	if _, body := b.do(http.MethodPost, "/dead-letters/drop", with(form, csrf)); !strings.Contains(body, `id="done">0 dropped.<`) { // pressed twice
		t.Errorf("twice:\n%s", body)
	}
}

// hindered is a box in which some drops fail.
type hindered struct {
	page.DeadLetters
	fails map[uint64]error
}

func (h hindered) Drop(ctx context.Context, l deadletter.Message, by operator.By) error {
	if err := h.fails[l.Number]; err != nil {
		return err
	}
	return h.DeadLetters.Drop(ctx, l, by)
}

// A drop that fails ends the action, and what another operator dropped meanwhile does not.
func TestDropMany_thatFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *page.Config) {
		c.Letters = hindered{c.Letters, map[uint64]error{1: &deadletter.NotFoundError{Number: 1}, 3: errors.New("no answer <b>")}}
		c.Explain = func(err error) error { return fmt.Errorf("%w: grant this", err) }
	})
	for i := range 5 {
		b.request("billing", fmt.Sprintf("r-%d", i)).keep("2", "busy")
	}
	form := with(url.Values{"all": {"yes"}, "before": {"6"}, "reason": {"x"}}, b.signIn())
	resp, body := b.do(http.MethodPost, "/dead-letters/drop", form)
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, `id="done">1 dropped, 1 gone before.<`) ||
		!strings.Contains(body, "dead letter 3: no answer &lt;b&gt;: grant this; 3 of 5 dead letters were not dropped: do it again for them") {
		t.Errorf("%d\n%s", resp.StatusCode, body)
	}
	inert(t, "a drop that fails", body)
}

// Where NATS does not permit it, the page names what is missing in the place of the form, and nothing
// is recorded.
func TestLetters_whatIsNotPermitted(t *testing.T) {
	t.Parallel()
	const drop = "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ"
	b := newBench(t, func(c *page.Config) {
		c.Missing = func(_ context.Context, subjects ...string) (missing []string) {
			for _, subject := range subjects {
				if subject == drop || subject == "backup.request.billing" {
					missing = append(missing, subject)
				}
			}
			return missing
		}
	})
	number := b.request("billing", "b-1").keep("2", "busy")
	one := fmt.Sprintf("/dead-letters/%d", number)
	if body := b.get("/dead-letters/drop?all=yes"); strings.Contains(body, `data-missing`) {
		t.Error("a reader is told what an operator lacks")
	}
	csrf := b.signIn()
	for path, subject := range map[string]string{"/dead-letters/drop?all=yes": drop, "/dead-letters/replay?all=yes": "backup.request.billing", one: "backup.request.billing"} {
		body := b.get(path)
		if !strings.Contains(body, `data-missing`) || !strings.Contains(body, "<code>"+subject+"</code>") || strings.Contains(body, `class="replay"`) {
			t.Errorf("%s does not name %s, or has a form:\n%s", path, subject, body)
		}
	}
	form := with(url.Values{"all": {"yes"}, "before": {"6"}, "reason": {"x"}}, csrf)
	if body := b.get(one); !strings.Contains(body, "<code>"+drop+"</code>") {
		t.Errorf("the dead letter's page does not name %s:\n%s", drop, body)
	}
	for path, subject := range map[string]string{
		"/dead-letters/drop": drop, "/dead-letters/replay": "backup.request.billing", one + "/replay": "backup.request.billing", one + "/drop": drop,
	} {
		if resp, body := b.do(http.MethodPost, path, form); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "grant publish on "+subject+".") {
			t.Errorf("%s: %d\n%s", path, resp.StatusCode, body)
		}
	}
	if letters, records := b.kept(); letters != 1 || len(records) != 0 {
		t.Errorf("%d dead letters are left, %d drops recorded", letters, len(records))
	}
	if requests, records := b.sent(); requests != 0 || records != 0 {
		t.Errorf("%d requests were sent, %d replays recorded", requests, records)
	}
}

// A page of a process without dead letters, or without a token, drops nothing.
func TestDropMany_readOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *page.Config) { c.Token, c.Letters = nil, nil })
	if resp, body := b.do(http.MethodGet, "/dead-letters/drop?all=yes", nil); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "this process cannot do that") {
		t.Errorf("%d\n%s", resp.StatusCode, body)
	}
	if resp, _ := b.do(http.MethodPost, "/dead-letters/drop", url.Values{"all": {"yes"}, "before": {"9"}, "reason": {"x"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a drop without a token: %d, want 403", resp.StatusCode)
	}
}

var keptField = regexp.MustCompile(`name="kept" value="(\d+)"`)

// The page of a dead letter offers its drop, which needs a reason and leaves a record.
func TestDropOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "b-1").keep("2", "busy")
	path := fmt.Sprintf("/dead-letters/%d", b.request("billing", "b-2").keep("2", "busy"))
	if body := b.get(path); strings.Contains(body, `action="`+path+`/drop"`) || !strings.Contains(body, `To drop it, <a href="/login?next=`) {
		t.Errorf("a reader sees:\n%s", body)
	}
	csrf := b.signIn()
	body := b.get(path)
	kept := keptField.FindStringSubmatch(body)
	if kept == nil || !strings.Contains(body, `method="post" action="`+path+`/drop"`) || !strings.Contains(body, `<button class="danger">Drop this dead letter for good</button>`) ||
		!strings.Contains(body, "It was never replayed, and cannot be replayed after this.") {
		t.Fatalf("no form:\n%s", body)
	}
	for name, test := range map[string]struct {
		form url.Values
		want int
		says string
	}{
		"without a reason":       {url.Values{"kept": {kept[1]}}, http.StatusUnprocessableEntity, "The reason is missing"},
		"with a long reason":     {url.Values{"kept": {kept[1]}, "reason": {strings.Repeat("x", 4_000)}}, http.StatusUnprocessableEntity, "Nothing was done."},
		"of another dead letter": {url.Values{"kept": {kept[1] + "1"}, "reason": {"x"}}, http.StatusConflict, "is another one"},
	} {
		if resp, body := b.do(http.MethodPost, path+"/drop", with(test.form, csrf)); resp.StatusCode != test.want || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d, want %d\n%s", name, resp.StatusCode, test.want, body)
		}
	}
	if letters, records := b.kept(); letters != 2 || len(records) != 0 {
		t.Fatalf("%d dead letters are left, %d drops recorded", letters, len(records))
	}
	form := with(url.Values{"kept": {kept[1]}, "reason": {"test data, CHG-17"}}, csrf)
	resp, body := b.do(http.MethodPost, path+"/drop", form)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/dead-letters?dropped=2" {
		t.Fatalf("the drop: %d to %s\n%s", resp.StatusCode, resp.Header.Get("Location"), body)
	}
	if body := b.get("/dead-letters?dropped=2"); !strings.Contains(body, `id="dropped">Dead letter 2 was dropped.<`) || strings.Contains(body, "b-2") {
		t.Errorf("after the drop:\n%s", body)
	}
	letters, records := b.kept()
	if letters != 1 || len(records) != 1 || records[0].Actor != "Ann (console)" || records[0].Reason != "test data, CHG-17" || records[0].DeadLetter.RequestID != "b-2" {
		t.Errorf("%d dead letters are left, records %+v", letters, records)
	}
	if resp, body := b.do(http.MethodPost, path+"/drop", form); resp.StatusCode != http.StatusNotFound { // pressed twice
		t.Errorf("twice: %d\n%s", resp.StatusCode, body)
	}
}
