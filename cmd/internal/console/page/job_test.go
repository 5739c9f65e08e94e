package page_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/jobact"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// vendorBench is a bench whose page can act on the jobs of a simulator.
type vendorBench struct {
	*bench
	sim    *simulator.Simulator
	client *vendorapi.Client
}

func newVendorBench(t testing.TB, timeout time.Duration, changes ...func(*page.Config)) vendorBench {
	t.Helper()
	sim, endpoint := simulatortest.Start(t, simulator.Config{JobDuration: time.Hour})
	client, err := vendorapi.New(vendorapi.Config{Endpoint: endpoint, Timeout: timeout, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return "simulator", nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	var desk struct{ *jobact.Desk }
	b := newBench(t, append([]func(*page.Config){func(c *page.Config) { c.Jobs = &desk }}, changes...)...)
	if desk.Desk, err = jobact.New(b.nats.Connect(t), client); err != nil {
		t.Fatal(err)
	}
	return vendorBench{b, sim, client}
}

// runs starts a job of a request at the simulator and records it. It returns its id.
func (b vendorBench) runs(source, id string) (s *events, job string) {
	b.t.Helper()
	s = b.request(source, id)
	started, err := b.client.CreateTask(b.t.Context(), vendorapi.Task{Marker: "backhaul:" + s.key.String(), BackupRequest: s.claim.Request})
	if err != nil {
		b.t.Fatal(err)
	}
	return s.submit().start(started.ID), started.ID
}

// touched returns how often the vendor was asked for an action, and the records of them.
func (b vendorBench) touched() (calls int, records []schemas.OperatorEvent) {
	b.t.Helper()
	for _, msg := range natstest.Stored(b.t, natstest.JetStream(b.t, b.nats.Connect(b.t)), publisher.EventsStream, publisher.AnyOperator) {
		e, err := schemas.DecodeOperatorEvent(msg.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		records = append(records, e)
	}
	return b.sim.Account().Calls["JobAction"], records
}

// A reader sees how to get the buttons; with a session and a reason each action is recorded and done.
func TestJob_isActedOn(t *testing.T) {
	t.Parallel()
	b := newVendorBench(t, 5*time.Second)
	s, job := b.runs("billing", "inv-7")
	b.request("billing", "other").submit().start("77")
	path := "/requests/billing/inv-7"
	act := path + "/jobs/" + job
	if body := b.get(path); strings.Contains(body, `method="post"`) || !strings.Contains(body, "To suspend, resume or kill it, <a href=\"/login?next=") {
		t.Errorf("a reader sees:\n%s", body)
	}
	if _, data := b.firstEvent("/live" + path); !strings.Contains(data, `<a href="/login?next=%2Frequests%2Fbilling%2Finv-7">sign in</a>`) {
		t.Errorf("the link to sign in does not lead back to the page:\n%s", data)
	}
	form := url.Values{"do": {"suspend"}, "reason": {"wrong <b>group</b>, CHG-17"}}
	if resp, _ := b.do(http.MethodPost, act, form); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %d", resp.StatusCode)
	}
	csrf := b.signIn()
	for name, test := range map[string]struct {
		path    string
		form    url.Values
		headers []string
		want    int
		says    string
	}{
		"without the secret":  {act, form, nil, http.StatusForbidden, "The form is out of date"},
		"from another site":   {act, with(form, csrf), []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden, "another site"},
		"without a reason":    {act, with(url.Values{"do": {"kill"}, "sure": {"yes"}, "reason": {" "}}, csrf), nil, http.StatusUnprocessableEntity, "Why? Enter a reason"},
		"without an action":   {act, with(url.Values{"reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity, "suspend, resume or kill?"},
		"another action":      {act, with(url.Values{"do": {"restart"}, "reason": {"x"}}, csrf), nil, http.StatusUnprocessableEntity, "suspend, resume or kill?"},
		"no job":              {path + "/jobs/x", with(form, csrf), nil, http.StatusNotFound, "does not exist"},
		"a job of nobody":     {path + "/jobs/123456", with(form, csrf), nil, http.StatusNotFound, "on record for no request"},
		"another request's":   {path + "/jobs/77", with(form, csrf), nil, http.StatusConflict, "is one of the request billing/other now"},
		"not at the vendor":   {"/requests/billing/other/jobs/77", with(form, csrf), nil, http.StatusConflict, "Job 77 is as before: the job cannot be looked at"},
		"a kill is asked for": {act, with(url.Values{"do": {"kill"}, "reason": {"x"}}, csrf), nil, http.StatusOK, "<button class=\"danger\">Kill job " + job},
	} {
		resp, body := b.do(http.MethodPost, test.path, test.form, test.headers...)
		if resp.StatusCode != test.want || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d, want %d with %q\n%s", name, resp.StatusCode, test.want, test.says, body)
		}
		inert(t, name, body)
	}
	if calls, records := b.touched(); calls != 0 || len(records) != 0 {
		t.Fatalf("the vendor was asked %d times, %d records", calls, len(records))
	}
	if body := b.get(path); !strings.Contains(body, `action="`+act+`"`) || strings.Count(body, `name="do"`) != 3 {
		t.Errorf("no form:\n%s", body)
	}
	for i, step := range []struct {
		do, says string
		recorded schemas.Action
	}{
		{"suspend", "The job was Running, and is Suspended.", schemas.ActionJobSuspend},
		{"resume", "The job was Suspended, and is Running.", schemas.ActionJobResume},
		{"kill", "The job was Running, and is Killed.", schemas.ActionJobKill},
	} {
		form := url.Values{"do": {step.do}, "reason": {"wrong <b>group</b>, CHG-17"}, "sure": {"yes"}}
		resp, body := b.do(http.MethodPost, act, with(form, csrf))
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `role="status" id="done">The vendor accepted it. `+step.says) {
			t.Errorf("%s: %d\n%s", step.do, resp.StatusCode, body)
		}
		inert(t, step.do, body)
		calls, records := b.touched()
		if calls != i+1 || len(records) != i+1 {
			t.Fatalf("%s: the vendor was asked %d times, %d records", step.do, calls, len(records))
		}
		if e := records[i]; e.Action != step.recorded || e.JobID != job || e.Request.RequestID != "inv-7" || e.Actor != "Ann (console)" || e.Reason != "wrong <b>group</b>, CHG-17" {
			t.Errorf("%s is recorded as %+v", step.do, e)
		}
	}
	if resp, body := b.do(http.MethodPost, act, with(form, csrf)); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "has ended already: Killed") {
		t.Errorf("a job that has ended: %d\n%s", resp.StatusCode, body)
	}
	s.end(job, schemas.OutcomeKilled)
	b.waitForRow("inv-7", "b-lost")
	if body := b.get(path); strings.Contains(body, `name="do"`) {
		t.Errorf("a job that has ended has buttons:\n%s", body)
	}
}

// Nothing is asked of the vendor where the record is not permitted, and a lost answer is told as one.
func TestJob_recordAndAnswer(t *testing.T) {
	t.Parallel()
	b := newVendorBench(t, 2*time.Second, func(c *page.Config) {
		c.Missing = func(_ context.Context, subjects ...string) []string { return subjects }
	})
	_, job := b.runs("billing", "inv-7")
	form := url.Values{"do": {"suspend"}, "reason": {"x"}}
	resp, body := b.do(http.MethodPost, "/requests/billing/inv-7/jobs/"+job, with(form, b.signIn()))
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "grant publish on backup.event.operator.*") {
		t.Errorf("without the permission: %d\n%s", resp.StatusCode, body)
	}
	if calls, records := b.touched(); calls != 0 || len(records) != 0 {
		t.Errorf("the vendor was asked %d times, %d records", calls, len(records))
	}
	b = newVendorBench(t, 2*time.Second)
	_, job = b.runs("billing", "inv-7")
	csrf := b.signIn()
	b.sim.ScriptFor("JobAction", simulator.Fault{Kind: simulator.CutAfterStart}, simulator.Fault{Kind: simulator.TooManyRequests})
	resp, body = b.do(http.MethodPost, "/requests/billing/inv-7/jobs/"+job, with(form, csrf))
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "It is not known whether the vendor accepted it") || !strings.Contains(body, "and is Suspended.") || !strings.Contains(body, `role="alert"`) {
		t.Errorf("a lost answer: %d\n%s", resp.StatusCode, body)
	}
	form.Set("do", "resume")
	resp, body = b.do(http.MethodPost, "/requests/billing/inv-7/jobs/"+job, with(form, csrf))
	if resp.StatusCode != http.StatusConflict || !strings.Contains(body, "is as before: recorded, but not done: JobAction: throttled") {
		t.Errorf("a refusal: %d\n%s", resp.StatusCode, body)
	}
	if calls, records := b.touched(); calls != 2 || len(records) != 2 {
		t.Errorf("the vendor was asked %d times, %d records", calls, len(records))
	}
	b.nats.Stop()
	if resp, body := b.do(http.MethodPost, "/requests/billing/inv-7/jobs/"+job, with(form, csrf)); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "It failed: ") {
		t.Errorf("without NATS: %d\n%s", resp.StatusCode, body)
	}
	if calls := b.sim.Account().Calls["JobAction"]; calls != 2 {
		t.Errorf("the vendor was asked without NATS")
	}
}

// A process without credentials of the vendor says so, and one without a token offers nothing.
func TestJob_cannotBeActedOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "inv-7").submit().start("5976")
	csrf := b.signIn()
	const act = "/requests/billing/inv-7/jobs/5976"
	if body := b.get("/requests/billing/inv-7"); strings.Contains(body, `name="do"`) || !strings.Contains(body, "this process has no credentials of the vendor") ||
		!strings.Contains(body, "<code>backhaul job kill 5976 --reason …</code>") {
		t.Errorf("without credentials:\n%s", body)
	}
	if resp, body := b.do(http.MethodPost, act, with(url.Values{"do": {"kill"}, "reason": {"x"}}, csrf)); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "no credentials of the vendor") {
		t.Errorf("without credentials: %d\n%s", resp.StatusCode, body)
	}
	v := newVendorBench(t, 5*time.Second, func(c *page.Config) { c.Token = nil })
	_, job := v.runs("billing", "inv-7")
	if body := v.get("/requests/billing/inv-7"); strings.Contains(body, `name="do"`) || strings.Contains(body, "/login") {
		t.Errorf("without a token:\n%s", body)
	}
	if resp, _ := v.do(http.MethodPost, "/requests/billing/inv-7/jobs/"+job, url.Values{"do": {"suspend"}, "reason": {"x"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("without a token: %d, want 403", resp.StatusCode)
	}
	if calls, _ := v.touched(); calls != 0 {
		t.Errorf("the vendor was asked %d times", calls)
	}
}
