package batch

import (
	"maps"
	"slices"
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// heard is a Reporter that keeps the kinds that it is told.
type heard struct{ kinds []schemas.Kind }

func (h *heard) Request(_ schemas.BackupRequest, n News) error {
	for _, e := range []*eventlog.Event{n.Outcome, n.End} {
		if e != nil {
			h.kinds = append(h.kinds, e.Kind)
		}
	}
	return nil
}
func (*heard) Unreadable(error) {}
func (*heard) Waiting(error)    {}
func (*heard) Progress(Summary) {}

// In whatever order its events are read, a request is counted once, by the worst outcome of
// its jobs, and its outcome is reported before their ends.
func TestEvent_everyOrder(t *testing.T) {
	t.Parallel()
	req := schemas.BackupRequest{RequestID: "r-1", ClientName: "c", SubclientName: "g"}
	key, m := publisher.NewKey("billing", "r-1"), schemas.Message{RequestedAt: time.Now(), PayloadHash: req.Hash()}
	names := req.Naming("billing")
	start := func(ids ...string) schemas.Event {
		return &schemas.JobStarted{Naming: names, Message: m, JobID: ids[0], JobIDs: ids}
	}
	end := func(id string, o schemas.Outcome) schemas.Event {
		return &schemas.JobFinished{Naming: names, Message: m, JobRef: schemas.JobRef{JobID: id}, Outcome: o}
	}
	change := func(id string, s schemas.State) schemas.Event {
		return &schemas.JobChanged{Naming: names, Message: m, JobRef: schemas.JobRef{JobID: id}, State: s}
	}
	giveUp := func(id string) schemas.Event {
		return &schemas.JobUnfollowed{Naming: names, Message: m, JobRef: schemas.JobRef{JobID: id}}
	}
	foreign := end("7", schemas.OutcomeFailed).(*schemas.JobFinished)
	foreign.PayloadHash = "of other content"
	const outcome, finish, left = schemas.KindJobStarted, schemas.KindJobFinished, schemas.KindJobUnfollowed
	for name, c := range map[string]struct {
		events []schemas.Event
		kinds  []schemas.Kind
		want   Ends
		kept   bool
	}{
		"start, end":            {[]schemas.Event{start("7"), end("7", schemas.OutcomeCompleted)}, []schemas.Kind{outcome, finish}, Ends{Finished: map[string]int{"completed": 1}}, true},
		"end, start":            {[]schemas.Event{end("7", schemas.OutcomeCompletedWithWarnings), start("7")}, []schemas.Kind{outcome, finish}, Ends{Finished: map[string]int{"completed-with-warnings": 1}}, true},
		"with errors":           {[]schemas.Event{start("7"), end("7", schemas.OutcomeCompletedWithErrors)}, []schemas.Kind{outcome, finish}, Ends{Finished: map[string]int{"completed-with-errors": 1}}, false},
		"changes":               {[]schemas.Event{start("7"), change("7", schemas.StatePending), change("7", schemas.StateRunning)}, []schemas.Kind{outcome}, Ends{None: 1}, false},
		"end twice":             {[]schemas.Event{start("7"), end("7", schemas.OutcomeKilled), end("7", schemas.OutcomeCompleted)}, []schemas.Kind{outcome, finish}, Ends{Finished: map[string]int{"killed": 1}}, false},
		"one of two":            {[]schemas.Event{start("7", "8"), end("8", schemas.OutcomeCompleted), end("8", schemas.OutcomeCompleted)}, []schemas.Kind{outcome, finish}, Ends{None: 1}, false},
		"two":                   {[]schemas.Event{start("7", "8"), end("8", schemas.OutcomeFailed), end("7", schemas.OutcomeCompleted)}, []schemas.Kind{outcome, finish, finish}, Ends{Finished: map[string]int{"failed": 1}}, false},
		"given up":              {[]schemas.Event{start("7"), giveUp("7")}, []schemas.Kind{outcome, left}, Ends{Unfollowed: 1}, false},
		"given up, end, second": {[]schemas.Event{start("7", "8"), giveUp("7"), end("7", schemas.OutcomeCompleted), end("8", schemas.OutcomeCompleted)}, []schemas.Kind{outcome, left, finish, finish}, Ends{Finished: map[string]int{"completed": 1}}, true},
		"of other content":      {[]schemas.Event{start("7"), foreign}, []schemas.Kind{outcome}, Ends{None: 1}, false},
		"no job":                {[]schemas.Event{&schemas.JobFailed{Naming: names, Message: m, ErrorCode: "1"}}, []schemas.Kind{schemas.KindJobFailed}, Ends{}, false},
	} {
		h := &heard{}
		e := &entry{req: &req, key: key, hash: m.PayloadHash}
		r := &run{Batch: Batch{Source: "billing", Wait: WaitFinished}, rep: h, entries: []*entry{e}, byKey: map[publisher.Key]*entry{key: e}}
		r.sum = Summary{Requests: 1, Outcomes: &Outcomes{None: 1, Failed: map[string]int{}}, Ends: &Ends{None: 1, Finished: map[string]int{}}}
		for _, data := range c.events {
			if err := r.event(eventlog.Event{Kind: data.Kind(), Key: key, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		got := *r.sum.Ends
		if got.None != c.want.None || got.Unfollowed != c.want.Unfollowed || !maps.Equal(got.Finished, c.want.Finished) || r.sum.Succeeded() != c.kept {
			t.Errorf("%s: got %+v, success %t, want %+v, %t", name, got, r.sum.Succeeded(), c.want, c.kept)
		}
		if !slices.Equal(h.kinds, c.kinds) {
			t.Errorf("%s: reported %v, want %v", name, h.kinds, c.kinds)
		}
		if r.done() != (c.want.None == 0) {
			t.Errorf("%s: done is %t", name, r.done())
		}
	}
}
