package page_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

var noAgent = schemas.Reason{Code: "13:30", Text: "The MediaAgent cannot be reached.", From: schemas.ReasonFromPending}

func (s *events) job(e schemas.JobEvent) *events {
	s.b.t.Helper()
	stream, err := natstest.JetStream(s.b.t, s.b.nats.Connect(s.b.t)).Stream(s.b.t.Context(), publisher.EventsStream)
	if err != nil {
		s.b.t.Fatal(err)
	}
	last := uint64(0)
	if msg, err := stream.GetLastMsgForSubject(s.b.t.Context(), s.key.JobFilter(e.Job())); err == nil {
		last = msg.Sequence
	}
	if _, err := s.b.pub.AppendJob(s.b.t.Context(), s.key, last, e, traceparent); err != nil {
		s.b.t.Fatal(err)
	}
	return s
}

// pend writes that a job is pending, end how it ended.
func (s *events) pend(job string) *events {
	s.b.t.Helper()
	return s.job(&schemas.JobChanged{
		Naming: s.claim.Names(), Message: s.claim.Message, JobRef: schemas.JobRef{JobID: job}, State: schemas.StatePending, VendorStatus: "Pending",
		Reasons: []schemas.Reason{noAgent}, Phase: "Scan", Percent: new(40), ChangedAt: time.Now().UTC(),
	})
}

func (s *events) end(job string, outcome schemas.Outcome, reasons ...schemas.Reason) *events {
	s.b.t.Helper()
	return s.job(&schemas.JobFinished{
		Naming: s.claim.Names(), Message: s.claim.Message, JobRef: schemas.JobRef{JobID: job}, Outcome: outcome, VendorStatus: "as it says",
		Reasons: reasons, JobSizes: schemas.JobSizes{Files: new(int64(3)), Bytes: new(int64(4 << 20)), FailedFiles: new(int64(1))},
		JobTimes: schemas.JobTimes{StartedAt: time.Now().Add(-time.Hour).UTC(), EndedAt: time.Now().UTC(), ObservedAt: time.Now().UTC()},
	})
}

// The list and the request's page say what became of each job, also without JavaScript.
func TestPage_showsJobs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.request("billing", "open").start("100")
	b.request("billing", "pends").start("101").pend("101")
	b.request("billing", "kept").start("102").end("102", schemas.OutcomeCompleted)
	b.request("billing", "lost").start("103").pend("103").end("103", schemas.OutcomeKilled, schemas.Reason{Code: "19:1081", Text: "killed by ann", From: "event"})
	b.request("billing", "refused").fail("1", "no")
	for id, words := range map[string][]string{
		"open":    {`<span class="status b-runs">no end yet</span>`},
		"pends":   {`<span class="status b-held">pending</span>`, "40 %", "13:30: The MediaAgent cannot be reached."},
		"kept":    {`<span class="status s-started">started</span>`, `<span class="status b-kept">completed</span>`, "3 files, 4.0 MiB, 1 failed file"},
		"lost":    {`<span class="status b-lost">killed</span>`, "19:1081: killed by ann"},
		"refused": {`class="backup">–`},
	} {
		b.waitForRow(id, words...)
	}
	waittest.Eventually(t, "counts of ends", func() bool {
		body := b.get("/")
		return strings.Contains(body, `Backups open</a></dt><dd>2<`) && strings.Contains(body, "All data kept</dt><dd>1<") && strings.Contains(body, "Not all kept</a></dt><dd>1<")
	})
	for query, want := range map[string]string{"?backup=open": "open pends", "?backup=not-kept": "lost", "?backup=completed": "kept", "?backup=finished&q=ann": "lost", "?backup=nonsense": "open pends kept lost refused"} {
		body := b.get("/" + query)
		for _, id := range []string{"open", "pends", "kept", "lost", "refused"} {
			if shown := strings.Contains(body, ">"+id+"</a>"); shown != strings.Contains(want, id) {
				t.Errorf("%s shows %s: %t", query, id, shown)
			}
		}
	}
	body := b.get("/requests/billing/lost")
	for _, want := range []string{
		"<h2>Job</h2>", "https://cc.example.com/#/jobs/103", `<dt>Backup</dt><dd><span class="status b-lost">killed</span>`, "<dt>Moved</dt><dd>3 files, 4.0 MiB, 1 failed file<",
		"<dt>Reason</dt><dd>19:1081: killed by ann<", "<dt>Vendor&#39;s status</dt>", "<b>changed</b> job 103: pending since ", `<li class="b-held"`, `<li class="b-lost"`, "<b>finished</b> job 103: killed at ",
	} {
		if !strings.Contains(body, want) && !strings.Contains(body, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("the request's page lacks %s", want)
		}
	}
	inert(t, "a request with a job", body)
}

// What a vendor says of a job is text.
func TestPage_hostileJobsAreInert(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := b.request("billing", "r-1").start("100")
	s.job(&schemas.JobChanged{
		Naming: s.claim.Names(), Message: s.claim.Message, JobRef: schemas.JobRef{JobID: "100"}, State: hostile, VendorStatus: hostile, Phase: hostile,
		Reasons: []schemas.Reason{{Code: hostile, LogCode: hostile, Text: hostile, From: hostile}}, ChangedAt: time.Now(),
	})
	s.job(&schemas.JobFinished{
		Naming: s.claim.Names(), Message: s.claim.Message, JobRef: schemas.JobRef{JobID: "101"}, Outcome: hostile, VendorStatus: hostile, By: hostile,
		Reasons: []schemas.Reason{{Text: hostile}}, JobTimes: schemas.JobTimes{ObservedAt: time.Now(), EndedFrom: hostile},
	})
	b.waitForRow("r-1", "b-held", "b-lost")
	for _, path := range []string{"/", "/requests/billing/r-1"} {
		inert(t, path, b.get(path))
	}
}

// jobEnds looks at a job's way to its end: the list and the request's page change by
// themselves, and the filter finds it.
func jobEnds(w *tab) {
	s := w.request("billing", "inv-1").submit().start("5976")
	w.open("/")
	w.shows("No end yet") // the style capitalises it
	w.waitFor("live", live)
	s.pend("5976")
	w.waitFor("why it waits, in its row", `document.querySelector("#rows tr .backup").innerText.toLowerCase().includes("pending") && document.querySelector("#rows tr .error").innerText.includes("MediaAgent")`)
	w.follow(`#rows th a`)
	w.shows("The MediaAgent cannot be reached.")
	w.waitFor("live", live)
	s.end("5976", schemas.OutcomeCompletedWithErrors, schemas.Reason{Code: "19:857", Text: "items failed", From: "event"})
	w.waitFor("the end", `document.querySelector("#jobs .status").innerText.toLowerCase() === "completed with errors"`)
	w.shows("3 files, 4.0 MiB, 1 failed file")
	w.shows("19:857: items failed")
	w.open("/")
	w.run(chromedp.SetValue(chromedp.CSS(`select[name=backup]`), "not-kept"))
	w.follow(`.filters button`)
	w.shows("inv-1")
	if address := evaluate[string](w, "location.href"); !strings.Contains(address, "backup=not-kept") {
		w.t.Errorf("the address is %s", address)
	}
	w.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	w.open("/?backup=completed-with-errors")
	text, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS("#rows")))
	w.do("read the rows without a script", err)
	if !strings.Contains(strings.ToLower(text), "completed with errors") || !strings.Contains(text, "items failed") {
		w.t.Errorf("without a script the table is %q", text)
	}
}
