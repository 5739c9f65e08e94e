package history

import (
	"fmt"
	"time"

	"backhaul/schemas"
)

// Fold is a step with the renewals of its claim: they are steps, because a lease is renewed by an
// event, and say nothing but that the owner was alive.
type Fold struct {
	Step
	// Renewals follow the step without another event of its request between them. Last is the time
	// of the last one.
	Renewals int
	Last     time.Time
}

// End returns the time of the last of the steps.
func (f Fold) End() time.Time {
	if f.Renewals > 0 {
		return f.Last
	}
	return f.At
}

// Text returns the steps in words.
func (f Fold) Text() string {
	text := f.Step.Text()
	if f.Renewals > 0 {
		text += fmt.Sprintf("; renewed %s until %s", often(f.Renewals), stamp(f.Last))
	}
	return text
}

func often(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// Folded returns the steps with the renewals of one claim in one. A renewal with another doubt, or
// after another error, is a step of its own: something happened.
func Folded(steps []Step) []Fold {
	var folds []Fold
	for _, step := range steps {
		if n := len(folds) - 1; n >= 0 && step.What == StepRenewed && step.continues(folds[n]) {
			folds[n].Renewals++
			folds[n].Last = step.At
			continue
		}
		folds = append(folds, Fold{Step: step})
	}
	return folds
}

// continues reports whether the step is a renewal that changes nothing about the claim of f.
func (s Step) continues(f Fold) bool {
	now, ok := s.Event.(*schemas.JobSubmitting)
	before, both := f.Event.(*schemas.JobSubmitting)
	return ok && both && s.key == f.key && now.Epoch == before.Epoch && before.LeaseMillis > 0 &&
		now.DoubtSequence == before.DoubtSequence && now.LastError == ""
}
