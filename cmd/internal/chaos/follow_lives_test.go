package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// vendorLife is what a job goes through at the vendor: the truth that events about the job are
// compared with. A job's content group decides which life it has.
type vendorLife struct {
	name string
	// text is the life, as simulator.ParseLife reads it. A %s is the life's mark.
	text    string
	outcome schemas.Outcome // "" if the job does not end
	by      string          // who killed it
	// late is for an end that lists do not show for long, or at all: the job is read by itself,
	// when it is two minutes old.
	late bool
	simulator.Life
}

// mark is in every reason that the vendor gives for a job with this life, and in no other.
func (l *vendorLife) mark() string { return "life=" + l.name }

// vendorLives has each status of the vendor, and each way in which an end can be overlooked or
// invented.
var vendorLives = parseVendorLives([]vendorLife{
	{name: "completes", text: "running:2s,completed", outcome: schemas.OutcomeCompleted},
	{name: "moves-nothing", text: "running:1s,empty", outcome: schemas.OutcomeCompleted},
	{name: "other-level", text: "as(Full),running:1s,completed", outcome: schemas.OutcomeCompleted},
	{name: "warnings", text: "running:1s,completed-with-warnings(19:1915 some warnings %s)", outcome: schemas.OutcomeCompletedWithWarnings},
	{name: "errors", text: "pending:1s(19:857 some items %s),running:1s,completed-with-errors", outcome: schemas.OutcomeCompletedWithErrors},
	{name: "committed", text: "running:1s,committed(19:1100 stopped early %s)", outcome: schemas.OutcomeCommitted},
	{name: "fails", text: "running:1s,failed(13:30 no contact %s)", outcome: schemas.OutcomeFailed},
	{name: "pending-fails", text: "running:500ms,pending:3s(13:30 no contact %s),running:500ms,failed(13:31 no credentials %s)", outcome: schemas.OutcomeFailed},
	{name: "no-licence", text: "failed-to-start(14 no licence %s)", outcome: schemas.OutcomeFailedToStart},
	{name: "no-policy", text: "failed-to-start(8 no policy %s)", outcome: schemas.OutcomeFailedToStart},
	{name: "killed", text: "running:1s,kill-pending:500ms,killed(ann not needed %s)", outcome: schemas.OutcomeKilled, by: "ann"},
	{name: "no-run", text: "no-run(19:1200 activity is disabled %s)", outcome: schemas.OutcomeNoRun},
	{name: "odd-end", text: "running:1s,ended(Finished elsewhere)", outcome: schemas.OutcomeEnded},
	{name: "odd-step", text: "running:500ms,other:2s(Failed over and completed a phase),running:500ms,completed", outcome: schemas.OutcomeCompleted},
	{name: "waits", text: "waiting:3s(no stream %s),running:1s,completed", outcome: schemas.OutcomeCompleted},
	{name: "queued", text: "queued:3s(other job %s),running:1s,completed", outcome: schemas.OutcomeCompleted},
	{name: "suspended", text: "running:500ms,suspend-pending:300ms,suspended:3s(bob lunch %s),running:1s,completed", outcome: schemas.OutcomeCompleted},
	{name: "interrupted", text: "running:500ms,interrupt-pending:300ms,interrupted:2s(other job %s),waiting:1s(no stream %s),running:500ms,completed",
		outcome: schemas.OutcomeCompleted},
	{name: "flaps", text: "running:300ms," + strings.Repeat("pending:300ms(13:30 no contact %s),unverified:300ms,", 6) + "completed",
		outcome: schemas.OutcomeCompleted},
	{name: "seen-late", text: "hidden:4s,running:500ms,completed", outcome: schemas.OutcomeCompleted},
	{name: "end-seen-late", text: "running:1s,failed(13:30 no contact %s),hidden:5s", outcome: schemas.OutcomeFailed},
	{name: "end-aged", text: "running:1s,failed(13:30 no contact %s),aged:30s", outcome: schemas.OutcomeFailed},
	{name: "again", text: "running:1s,failed(13:30 no contact %s),resubmitted", outcome: schemas.OutcomeFailed},
	{name: "pruned", text: "running:1s,completed,pruned:2s", outcome: schemas.OutcomeCompleted},
	{name: "endless", text: "running:500ms,suspended:forever(bob holidays %s)"},
	{name: "end-hidden-for-a-minute", text: "running:1s,failed(13:30 no contact %s),hidden:1m", outcome: schemas.OutcomeFailed, late: true},
	{name: "aged-at-once", text: "running:1s,killed(ann not needed %s),aged:1ms", outcome: schemas.OutcomeKilled, by: "ann", late: true},
	{name: "pruned-at-once", text: "running:1s,failed(13:30 no contact %s),pruned:1ms", outcome: schemas.OutcomeFailed, late: true},
})

func parseVendorLives(all []vendorLife) (lives []*vendorLife) {
	for _, l := range all {
		l.Life = simulator.MustParseLife(strings.ReplaceAll(l.text, "%s", l.mark()))
		lives = append(lives, &l)
	}
	return lives
}

// livesOf gives each content group of a plan a life, in turn. Late ones have one group each, and
// none in a short run.
func livesOf(late bool) map[string]*vendorLife {
	groups := make(map[string]*vendorLife)
	add := func(l *vendorLife) { groups[fmt.Sprintf("load-%d", len(groups))] = l }
	for _, l := range vendorLives {
		if l.late && late {
			add(l)
		}
	}
	for i := 0; len(groups) < chaosGroups; i++ {
		if l := vendorLives[i%len(vendorLives)]; !l.late {
			add(l)
		}
	}
	return groups
}

// rulesOf are the simulator's rules for them.
func rulesOf(groups map[string]*vendorLife) (rules []simulator.LifeRule) {
	for group, l := range groups {
		rules = append(rules, simulator.LifeRule{Subclient: group, Life: l.Life, Probability: 1})
	}
	return rules
}

// ends reports whether the job ends, and after what time.
func (l *vendorLife) ends() (after time.Duration, ok bool) {
	for _, step := range l.Steps {
		after += step.For
	}
	return after, l.outcome != ""
}

// gone reports whether the vendor stops showing the end, so that it may be missed.
func (l *vendorLife) gone() bool { return l.End.Later.PrunedAfter > 0 }

// vanishes reports whether the vendor does not show the job all the time, or has another one like it.
func (l *vendorLife) vanishes() bool {
	hidden := slices.ContainsFunc(l.Steps, func(s simulator.Step) bool { return s.Hidden })
	return hidden || l.End.Later != simulator.Later{}
}

// statesOfStatus are the states that a job-changed tells.
var statesOfStatus = map[string]schemas.State{
	"Queued": schemas.StateQueued, "Waiting": schemas.StateWaiting, "Pending": schemas.StatePending, "Suspended": schemas.StateSuspended,
	"Interrupted": schemas.StateInterrupted, "Running": schemas.StateRunning, "Running (cannot be verified)": schemas.StateRunning,
}

// enters returns when the job is first in a state, behind the step with the index after, and
// the index of that step; false if it never is.
func (l *vendorLife) enters(state schemas.State, after int) (at time.Duration, step int, ok bool) {
	for i, s := range l.Steps {
		if i > after && statesOfStatus[s.Status] == state && !s.Hidden {
			return at, i, true
		}
		at += s.For
	}
	return 0, 0, false
}
