package chaos

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"backhaul/schemas"
)

// chaosResult is a run in numbers.
type chaosResult struct {
	Settings chaosSettings  `json:"settings"`
	Findings []chaosFinding `json:"findings"`
	Broken   map[string]int `json:"broken"` // findings by kind

	Requests     int                    `json:"requests"`
	Publications int                    `json:"publications"` // acknowledged, duplicates included
	Started      int                    `json:"started"`
	Adopted      int                    `json:"adopted"`
	Failed       map[string]int         `json:"failed"` // by error code
	Jobs         int                    `json:"jobs"`
	Claims       map[int]int            `json:"claims"` // claims of an id -> ids
	MaxEpoch     int                    `json:"maxEpoch"`
	Faults       map[chaosFaultKind]int `json:"faults"` // that hit a replica
	VendorFaults map[string]int         `json:"vendorFaults"`
	VendorCalls  map[string]int         `json:"vendorCalls"`
	// CallsInWait are calls during a wait that the vendor asked any replica for.
	CallsInWait int            `json:"callsInWait"`
	Lives       map[string]int `json:"lives"` // of each program
	Exits       map[int]int    `json:"exits"` // of replicas by themselves, by exit code
	Log         map[string]int `json:"log"`   // the replicas' lines

	Latency latencyMillis            `json:"latency"`
	ByPath  map[string]latencyMillis `json:"latencyByPath"`
	// Slowest are how many of the slowest hundredth took which path.
	Slowest map[string]int `json:"slowest"`
	Drained float64        `json:"drainedSeconds"` // from the last publication to the empty stream
	Run     float64        `json:"runSeconds"`
}

// latencyMillis is from JetStream's acknowledgement of a request to the time at
// which it stored the terminal event, in milliseconds.
type latencyMillis struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func newChaosResult(e chaosEvidence, findings []chaosFinding) chaosResult {
	result := chaosResult{
		Findings: findings, Broken: make(map[string]int), Requests: len(e.Requests),
		Failed: make(map[string]int), Jobs: e.Account.JobsStarted, Claims: make(map[int]int),
		VendorFaults: e.Account.Faults, VendorCalls: e.Account.Calls, CallsInWait: e.Account.RetryAfterViolations, Log: e.Log,
		ByPath: make(map[string]latencyMillis), Slowest: make(map[string]int),
	}
	for _, f := range findings {
		result.Broken[f.Kind]++
	}
	var all []*chaosHistory
	for _, s := range e.histories() {
		result.Publications += s.published.acks
		result.Claims[len(s.claims)]++
		for _, claim := range s.claims {
			result.MaxEpoch = max(result.MaxEpoch, claim.Epoch)
		}
		if len(s.terminals) == 0 {
			continue
		}
		all = append(all, s)
		switch outcome := s.terminals[0].Event.(type) {
		case *schemas.JobStarted:
			result.Started++
			if outcome.Adopted {
				result.Adopted++
			}
		case *schemas.JobFailed:
			result.Failed[outcome.ErrorCode]++
		}
	}
	result.measure(all)
	return result
}

func (r *chaosResult) measure(histories []*chaosHistory) {
	slices.SortFunc(histories, func(a, b *chaosHistory) int { return cmp.Compare(a.latency(), b.latency()) })
	r.Latency = latencyOf(histories)
	byPath := make(map[string][]*chaosHistory)
	for _, s := range histories {
		byPath[s.path()] = append(byPath[s.path()], s)
	}
	for path, some := range byPath {
		r.ByPath[path] = latencyOf(some)
	}
	for _, s := range histories[len(histories)-len(histories)/100:] {
		r.Slowest[s.path()]++
	}
}

// latency is that of a request with an end. A lost acknowledgement may come after
// the end; the history began with the publication then.
func (s *chaosHistory) latency() time.Duration {
	end := s.terminals[0].Stored
	if s.published.acked.IsZero() || end.Before(s.published.acked) {
		return end.Sub(s.published.first)
	}
	return end.Sub(s.published.acked)
}

// path is which way a request took to its end.
func (s *chaosHistory) path() string {
	epoch := 1
	for _, claim := range s.claims {
		epoch = max(epoch, claim.Epoch)
	}
	switch outcome := s.terminals[0].Event.(type) {
	case *schemas.JobStarted:
		switch {
		case outcome.Adopted && outcome.Attempts > 0:
			return "answer lost, found by its owner"
		case outcome.Adopted:
			return "found by another owner"
		case epoch > 1:
			return "taken over or given back, sent"
		case len(s.claims) > 1:
			return "looked for, sent again"
		}
		return "straight"
	case *schemas.JobFailed:
		if outcome.ErrorCode == schemas.CodeOutcomeUnknown {
			return "outcome unknown"
		}
		return "failed"
	}
	return "none"
}

// latencyOf is for histories that are sorted by their latency.
func latencyOf(sorted []*chaosHistory) latencyMillis {
	if len(sorted) == 0 {
		return latencyMillis{}
	}
	at := func(part float64) float64 {
		i := min(int(part*float64(len(sorted))), len(sorted)-1)
		return float64(sorted[i].latency().Microseconds()) / 1000
	}
	return latencyMillis{Count: len(sorted), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}

func TestChaosFigures(t *testing.T) {
	t.Parallel()
	e := soundEvidence()
	e.Events[2].Stored = e.Events[2].Stored.Add(3 * time.Second)
	e.Events[3].Stored = e.Events[3].Stored.Add(time.Second)
	got := newChaosResult(e, judgeChaos(e))
	if want := (latencyMillis{Count: 2, P50: 3000, P90: 3000, P99: 3000, Max: 3000}); got.Latency != want {
		t.Errorf("latency %+v, want %+v", got.Latency, want)
	}
	if got.ByPath["failed"].Max != 1000 || got.ByPath["straight"].Max != 3000 {
		t.Errorf("by path %+v, want failed 1000 and straight 3000", got.ByPath)
	}
	if got.Started != 1 || got.Failed[noGroupCode] != 1 || got.Claims[1] != 2 || got.Jobs != 1 {
		t.Errorf("got %+v", got)
	}
}
