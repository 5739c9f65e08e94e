package protection

import (
	"slices"
	"time"

	"backhaul/schemas"
)

// Objective is what is promised for a content group.
type Objective struct {
	// Name names the objective.
	Name string `json:"name,omitempty"`
	// Owner is who is responsible for the group, as the objectives say it.
	Owner string `json:"owner,omitempty"`
	// RPO is how long a change may be exposed. 0 promises nothing.
	RPO time.Duration `json:"-"`
	// MaxAge is how old the start of the last good backup may become. 0 promises nothing.
	MaxAge time.Duration `json:"-"`
	// Accept has the outcomes that count as a backup. Empty stands for those that kept
	// everything.
	Accept Outcomes `json:"-"`
}

// Outcomes is a set of outcomes of jobs.
type Outcomes uint16

// NewOutcomes returns the set of the given outcomes.
func NewOutcomes(outcomes ...schemas.Outcome) (set Outcomes) {
	for _, o := range outcomes {
		set |= bit(o)
	}
	return set
}

// bit returns the set of one outcome. An outcome of a later version is in no set that accepts.
func bit(o schemas.Outcome) Outcomes {
	i := slices.Index(schemas.Outcomes, o)
	if i < 0 {
		i = len(schemas.Outcomes)
	}
	return 1 << i
}

// keptAll has the outcomes that are accepted by default.
var keptAll = func() (set Outcomes) {
	for _, o := range schemas.Outcomes {
		if o.KeptAll() {
			set |= bit(o)
		}
	}
	return set
}()

// accept returns the outcomes that the objective accepts.
func (o *Objective) accept() Outcomes {
	if o.Accept == 0 {
		return keptAll
	}
	return o.Accept
}

// Accepted returns the outcomes that the objective accepts.
func (o *Objective) Accepted() (all []schemas.Outcome) {
	for _, outcome := range schemas.Outcomes {
		if o.accept()&bit(outcome) != 0 {
			all = append(all, outcome)
		}
	}
	return all
}

// worst returns the outcome of a set that keeps the least.
func (s Outcomes) worst() schemas.Outcome {
	for i := len(schemas.Outcomes) - 1; i >= 0; i-- {
		if s&(1<<i) != 0 {
			return schemas.Outcomes[i]
		}
	}
	return schemas.OutcomeEnded
}

// Promise is one of the promises of an [Objective].
type Promise string

// The promises that can be broken.
const (
	PromiseRPO    Promise = "rpo"
	PromiseMaxAge Promise = "maxAge"
)

// Promises lists the promises.
var Promises = []Promise{PromiseRPO, PromiseMaxAge}
