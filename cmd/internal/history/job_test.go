package history

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

var jobAt = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func startedJobs(ids ...string) *schemas.JobStarted {
	return &schemas.JobStarted{Naming: request("r-1").Naming("billing"), JobID: ids[0], JobIDs: ids, Attempts: 1, StartedAt: jobAt}
}

func changed(id string, state schemas.State, reasons ...schemas.Reason) *schemas.JobChanged {
	return &schemas.JobChanged{
		Naming: request("r-1").Naming("billing"), JobRef: schemas.JobRef{JobID: id}, State: state, VendorStatus: string(state),
		Reasons: reasons, ChangedAt: jobAt.Add(time.Minute),
	}
}

func finished(id string, outcome schemas.Outcome, reasons ...schemas.Reason) *schemas.JobFinished {
	return &schemas.JobFinished{
		Naming: request("r-1").Naming("billing"), JobRef: schemas.JobRef{JobID: id}, Outcome: outcome, VendorStatus: string(outcome), Reasons: reasons,
		JobTimes: schemas.JobTimes{EndedAt: jobAt.Add(time.Hour), ObservedAt: jobAt.Add(61 * time.Minute)},
	}
}

func unfollowed(id string) *schemas.JobUnfollowed {
	return &schemas.JobUnfollowed{
		Naming: request("r-1").Naming("billing"), JobRef: schemas.JobRef{JobID: id}, LastStatus: "Suspended", Reason: "no end for 7 days",
		UnfollowedAt: jobAt.Add(7 * 24 * time.Hour),
	}
}

var noAgent = schemas.Reason{Code: "13:30", Text: "The MediaAgent cannot be reached.", From: schemas.ReasonFromPending}

// Whatever the order of the events about its jobs, a request's backup is what they say
// together.
func TestBackup_everyOutcomeAndOrder(t *testing.T) {
	t.Parallel()
	type test struct {
		events []schemas.Event
		want   Backup
		word   string
	}
	cases := map[string]test{
		"no job":         {nil, Backup{}, ""},
		"no job failed":  {[]schemas.Event{failed(schemas.Message{}, schemas.CodeExpired)}, Backup{}, ""},
		"nothing known":  {[]schemas.Event{startedJobs("7")}, Backup{State: JobStarted}, "no end yet"},
		"runs again":     {[]schemas.Event{startedJobs("7"), changed("7", schemas.StatePending, noAgent), changed("7", schemas.StateRunning)}, Backup{State: "running"}, "running"},
		"later version":  {[]schemas.Event{startedJobs("7"), changed("7", "hibernating")}, Backup{State: "hibernating"}, "hibernating"},
		"later outcome":  {[]schemas.Event{startedJobs("7"), finished("7", "half-done")}, Backup{JobFinished, "half-done"}, "half done"},
		"second end":     {[]schemas.Event{startedJobs("7"), finished("7", schemas.OutcomeKilled), finished("7", schemas.OutcomeCompleted)}, Backup{JobFinished, schemas.OutcomeKilled}, "killed"},
		"end, change":    {[]schemas.Event{startedJobs("7"), finished("7", schemas.OutcomeCompleted), changed("7", schemas.StateRunning)}, Backup{JobFinished, schemas.OutcomeCompleted}, "completed"},
		"end, given up":  {[]schemas.Event{startedJobs("7"), finished("7", schemas.OutcomeCompleted), unfollowed("7")}, Backup{JobFinished, schemas.OutcomeCompleted}, "completed"},
		"given up":       {[]schemas.Event{startedJobs("7"), unfollowed("7")}, Backup{State: JobUnfollowed}, "unfollowed"},
		"given up, end":  {[]schemas.Event{startedJobs("7"), unfollowed("7"), finished("7", schemas.OutcomeFailed)}, Backup{JobFinished, schemas.OutcomeFailed}, "failed"},
		"end only":       {[]schemas.Event{finished("7", schemas.OutcomeNoRun)}, Backup{JobFinished, schemas.OutcomeNoRun}, "no run"},
		"end, start":     {[]schemas.Event{finished("7", schemas.OutcomeCompleted), startedJobs("7")}, Backup{JobFinished, schemas.OutcomeCompleted}, "completed"},
		"one of two":     {[]schemas.Event{startedJobs("7", "8"), finished("8", schemas.OutcomeCompleted)}, Backup{State: JobStarted}, "no end yet"},
		"one of two bad": {[]schemas.Event{startedJobs("7", "8"), finished("8", schemas.OutcomeFailed), changed("7", schemas.StatePending)}, Backup{"pending", schemas.OutcomeFailed}, "pending"},
		"worst of two":   {[]schemas.Event{startedJobs("7", "8"), finished("8", schemas.OutcomeKilled), finished("7", schemas.OutcomeCompletedWithErrors)}, Backup{JobFinished, schemas.OutcomeKilled}, "killed"},
		"good of two":    {[]schemas.Event{startedJobs("7", "8"), finished("8", schemas.OutcomeCompleted), finished("7", schemas.OutcomeCompletedWithWarnings)}, Backup{JobFinished, schemas.OutcomeCompletedWithWarnings}, "completed with warnings"},
		"one given up":   {[]schemas.Event{startedJobs("7", "8"), finished("8", schemas.OutcomeCompleted), unfollowed("7")}, Backup{State: JobUnfollowed}, "unfollowed"},
		"another job":    {[]schemas.Event{startedJobs("7"), finished("7", schemas.OutcomeCompleted), changed("9", schemas.StateRunning)}, Backup{State: "running"}, "running"},
	}
	for _, outcome := range schemas.Outcomes {
		cases[string(outcome)] = test{[]schemas.Event{startedJobs("7"), finished("7", outcome)}, Backup{JobFinished, outcome}, wordOf(string(outcome))}
	}
	for _, state := range []schemas.State{schemas.StateQueued, schemas.StateWaiting, schemas.StatePending, schemas.StateSuspended, schemas.StateInterrupted, schemas.StateRunning} {
		cases[string(state)] = test{[]schemas.Event{startedJobs("7"), changed("7", state)}, Backup{State: JobState(state)}, string(state)}
		if !slices.Contains(attention, JobState(state)) {
			t.Errorf("the state %s has no place in attention", state)
		}
	}
	for name, c := range cases {
		var js Jobs
		for _, e := range c.events {
			js = js.After(e)
		}
		b := js.Backup()
		if b != c.want || b.Word() != c.word {
			t.Errorf("%s: got %+v, %q, want %+v, %q", name, b, b.Word(), c.want, c.word)
		}
		if over := c.want.State.Over(); b.Open() != (c.want.State != "" && !over) {
			t.Errorf("%s: open %t", name, b.Open())
		}
		if b.KeptAll() != (c.want.State == JobFinished && c.want.Outcome.KeptAll()) || b.KeptAll() && b.Lost() {
			t.Errorf("%s: all kept %t, lost %t", name, b.KeptAll(), b.Lost())
		}
	}
}

// What a person reads about a job: its state, sizes, who, and the vendor's reasons.
func TestJobText(t *testing.T) {
	t.Parallel()
	n := func(i int64) *int64 { return &i }
	sized := finished("7", schemas.OutcomeCompletedWithErrors, schemas.Reason{Code: "587207178", LogCode: "35:4618", Text: " some items failed ", From: schemas.ReasonFromEvent})
	sized.JobSizes = schemas.JobSizes{Files: n(1), FailedFiles: n(2), FailedFolders: n(1), Bytes: n(1 << 20), MediaBytes: n(7)}
	empty := finished("7", schemas.OutcomeCompleted)
	empty.JobSizes = schemas.JobSizes{Files: n(0), Bytes: n(0), Empty: new(true)}
	killed := finished("7", schemas.OutcomeKilled, schemas.Reason{Code: "19:1081", From: schemas.ReasonFromEvent})
	killed.By, killed.EndedAt = "admin", time.Time{}
	ended := finished("7", schemas.OutcomeEnded)
	ended.VendorStatus = "Hibernated"
	pending := changed("7", schemas.StatePending, noAgent)
	pending.Phase, pending.Percent = "Scan", new(40)
	for want, e := range map[string]schemas.Event{
		"completed with errors at TIME, 1 file, 1.0 MiB, 2 failed files, 1 failed folder: 587207178 (35:4618): some items failed": sized,
		"completed at TIME, nothing was moved":                                                empty,
		"killed, seen at TIME, by admin: 19:1081":                                             killed,
		`ended at TIME, the vendor says "Hibernated"`:                                         ended,
		"pending since TIME, 40 % done, phase Scan: 13:30: The MediaAgent cannot be reached.": pending,
		`no longer followed since TIME, last seen as "Suspended": no end for 7 days`:          unfollowed("7"),
		"no end yet": startedJobs("7"),
	} {
		j := Jobs(nil).After(e)[0]
		if got := times.ReplaceAllString(j.Text(), "TIME"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if _, ofJob := e.(schemas.JobEvent); ofJob && times.ReplaceAllString(Line(e), "TIME") != "job 7: "+want {
			t.Errorf("in a line: %s", Line(e))
		}
	}
}

func (t *rig) appendJob(key publisher.Key, e schemas.JobEvent) {
	t.Helper()
	last := uint64(0)
	if stream, err := t.js.Stream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	} else if msg, err := stream.GetLastMsgForSubject(t.Context(), key.JobFilter(e.Job())); err == nil {
		last = msg.Sequence
	}
	if _, err := t.pub.AppendJob(t.Context(), key, last, e, ""); err != nil {
		t.Fatal(err)
	}
}

// A history has what the jobs came to, and the request's status stays started.
func TestRead_jobs(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	key, other := publisher.NewKey("billing", "r-1"), publisher.NewKey("billing", "r-2")
	m := w.queue("billing", "r-1")
	two := started(m, false)
	two.JobIDs = []string{"7", "8"}
	w.append(key, w.append(key, 0, claim(m, "a/1", 1, lease, 0)), two)
	w.append(other, 0, started(schemas.Message{RequestedAt: jobAt}, false))
	for _, e := range []schemas.JobEvent{changed("7", schemas.StatePending, noAgent), finished("8", schemas.OutcomeCompleted), finished("7", schemas.OutcomeFailed, noAgent)} {
		w.appendJob(key, e)
	}
	w.appendJob(other, finished("7", schemas.OutcomeKilled))
	w.done(m)
	h, err := Found{Key: key}.Read(t.Context(), w.js)
	if err != nil {
		t.Fatal(err)
	}
	var whats []What
	for _, step := range h.Steps {
		whats = append(whats, step.What)
	}
	if want := []What{StepClaimed, StepStarted, StepChanged, StepFinished, StepFinished}; !slices.Equal(whats, want) || h.Status != Started {
		t.Errorf("got %v, %s, want %v and started", whats, h.Status, want)
	}
	if h.Backup == nil || *h.Backup != (Backup{JobFinished, schemas.OutcomeFailed}) || len(h.Jobs) != 2 || h.Jobs[0].Outcome != schemas.OutcomeFailed {
		t.Errorf("got %+v of %+v", h.Backup, h.Jobs)
	}
	const want = "finished: 2 jobs: 7 failed at TIME: 13:30: The MediaAgent cannot be reached.; 8 completed at TIME"
	if got := times.ReplaceAllString(h.Summary(Replicas{}), "TIME"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if readers := consumersOf(t, w.js); len(readers) > 0 {
		t.Errorf("readers are left: %v", readers)
	}
}

// What the stream has lost of the request itself does not hide what its job came to.
func TestRead_onlyTheEndIsLeft(t *testing.T) {
	t.Parallel()
	w := newRig(t)
	key := publisher.NewKey("billing", "r-1")
	w.appendJob(key, finished("7", schemas.OutcomeCompleted))
	found, err := Find(t.Context(), w.js, "", "r-1")
	if err != nil || len(found) != 1 || found[0].Key != key {
		t.Fatalf("found %v, %v", found, err)
	}
	h, err := found[0].Read(t.Context(), w.js)
	if err != nil || h.Status != Started || h.Backup == nil || !h.Backup.KeptAll() {
		t.Errorf("got %+v, %v", h, err)
	}
}

func consumersOf(t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	stream, err := js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if name != "follower" {
			names = append(names, name)
		}
	}
	return names
}
