package consumer_test

import (
	"bytes"
	"slices"

	"backhaul/publisher"
	"backhaul/schemas"
)

// started returns the job-started event that must be the request's only outcome. It checks the
// guarantee for the key: one terminal event, at the end, and the one job that it names.
func (b *rig) started(key publisher.Key) *schemas.JobStarted {
	b.t.Helper()
	e, ok := b.outcome(key).(*schemas.JobStarted)
	if !ok {
		b.t.Fatalf("%s: the outcome is %+v, want job-started", key, b.outcome(key))
	}
	return e
}

// adopted checks that the request's only outcome is a job that a lookup found.
func (b *rig) adopted(key publisher.Key) {
	b.t.Helper()
	if e := b.started(key); !e.Adopted {
		b.t.Errorf("job-started is %+v, want a job that was found", e)
	}
}

// checkCalls checks how often the vendor was asked to start a job.
func (b *rig) checkCalls(want int) {
	b.t.Helper()
	if got := b.sim.Account().CreateTaskCalls; got != want {
		b.t.Errorf("%d calls of CreateTask, want %d", got, want)
	}
}

// failed returns the job-failed event that must be the request's only outcome.
func (b *rig) failed(key publisher.Key) *schemas.JobFailed {
	b.t.Helper()
	e, ok := b.outcome(key).(*schemas.JobFailed)
	if !ok {
		b.t.Fatalf("%s: the outcome is %+v, want job-failed", key, b.outcome(key))
	}
	return e
}

func (b *rig) outcome(key publisher.Key) schemas.Event {
	b.t.Helper()
	history := b.history(key)
	if len(history) == 0 {
		b.t.Fatalf("%s has no events", key)
	}
	b.checkHistory(key, history, b.sim.Account().JobsByMarker[key.Marker()])
	return history[len(history)-1].data
}

// checkHistory checks the guarantee for one request's events and jobs.
func (b *rig) checkHistory(key publisher.Key, history []event, jobs []string) {
	b.t.Helper()
	var terminal []event
	for _, e := range history {
		if e.kind.Terminal() {
			terminal = append(terminal, e)
		}
	}
	if len(terminal) != 1 || terminal[0].Sequence != history[len(history)-1].Sequence {
		b.t.Fatalf("%s: the history is %s, want one outcome at its end", key, kinds(history))
	}
	if len(jobs) > 1 {
		b.t.Fatalf("%s has the jobs %v, want one at most", key, jobs)
	}
	switch e := terminal[0].data.(type) {
	case *schemas.JobStarted:
		if !slices.Equal(jobs, e.JobIDs) || e.JobID != e.JobIDs[0] {
			b.t.Fatalf("%s: the event names the jobs %s %v, the vendor has %v", key, e.JobID, e.JobIDs, jobs)
		}
	case *schemas.JobFailed:
		if len(jobs) > 0 && e.ErrorCode != schemas.CodeOutcomeUnknown {
			b.t.Fatalf("%s: the event says %s, the vendor has the jobs %v", key, e.ErrorCode, jobs)
		}
	}
}

// checkPromise checks the guarantee for all requests that left a trace, here or at the vendor,
// and that so many of them have started.
func (b *rig) checkPromise(started int) {
	b.t.Helper()
	histories := make(map[publisher.Key][]event)
	var written bytes.Buffer
	for _, e := range b.events("backup.event.*.*.*") {
		histories[e.key] = append(histories[e.key], e)
		written.Write(e.Data)
	}
	b.noSecrets(written.Bytes())
	account, got := b.sim.Account(), 0
	for key, history := range histories {
		if history[0].kind == schemas.KindRequestRejected {
			continue
		}
		b.checkHistory(key, history, account.JobsByMarker[key.Marker()])
		if history[len(history)-1].kind == schemas.KindJobStarted {
			got++
		}
	}
	if got != started || account.JobsStarted != started {
		b.t.Fatalf("%d job-started events and %d jobs, want %d of both", got, account.JobsStarted, started)
	}
}
