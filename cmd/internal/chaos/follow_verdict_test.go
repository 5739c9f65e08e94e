package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// followedAt is when the jobs of soundFollowing were started.
var followedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// soundFollowing is of a run in which all went well: job 1 completed, job 2 failed after it was
// pending, job 3 was pruned, job 4 is endless, and job 5 was given up.
func soundFollowing() followEvidence {
	e := followEvidence{For: 10 * time.Minute, Unacknowledged: 2, Lives: make(map[string]*vendorLife), chaosEvidence: chaosEvidence{
		Published: make(map[string]publishing), Account: simulator.Account{JobsByMarker: make(map[string][]string)},
	}}
	for i, name := range []string{"completes", "pending-fails", "pruned", "endless", "endless"} {
		id, job, marker := fmt.Sprint("r", i+1), fmt.Sprint(i+1), fmt.Sprint("backhaul:chaos/r", i+1)
		at := slices.IndexFunc(vendorLives, func(l *vendorLife) bool { return l.name == name })
		e.Lives["g"+job] = vendorLives[at]
		e.Requests = append(e.Requests, chaosRequest{id: id, group: "g" + job})
		e.Published[id] = publishing{acks: 1}
		e.Account.JobsByMarker[marker] = []string{job}
		e.Account.JobsStarted++
		e.Starts = append(e.Starts, startCall{marker: marker, came: followedAt, answered: followedAt.Add(100 * time.Millisecond)})
		e.add(job, 50*time.Millisecond, &schemas.JobStarted{JobID: job, JobIDs: []string{job}})
	}
	e.add("1", 4*time.Second, endedAs(schemas.OutcomeCompleted, "Completed", 2*time.Second))
	e.add("2", 2*time.Second, changed(schemas.StatePending, 2*time.Second, "no contact life=pending-fails"))
	e.add("2", 4*time.Second, changed(schemas.StateRunning, 4*time.Second))
	e.add("2", 6*time.Second, endedAs(schemas.OutcomeFailed, "Failed", 4*time.Second, "no credentials life=pending-fails"))
	e.add("5", 11*time.Minute, &schemas.JobUnfollowed{})
	return e
}

// add stores an event about a job some time after its start.
func (e *followEvidence) add(job string, after time.Duration, event schemas.Event) {
	switch about := event.(type) {
	case *schemas.JobFinished:
		about.JobID = job
	case *schemas.JobChanged:
		about.JobID = job
	case *schemas.JobUnfollowed:
		about.JobID = job
	}
	e.Events = append(e.Events, storedEvent{Sequence: uint64(len(e.Events) + 1), Stored: followedAt.Add(after), Source: chaosSource, Key: "r" + job, Event: event})
}

func endedAs(outcome schemas.Outcome, status string, after time.Duration, reasons ...string) *schemas.JobFinished {
	return &schemas.JobFinished{
		Outcome: outcome, VendorStatus: status, JobTimes: schemas.JobTimes{EndedAt: followedAt.Add(after)}, Reasons: texts(reasons),
	}
}

func changed(state schemas.State, after time.Duration, reasons ...string) *schemas.JobChanged {
	return &schemas.JobChanged{State: state, ChangedAt: followedAt.Add(after), Reasons: texts(reasons)}
}

func texts(all []string) (reasons []schemas.Reason) {
	for _, text := range all {
		reasons = append(reasons, schemas.Reason{Text: text})
	}
	return reasons
}

// The events of soundFollowing, by index.
const (
	endOf1 = 5 + iota
	pendingOf2
	runningOf2
	endOf2
)

func TestJudgeFindsEveryFalseEnd(t *testing.T) {
	t.Parallel()
	remove := func(at ...int) func(*followEvidence) {
		return func(e *followEvidence) {
			for i, n := range at {
				e.Events = slices.Delete(e.Events, n-i, n-i+1)
			}
		}
	}
	end := func(at int, spoil func(*schemas.JobFinished)) func(*followEvidence) {
		return func(e *followEvidence) { spoil(e.Events[at].Event.(*schemas.JobFinished)) }
	}
	add := func(job string, after time.Duration, event schemas.Event) func(*followEvidence) {
		return func(e *followEvidence) { e.add(job, after, event) }
	}
	yes := true
	for name, c := range map[string]struct {
		spoil func(*followEvidence)
		want  []string
	}{
		"nothing":                            {func(*followEvidence) {}, nil},
		"no end":                             {func(e *followEvidence) { remove(endOf1)(e); e.Unacknowledged = 3 }, []string{foundNoEnd}},
		"forgotten":                          {remove(endOf1), []string{foundNoEnd, foundForgotten}},
		"forgotten, of those without an end": {func(e *followEvidence) { e.Unacknowledged = 1 }, []string{foundForgotten}},
		"two ends":                           {add("1", 5*time.Second, endedAs(schemas.OutcomeCompleted, "Completed", 2*time.Second)), []string{foundSecondEnd}},
		"an end of a new id": {func(e *followEvidence) {
			e.add("2", 9*time.Second, endedAs(schemas.OutcomeCompleted, "Completed", 8*time.Second))
			e.Events[len(e.Events)-1].Event.(*schemas.JobFinished).JobID = "9"
		}, []string{foundStrangeEnd}},
		"ended and given up":            {add("1", 11*time.Minute, &schemas.JobUnfollowed{}), []string{foundGivenUp, foundTwoFates}},
		"given up in spite of an end":   {func(e *followEvidence) { remove(endOf1)(e); e.add("1", 11*time.Minute, &schemas.JobUnfollowed{}) }, []string{foundGivenUp}},
		"given up too early":            {add("4", 9*time.Minute, &schemas.JobUnfollowed{}), []string{foundGivenUp}},
		"a pruned job is given up":      {add("3", 11*time.Minute, &schemas.JobUnfollowed{}), nil},
		"a pruned job was seen in time": {add("3", 4*time.Second, endedAs(schemas.OutcomeCompleted, "Completed", time.Second)), nil},
		"a pruned job is called failed": {add("3", 4*time.Second, endedAs(schemas.OutcomeFailed, "Failed", time.Second, "gone")), []string{foundFalseEnd}},
		"an endless job is said to end": {add("4", 4*time.Second, endedAs(schemas.OutcomeKilled, "Killed", time.Second, "gone")), []string{foundFalseEnd}},
		"another outcome":               {end(endOf1, func(e *schemas.JobFinished) { e.Outcome = schemas.OutcomeCompletedWithWarnings }), []string{foundFalseEnd, foundNoReason}},
		"another status":                {end(endOf1, func(e *schemas.JobFinished) { e.VendorStatus = "completed" }), []string{foundFalseEnd}},
		"not empty":                     {end(endOf1, func(e *schemas.JobFinished) { e.Empty = &yes }), []string{foundFalseEnd}},
		"killed by somebody":            {end(endOf2, func(e *schemas.JobFinished) { e.By = "ann" }), []string{foundFalseEnd}},
		"ended too early":               {end(endOf2, func(e *schemas.JobFinished) { e.EndedAt = followedAt.Add(2 * time.Second) }), []string{foundFalseEnd}},
		"ended too late":                {end(endOf2, func(e *schemas.JobFinished) { e.EndedAt = followedAt.Add(6 * time.Second) }), []string{foundFalseEnd}},
		"stored before the end":         {func(e *followEvidence) { e.Events[endOf1].Stored = followedAt.Add(time.Second) }, []string{foundFalseEnd}},
		"no reason":                     {end(endOf2, func(e *schemas.JobFinished) { e.Reasons = nil }), []string{foundNoReason}},
		"another job's reason":          {end(endOf2, func(e *schemas.JobFinished) { e.Reasons[0].Text = "no contact life=fails" }), []string{foundWrongReason}},
		"another job's reason to wait": {func(e *followEvidence) {
			e.Events[pendingOf2].Event.(*schemas.JobChanged).Reasons[0].Text = "life=waits"
		}, []string{foundWrongReason}},
		"a change after the end":         {add("1", 5*time.Second, changed(schemas.StateWaiting, time.Second)), []string{foundAfterEnd, foundFalseChange}},
		"a state that it never had":      {add("4", 5*time.Second, changed(schemas.StateQueued, 5*time.Second)), []string{foundFalseChange}},
		"a state that it has":            {add("4", 5*time.Second, changed(schemas.StateSuspended, 5*time.Second)), nil},
		"a state that it has later":      {add("4", 5*time.Second, changed(schemas.StateSuspended, 100*time.Millisecond)), []string{foundFalseChange}},
		"told twice":                     {func(e *followEvidence) { e.Events[runningOf2].Event.(*schemas.JobChanged).State = schemas.StatePending }, []string{foundFalseChange}},
		"running, and it was told never": {remove(pendingOf2), []string{foundFalseChange}},
		"running again too early": {func(e *followEvidence) {
			e.Events[runningOf2].Event.(*schemas.JobChanged).ChangedAt = followedAt.Add(3 * time.Second)
		}, []string{foundFalseChange}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := soundFollowing()
			c.spoil(&e)
			var got []string
			for _, f := range append(judgeChaos(e.chaosEvidence), judgeFollowing(e)...) {
				got = append(got, f.Kind)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// An end that lists do not show is missing only in a run that was long enough.
func TestJudgeOfLateEnds(t *testing.T) {
	t.Parallel()
	e := soundFollowing()
	for i, l := range vendorLives {
		if l.name == "aged-at-once" {
			e.Lives["g4"] = vendorLives[i]
		}
	}
	if findings := judgeFollowing(e); len(findings) > 0 {
		t.Errorf("in a short run: %v", findings)
	}
	e.Late = true
	if findings := judgeFollowing(e); len(findings) != 1 || findings[0].Kind != foundNoEnd {
		t.Errorf("in a long run: %v, want a missing end", findings)
	}
}

// The judge forgives one end in twenty without a reason.
func TestJudgeOfReasons(t *testing.T) {
	t.Parallel()
	for without, want := range map[int]int{1: 0, 2: 1} {
		e := followEvidence{Lives: map[string]*vendorLife{"g": {name: "fails", outcome: schemas.OutcomeFailed}}}
		e.Lives["g"].End.Status = "Failed"
		for i := range 20 {
			id := fmt.Sprint(i)
			e.Requests = append(e.Requests, chaosRequest{id: "r" + id, group: "g"})
			e.add(id, 0, &schemas.JobStarted{JobID: id})
			end := endedAs(schemas.OutcomeFailed, "Failed", 0, "why")
			if i < without {
				end.Reasons = nil
			}
			e.add(id, time.Second, end)
		}
		if findings := judgeFollowing(e); len(findings) != want {
			t.Errorf("%d of 20 without a reason: %v, want %d findings", without, findings, want)
		}
	}
}

// A second job is the vendor's fault only if the life of the first one hides it, and it was looked for.
func TestJudgeForgivesLookingForAHiddenJob(t *testing.T) {
	t.Parallel()
	second := chaosFinding{Kind: foundSecondJob, ID: "r3"} // of a pruned job
	for name, c := range map[string]struct {
		claims int
		id     string
		kept   int
	}{"looked for": {2, "r3", 0}, "not looked for": {1, "r3", 1}, "not hidden": {2, "r1", 1}} {
		e := soundFollowing()
		for range c.claims {
			e.Events = append(e.Events, storedEvent{Key: c.id, Event: &schemas.JobSubmitting{}})
		}
		second.ID = c.id
		if kept := e.withoutLost([]chaosFinding{second}); len(kept) != c.kept {
			t.Errorf("%s: %d findings are kept, want %d", name, len(kept), c.kept)
		}
	}
}
