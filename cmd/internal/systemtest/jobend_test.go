package systemtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/browsertest"
	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// fastFollow makes a service read the vendor's list of jobs several times a second.
var fastFollow = []string{"BACKHAUL_FOLLOW_INTERVAL_MIN=200ms", "BACKHAUL_FOLLOW_INTERVAL_MAX=500ms", "BACKHAUL_FOLLOW_READS_PER_HOUR=100000"}

// A request is seen to its end from outside: by a plain NATS subscriber, by the commands, on
// the page in a browser that does not reload, and in the metrics.
func TestARequestIsSeenToItsEnd(t *testing.T) {
	t.Parallel()
	s := programtest.StartServiceIn(t, fastFollow, simulator.Config{JobDuration: time.Second})
	admin := programtest.AdminURL(t, s.Run)
	env := append(s.Env, "BACKHAUL_ADMIN_ADDR="+strings.TrimPrefix(admin, "http://"))
	heard := subscribe(t, s.Client)
	s.Sim.ScriptLives(simulator.MustParseLife("pending:forever(13:30 No contact with the MediaAgent)"))
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("end-1"))

	started := heard.next(t, "backup.event.job-started.billing.end-1")
	job := fmt.Sprint(started["jobId"])
	pending := heard.next(t, "backup.event.job-changed.billing.end-1."+job)
	if reasons := fmt.Sprint(pending["reasons"]); pending["state"] != "pending" || !strings.Contains(reasons, "13:30") || !strings.Contains(reasons, "No contact with the MediaAgent") {
		t.Errorf("the change says %v", pending)
	}
	if out := once(t, env, programtest.ExitDone, "status", "end-1"); !strings.Contains(out, "pending since ") || !strings.Contains(out, "13:30: No contact with the MediaAgent") {
		t.Errorf("the status of the request while it is pending:\n%s", out)
	}
	waittest.Eventually(t, "the followed job in the status", func() bool {
		out := once(t, env, programtest.ExitDone, "status")
		return strings.Contains(out, "1 followed, the oldest since ") && strings.Contains(out, "followed by") && strings.Contains(out, "last list") && strings.Contains(out, "of 100000 in this hour")
	})
	page := openPage(t, admin)
	page.waitFor("the reason in the row", `document.querySelector("#rows tr .backup")?.innerText.toLowerCase().includes("pending") && document.querySelector("#rows tr .error").innerText.includes("No contact")`)
	for series, want := range map[string]float64{"backhaul_jobs_followed": 1, "backhaul_follow_reading": 1, `backhaul_jobs_changed_total{state="pending"}`: 1, `backhaul_condition_ok{condition="following"}`: 1} {
		waittest.Eventually(t, fmt.Sprintf("%s %g", series, want), func() bool { return programtest.Metric(t, s, series) == want })
	}

	if err := s.Sim.SetLife(job, simulator.MustParseLife("running:1ms,failed(Failed to access the object storage)")); err != nil {
		t.Fatal(err)
	}
	end := heard.next(t, "backup.event.job-finished.billing.end-1."+job)
	if end["outcome"] != "failed" || end["vendorStatus"] != "Failed" || end["endedAt"] == nil || !strings.Contains(fmt.Sprint(end["reasons"]), "Failed to access the object storage") {
		t.Errorf("the end says %v", end)
	}
	page.waitFor("the end in the row", `document.querySelector("#rows tr .backup").innerText.toLowerCase().includes("failed") && document.querySelector("#rows tr .error").innerText.includes("Failed to access") && performance.getEntriesByType("navigation").length === 1`)
	page.open("/requests/billing/end-1")
	page.waitFor("the end in the timeline", `document.querySelector("#timeline")?.innerText.includes("finished") && document.querySelector("#jobs").innerText.includes("Failed to access")`)
	out := once(t, env, programtest.ExitDone, "status", "billing/end-1", "--output", "json")
	var status struct {
		State  string
		Backup struct{ State, Outcome string }
		Jobs   []struct{ JobID, Outcome string }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil || status.State != "started" || status.Backup.State != "finished" || status.Backup.Outcome != "failed" || len(status.Jobs) != 1 {
		t.Errorf("the status is %+v, %v", status, err)
	}
	for series, want := range map[string]float64{`backhaul_jobs_finished_total{outcome="failed"}`: 1, "backhaul_job_end_lag_seconds_count": 1, "backhaul_jobs_followed": 0, "backhaul_follow_uncovered_seconds": 0} {
		waittest.Eventually(t, fmt.Sprintf("%s %g", series, want), func() bool { return programtest.Metric(t, s, series) == want })
	}

	request := []string{"request", "--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup", "--wait=finished", "--request-id"}
	if out := once(t, env, programtest.ExitDone, append(request, "end-2")...); !strings.Contains(out, "job-started") || !strings.Contains(out, "completed at ") {
		t.Errorf("a backup that completes:\n%s", out)
	}
	s.Sim.ScriptLives(simulator.MustParseLife("running:1ms,killed(ann not needed)"))
	if out := once(t, env, programtest.ExitFailed, append(request, "end-3")...); !strings.Contains(out, "killed at ") || !strings.Contains(out, "by ann") {
		t.Errorf("a backup that is killed:\n%s", out)
	}
}

// once runs the program and returns what it printed.
func once(t *testing.T, env []string, want int, args ...string) string {
	t.Helper()
	code, out, stderr := programtest.Once(t, env, "", args...)
	if code != want {
		t.Errorf("%v: exit code %d, want %d: %s", args, code, want, stderr)
	}
	return out
}

// listener is a plain subscriber of the events.
type listener struct {
	messages chan *nats.Msg
}

func subscribe(t *testing.T, c *programtest.Client) *listener {
	t.Helper()
	l := &listener{make(chan *nats.Msg, 100)}
	sub, err := c.NC.ChanSubscribe("backup.event.>", l.messages)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := c.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	return l
}

// next returns the data of the next message on a subject; "backup.event.protection." stands for
// any that begins so.
func (l *listener) next(t *testing.T, subject string) (data map[string]any) {
	t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case msg := <-l.messages:
			if msg.Subject != subject && !(strings.HasSuffix(subject, ".") && strings.HasPrefix(msg.Subject, subject)) {
				continue
			}
			if err := json.Unmarshal(msg.Data, &data); err != nil {
				t.Fatal(err)
			}
			return data
		case <-timeout:
			t.Fatalf("no message on %s within a minute", subject)
		}
	}
}

// browserPage is the console page in a browser.
type browserPage struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp's handle of a tab is a context
	url string
}

func openPage(t *testing.T, url string) *browserPage {
	t.Helper()
	ctx, stop := context.WithTimeout(browsertest.Start(t), 3*time.Minute)
	t.Cleanup(stop)
	p := &browserPage{t, ctx, url}
	p.open("/")
	return p
}

func (p *browserPage) open(path string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(p.url+path)); err != nil {
		p.t.Fatal(err)
	}
}

// waitFor waits until an expression is true in the page.
func (p *browserPage) waitFor(what, expression string) {
	p.t.Helper()
	waittest.Eventually(p.t, what, func() bool {
		is, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && is
	})
}

// text returns the value of an expression.
func (p *browserPage) text(expression string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}
