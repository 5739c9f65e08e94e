package chaos

import (
	"slices"
	"time"

	"backhaul/schemas"
)

// followFigures are followed jobs in numbers.
type followFigures struct {
	Jobs       int                     `json:"jobs"`
	Open       int                     `json:"open"` // neither ended nor given up
	Outcomes   map[schemas.Outcome]int `json:"outcomes"`
	Unfollowed int                     `json:"unfollowed"`
	Changes    map[schemas.State]int   `json:"changes"`
	// Reasons is the share of ends that are not completed, and for which the vendor has a reason,
	// that have one. Killers is the same for who killed a job.
	Reasons float64 `json:"reasons"`
	Killers float64 `json:"killers"`
	// Lag is from an end at the vendor to its event, in milliseconds.
	Lag latencyMillis `json:"lag"`
	// Reads are the vendor's calls by GET, by endpoint.
	Calls map[string]int `json:"calls"`
}

func newFollowFigures(e followEvidence) followFigures {
	f := followFigures{Outcomes: make(map[schemas.Outcome]int), Changes: make(map[schemas.State]int), Calls: e.Account.Calls}
	var lags []time.Duration
	bad, reasons, killed, killers := 0, 0, 0, 0
	for _, j := range e.followed() {
		f.Jobs++
		if j.end() == nil {
			f.Open++
		}
		for _, event := range j.events {
			switch about := event.Event.(type) {
			case *schemas.JobFinished:
				f.Outcomes[about.Outcome]++
				after, _ := j.life.ends()
				lags = append(lags, event.Stored.Sub(j.latest.Add(after+j.life.End.Later.HiddenFor)))
				if about.Outcome != schemas.OutcomeCompleted && j.life.hasReason() {
					bad, reasons = bad+1, reasons+min(len(about.Reasons), 1)
				}
				if j.life.by != "" {
					killed, killers = killed+1, killers+min(len(about.By), 1)
				}
			case *schemas.JobUnfollowed:
				f.Unfollowed++
			case *schemas.JobChanged:
				f.Changes[about.State]++
			}
		}
	}
	f.Reasons, f.Killers = share(reasons, bad), share(killers, killed)
	slices.Sort(lags)
	at := func(part float64) float64 {
		return float64(lags[min(int(part*float64(len(lags))), len(lags)-1)].Milliseconds())
	}
	if len(lags) > 0 {
		f.Lag = latencyMillis{Count: len(lags), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
	}
	return f
}

func share(part, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}
