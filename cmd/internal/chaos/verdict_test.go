package chaos

import (
	"slices"
	"testing"
	"time"

	"backhaul/cmd/internal/cancel"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// soundEvidence is of a run in which all went well: a request with its job and
// one that the vendor refused.
func soundEvidence() chaosEvidence {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	published := publishing{first: at, acked: at, acks: 1}
	return chaosEvidence{
		Requests:    []chaosRequest{{id: "a", group: "load-1"}, {id: "b", group: "none", refused: true}},
		Published:   map[string]publishing{"a": published, "b": published},
		DeadLetters: map[string]int{"b": 1},
		Account:     simulator.Account{JobsStarted: 1, JobsByMarker: map[string][]string{"backhaul:chaos/a": {"7"}}},
		Events: []storedEvent{
			{Sequence: 1, Stored: at, Key: "a", Event: &schemas.JobSubmitting{}},
			{Sequence: 2, Stored: at, Key: "b", Event: &schemas.JobSubmitting{}},
			{Sequence: 3, Stored: at, Key: "a", Event: &schemas.JobStarted{JobID: "7", JobIDs: []string{"7"}}},
			{Sequence: 4, Stored: at, Key: "b", Event: &schemas.JobFailed{ErrorCode: noGroupCode}},
		},
	}
}

func failed(code string, candidates ...string) *schemas.JobFailed {
	return &schemas.JobFailed{ErrorCode: code, Candidates: candidates}
}

// cancelA makes request a a cancelled one.
func cancelA(e *chaosEvidence) {
	e.Requests[0].cancelled = true
	e.Cancels = map[string]cancel.Result{"a": cancel.Cancelled}
	e.Events[2].Event = &schemas.JobFailed{ErrorCode: schemas.CodeCancelled, ErrorSource: schemas.ErrorSourceBackhaul}
	e.DeadLetters["a"] = 1
}

// endOf is the end of a job of request a.
func endOf(job string, sequence uint64) storedEvent {
	return storedEvent{Sequence: sequence, Key: "a", Event: &schemas.JobFinished{JobRef: schemas.JobRef{JobID: job}}}
}

// callsAfter returns two calls of a session: one that was throttled, and another
// some time after.
func callsAfter(told, after time.Duration, second string) []startCall {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return []startCall{
		{came: at, answered: at, session: "s", marker: "a", retryAfter: told},
		{came: at.Add(after), answered: at.Add(after), session: "s", marker: second},
	}
}

func TestJudgeFindsEveryBrokenPromise(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*chaosEvidence)
		want  []string
	}{
		"nothing": {func(*chaosEvidence) {}, nil},
		"lost":    {func(e *chaosEvidence) { e.Events = e.Events[:3] }, []string{foundLost}},
		"lost with its job": {func(e *chaosEvidence) { e.Events = slices.Delete(e.Events, 2, 3) },
			[]string{foundLost, foundUnannounced}},
		"never accepted": {func(e *chaosEvidence) {
			e.Events, e.Published["b"] = e.Events[:3], publishing{}
		}, nil},
		"second job": {func(e *chaosEvidence) {
			e.Account.JobsByMarker["backhaul:chaos/a"] = []string{"7", "8"}
			e.Account.JobsStarted = 2
		}, []string{foundSecondJob, foundUnannounced}},
		"second job, announced": {func(e *chaosEvidence) {
			e.Account.JobsByMarker["backhaul:chaos/a"] = []string{"7", "8"}
			e.Account.JobsStarted = 2
			e.Events[2].Event = &schemas.JobStarted{JobID: "7", JobIDs: []string{"7", "8"}}
		}, []string{foundSecondJob}},
		"wrong id": {func(e *chaosEvidence) {
			e.Events[2].Event = &schemas.JobStarted{JobID: "9", JobIDs: []string{"9"}}
		}, []string{foundWrongJob, foundUnannounced}},
		"no such job": {func(e *chaosEvidence) {
			e.Account = simulator.Account{}
		}, []string{foundWrongJob}},
		"duplicate terminal": {func(e *chaosEvidence) {
			e.Events = append(e.Events, storedEvent{Sequence: 5, Key: "a", Event: e.Events[2].Event})
		}, []string{foundDuplicate, foundLate}},
		"started and failed": {func(e *chaosEvidence) {
			e.Events = append(e.Events, storedEvent{Sequence: 5, Key: "a", Event: failed("2")})
		}, []string{foundDuplicate, foundLate, foundNoLetter, foundContradiction, foundFailure}},
		"claimed after the end": {func(e *chaosEvidence) {
			e.Events = append(e.Events, storedEvent{Sequence: 5, Key: "b", Event: &schemas.JobSubmitting{}})
		}, []string{foundLate}},
		"failed with a job": {func(e *chaosEvidence) {
			e.Events[2].Event = failed(noGroupCode)
			e.DeadLetters["a"] = 1
		}, []string{foundContradiction, foundFailure}},
		"failed needlessly": {func(e *chaosEvidence) {
			e.Events[2].Event = failed(schemas.CodeAuthFailed)
			e.DeadLetters["a"], e.Account = 1, simulator.Account{}
		}, []string{foundFailure}},
		"no dead letter": {func(e *chaosEvidence) { e.DeadLetters = nil }, []string{foundNoLetter}},
		"unknown": {func(e *chaosEvidence) {
			e.Events[2].Event = failed(schemas.CodeOutcomeUnknown, "7")
			e.DeadLetters["a"] = 1
		}, []string{foundUnknown}},
		"unknown, descriptions hidden": {func(e *chaosEvidence) {
			e.HideDescriptions = true
			e.Events[2].Event = failed(schemas.CodeOutcomeUnknown, "6", "7")
			e.DeadLetters["a"] = 1
		}, nil},
		"unknown, job not named": {func(e *chaosEvidence) {
			e.HideDescriptions = true
			e.Events[2].Event = failed(schemas.CodeOutcomeUnknown, "6")
			e.DeadLetters["a"] = 1
		}, []string{foundUnannounced}},
		"ended once": {func(e *chaosEvidence) { e.Events = append(e.Events, endOf("7", 5)) }, nil},
		"ended twice": {func(e *chaosEvidence) { e.Events = append(e.Events, endOf("7", 5), endOf("7", 6)) },
			[]string{foundSecondEnd}},
		"end of another job": {func(e *chaosEvidence) { e.Events = append(e.Events, endOf("8", 5)) },
			[]string{foundStrangeEnd}},
		"refused and started": {func(e *chaosEvidence) {
			e.Events[3].Event = &schemas.JobStarted{JobID: "8", JobIDs: []string{"8"}}
			e.Account.JobsByMarker["backhaul:chaos/b"] = []string{"8"}
			e.Account.JobsStarted = 2
		}, []string{foundAccepted}},
		"strange event": {func(e *chaosEvidence) {
			e.Events = append(e.Events, storedEvent{Sequence: 5, Key: "seq-9", Event: &schemas.RequestRejected{}})
		}, []string{foundStranger}},
		"strange jobs": {func(e *chaosEvidence) {
			e.Account.JobsByMarker["backhaul:billing/a"] = []string{"8"}
			e.Account.JobsStarted = 3
		}, []string{foundStranger, foundStranger}},
		"impatience": {func(e *chaosEvidence) { e.Starts = callsAfter(time.Second, 600*time.Millisecond, "b") }, []string{foundImpatience}},
		"impatient repetition": {func(e *chaosEvidence) { e.Starts = callsAfter(time.Second, time.Millisecond, "a") },
			[]string{foundImpatience}},
		"under way":   {func(e *chaosEvidence) { e.Starts = callsAfter(time.Second, 400*time.Millisecond, "b") }, nil},
		"patience":    {func(e *chaosEvidence) { e.Starts = callsAfter(time.Second, time.Second, "a") }, nil},
		"nobody told": {func(e *chaosEvidence) { e.Starts = callsAfter(0, time.Millisecond, "a") }, nil},
		"cancelled": {func(e *chaosEvidence) {
			cancelA(e)
			e.Account = simulator.Account{}
		}, nil},
		"cancelled, with a job": {cancelA, []string{foundContradiction}},
		"cancelled, not told": {func(e *chaosEvidence) {
			cancelA(e)
			e.Requests[0].cancelled, e.Account = false, simulator.Account{}
		}, []string{foundFailure}},
		"told to be cancelled": {func(e *chaosEvidence) { e.Cancels = map[string]cancel.Result{"a": cancel.Before} }, []string{foundNotCancelled}},
		"told to be refused":   {func(e *chaosEvidence) { e.Cancels = map[string]cancel.Result{"a": cancel.Refused} }, nil},
		"told to two": {func(e *chaosEvidence) {
			cancelA(e)
			e.Account, e.CancelledTwice = simulator.Account{}, []string{"a"}
		}, []string{foundCancelledTwice}},
		"stuck": {func(e *chaosEvidence) { e.Stuck = []string{"a"} }, []string{foundStuck}},
		"crash": {func(e *chaosEvidence) { e.Problems = []string{"panic"} }, []string{foundProblem}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := soundEvidence()
			c.spoil(&e)
			var got []string
			for _, f := range judgeChaos(e) {
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
