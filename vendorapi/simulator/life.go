package simulator

import (
	"cmp"
	"strings"
	"time"
)

// The status values that the simulator uses. Documented, except for the last two, which
// are in the lists of public clients.
const (
	statusQueued            = "Queued"
	statusWaiting           = "Waiting"
	statusPending           = "Pending"
	statusRunning           = "Running"
	statusSuspending        = "Suspend Pending"
	statusSuspended         = "Suspended"
	statusKilling           = "Kill Pending"
	statusInterruptPending  = "Interrupt Pending"
	statusInterrupted       = "Interrupted"
	statusCompleted         = "Completed"
	statusWithWarnings      = "Completed w/ one or more warnings"
	statusWithErrors        = "Completed w/ one or more errors"
	statusCommitted         = "Committed"
	statusFailed            = "Failed"
	statusFailedToStart     = "Failed to Start"
	statusKilled            = "Killed"
	statusNoRun             = "No Run"
	statusRunningUnverified = "Running (cannot be verified)"
)

// A Life is the life cycle of a job from the moment at which nothing delays it: steps, and
// an end. A life without an end stays in its last step. ParseLife reads a life from text.
type Life struct {
	Steps []Step
	// End defines the end. A zero End means that the job stays in its last step, or that it
	// ends as Completed if it has no steps.
	End End
	// Level is the name of the level that the vendor runs instead of what was asked, such as
	// "Full". Defaults to what was asked.
	Level string
	// AsGiven leaves steps and an end without a reason as they are. Defaults to false: a status that
	// usually has a reason gets one.
	AsGiven bool
}

// Forever is the time of a step that only an action ends: resume, kill or SetLife.
const Forever time.Duration = -1

// A Step is one state of an active job.
type Step struct {
	Status string        // the vendor's status, such as "Pending"
	For    time.Duration // Defaults to Config.JobDuration.
	Hidden bool          // job requests behave as if the job did not exist
	Reason string        // pendingReason
	Code   string        // pendingReasonErrorCode, such as "13:30"
	By     string        // the user who suspended the job
}

// An End is how a job ends and what happens to it later.
type End struct {
	Status      string // the vendor's status, such as "Failed"
	Reason      string // pendingReason, or the reason of a kill
	Code        string // pendingReasonErrorCode, such as "13:30"
	By          string // the user who killed the job
	SubmitError int    // jobSubmitErrorCode
	Empty       bool   // the job moved nothing: no files, no bytes
	Later       Later
}

// Later is what happens to a job after its end. The times count from the end.
type Later struct {
	HiddenFor   time.Duration // job requests behave as if the job did not exist
	AgedAfter   time.Duration // lists leave the job out unless they ask for aged jobs; 0 means never
	PrunedAfter time.Duration // the job does not exist any more; 0 means never
	Resubmitted bool          // the same backup runs again under a new job id
}

// defaultReasons are the reasons of steps and ends that have none. Recorded: the code
// 13:30 for a MediaAgent without contact, and 19:168 and 80:19 for the texts of jobs that
// failed to start (Postman collection). Assumed: the other texts.
var defaultReasons = map[string]struct{ text, code string }{
	statusQueued:        {"The operation is not allowed to run in the current operation window.", ""},
	statusWaiting:       {"The job is waiting for resources.", ""},
	statusPending:       {"Unable to contact the MediaAgent. The job will be retried.", "13:30"},
	statusInterrupted:   {"The job was interrupted by a job with a higher priority.", ""},
	statusFailed:        {"Failed to access the object storage. Please check the credentials.", ""},
	statusFailedToStart: {"License [Cloud Apps] is not active at this time.", ""},
	statusNoRun:         {"Backup activity is disabled for the client.", ""},
}

// course is a life with its defaults and sums. It is shared by jobs and never changes.
type course struct {
	steps   []Step
	end     End
	level   *level        // instead of what was asked, or nil
	total   time.Duration // of all steps
	work    time.Duration // of the steps in which the job runs
	endless bool          // it has no end
}

// newCourse applies the defaults.
func newCourse(l Life, byDefault time.Duration) *course {
	c := &course{end: l.End, steps: make([]Step, len(l.Steps))}
	for i, step := range l.Steps {
		step.For = cmp.Or(step.For, byDefault)
		if reason := defaultReasons[step.Status]; step.Reason == "" && step.Code == "" && !l.AsGiven {
			step.Reason, step.Code = reason.text, reason.code
		}
		c.steps[i] = step
	}
	if n := len(c.steps); n > 0 && l.End.Status == "" {
		c.steps[n-1].For = Forever
	}
	c.end.Status = cmp.Or(c.end.Status, statusCompleted)
	if !l.AsGiven {
		c.end = c.end.withReason()
	}
	for i := range levels {
		if strings.EqualFold(levels[i].nameInAnswer, l.Level) {
			c.level = &levels[i]
		}
	}
	c.sum()
	return c
}

// withReason returns the end with its default reason and submit error code. Recorded: 14
// and 8 are the submit error codes of jobs that failed to start (Postman collection).
func (e End) withReason() End {
	if e.Status == statusFailedToStart {
		e.SubmitError = cmp.Or(e.SubmitError, 14)
	}
	if e.Reason == "" && e.Code == "" {
		reason := defaultReasons[e.Status]
		e.Reason, e.Code = reason.text, reason.code
		if e.SubmitError == 8 {
			e.Reason = "The storage policy is invalid."
		}
	}
	return e
}

// sum computes the sums again.
func (c *course) sum() {
	c.total, c.work, c.endless = 0, 0, false
	for _, step := range c.steps {
		if step.For < 0 {
			c.endless = true
			continue
		}
		c.total += step.For
		if step.runs() {
			c.work += step.For
		}
	}
}

func (s Step) runs() bool { return strings.HasPrefix(s.Status, statusRunning) }

// upTo returns the steps before a time since the start, the last of them cut short, and the
// rest.
func (c *course) upTo(elapsed time.Duration) (before, rest []Step) {
	for i, step := range c.steps {
		if step.For >= 0 && step.For <= elapsed {
			before, elapsed = append(before, step), elapsed-step.For
			continue
		}
		rest = append(rest, c.steps[i:]...)
		if elapsed > 0 {
			step.For = elapsed
			before = append(before, step)
			if rest[0].For >= 0 {
				rest[0].For -= elapsed
			}
		}
		break
	}
	return before, rest
}

// with returns a course with other steps and the same planned work, so that the percentage
// of a job does not jump.
func (c *course) with(steps []Step, end End) *course {
	next := &course{steps: steps, end: end, level: c.level}
	next.sum()
	next.work = c.work
	return next
}
