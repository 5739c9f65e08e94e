package history

import (
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"backhaul/schemas"
)

// Fold is a step with what repeats it: renewals of its claim, which say nothing but that the owner was
// alive, or further tries that ended with the same error.
type Fold struct {
	Step
	// Renewals follow the step without another event of its request between them.
	Renewals int
	// Tries is how many further claims were released with the error of the step, a release.
	Tries int
	// Last is the time of the last of the Renewals or Tries.
	Last time.Time

	latest Step // of the Tries
}

// End returns the time of the last of the steps.
func (f Fold) End() time.Time {
	if f.Renewals > 0 || f.Tries > 0 {
		return f.Last
	}
	return f.At
}

// Text returns the steps in words.
func (f Fold) Text() string {
	text := f.Step.Text()
	if f.Renewals > 0 {
		text = joined(text, fmt.Sprintf("renewed %s until %s", often(f.Renewals), stamp(f.Last)))
	}
	if f.Tries > 0 {
		last := f.latest.Event.(*schemas.JobSubmitting)
		text = joined(text, fmt.Sprintf("the same error %s more until %s, the last by %s, epoch %d", often(f.Tries), stamp(f.Last), last.Owner, last.Epoch))
	}
	return text
}

func often(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// Folded returns the steps with the renewals of one claim in one, and with tries that ended with the
// same error in one. A renewal with another doubt, or after another error, is a step of its own:
// something happened.
func Folded(steps []Step) []Fold {
	var folds []Fold
	for _, step := range steps {
		switch n := len(folds) - 1; {
		case n >= 0 && step.What == StepRenewed && step.continues(folds[n]):
			folds[n].Renewals++
			folds[n].Last = step.At
		case step.repeats(folds):
			folds = folds[:lastClaim(folds)]
			f := &folds[len(folds)-1]
			f.Tries++
			f.Last, f.latest = step.At, step
		default:
			folds = append(folds, Fold{Step: step})
		}
	}
	return folds
}

// lastClaim returns the index of the claim that the last fold is, or renews; 0 if there is nothing
// before it.
func lastClaim(folds []Fold) int {
	i := len(folds) - 1
	if i > 0 && folds[i].What == StepRenewed {
		i--
	}
	return max(i, 0)
}

// repeats reports whether the step is the release of the last claim, and the two only repeat the
// release before them: without doubt, and with the same error.
func (s Step) repeats(folds []Fold) bool {
	i := lastClaim(folds)
	if i == 0 || s.What != StepReleased || folds[i].What != StepClaimed || folds[i-1].What != StepReleased {
		return false
	}
	text := s.Event.(*schemas.JobSubmitting).LastError
	for j, f := range append(slices.Clone(folds[i-1:]), Fold{Step: s}) {
		e := f.Event.(*schemas.JobSubmitting)
		claimed := j == 1 && e.LastError == ""
		if f.key != s.key || e.DoubtSequence > 0 || !claimed && (e.LastError == "" || !sameError(e.LastError, text)) {
			return false
		}
	}
	return true
}

// numbers matches what differs between two errors of one cause, times, durations and counts, and what
// says the cause: the status of HTTP, codes, and the ids of jobs and tasks.
var numbers = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:HTTP|code|job|task) [0-9:]+|[0-9]+(?:[-:.T][0-9]+)*(?:Z|[mµn]?s|[hm](?:[0-9.]+m?s?)*)?`)
})

// sameError reports whether two errors differ at most in numbers that do not say the cause.
func sameError(a, b string) bool { return a == b || withoutNumbers(a) == withoutNumbers(b) }

func withoutNumbers(text string) string {
	return numbers().ReplaceAllStringFunc(text, func(found string) string {
		if found[0] >= '0' && found[0] <= '9' {
			return "#"
		}
		return found
	})
}

// continues reports whether the step is a renewal that changes nothing about the claim of f.
func (s Step) continues(f Fold) bool {
	now, ok := s.Event.(*schemas.JobSubmitting)
	before, both := f.Event.(*schemas.JobSubmitting)
	return ok && both && s.key == f.key && now.Epoch == before.Epoch && before.LeaseMillis > 0 &&
		now.DoubtSequence == before.DoubtSequence &&
		(now.LastError == "" || before.LastError != "" && sameError(now.LastError, before.LastError))
}
