package batch_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// ends writes the end of each job as soon as it is started, except those of requests
// without an outcome in the map.
func (b *rig) ends(outcomes map[string]schemas.Outcome) {
	b.t.Helper()
	pub, err := publisher.New(b.nats.Connect(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx := b.t.Context()
	go func() {
		_ = eventlog.Read(ctx, b.js, eventlog.Query{Follow: true, Filters: []string{publisher.EventFilter(schemas.KindJobStarted, "billing")}}, func(e eventlog.Event) error {
			outcome, ok := outcomes[e.Key.Name]
			if !ok {
				return nil
			}
			end := &schemas.JobFinished{
				Naming: e.Data.Names(), Message: e.Data.Requested(), JobRef: schemas.JobRef{JobID: e.Data.(*schemas.JobStarted).JobID},
				Outcome: outcome, VendorStatus: "Completed", JobTimes: schemas.JobTimes{ObservedAt: time.Now()},
			}
			_, err := pub.AppendJob(ctx, e.Key, 0, end, "")
			return err
		})
	}()
}

// A batch that waits for the ends returns when all are on record, and so does the next run.
func TestRun_WaitsForTheEnds(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	b.ends(map[string]schemas.Outcome{"r-0": schemas.OutcomeCompleted, "r-1": schemas.OutcomeCompletedWithWarnings, "r-2": schemas.OutcomeKilled})
	set := batchOf(2)
	set.Wait = batch.WaitFinished
	if s, rep := b.finish(set); !s.Succeeded() || s.Ends.KeptAll() != 2 || len(rep.ends) != 2 || len(rep.outcomes) != 2 {
		t.Errorf("got %v", s)
	}
	set = batchOf(3)
	set.Requests = append(set.Requests, normalised("bad-1", "no-such-group"))
	set.Wait = batch.WaitFinished
	for run := range 2 {
		s, rep := b.finish(set)
		if s.Succeeded() || s.Ends.KeptAll() != 2 || s.Ends.Finished["killed"] != 1 || s.Outcomes.FailedTotal() != 1 || len(rep.ends) != 3 {
			t.Errorf("run %d: got %v, ends %v", run, s, rep.ends)
		}
	}
	if names := b.readers(); len(names) > 0 {
		t.Errorf("readers are left: %v", names)
	}
}

// A job without an end is named when the wait is over. What has ended by then is counted.
func TestRun_EndsWithoutEnds(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	b.work()
	b.ends(map[string]schemas.Outcome{"r-0": schemas.OutcomeCompleted})
	first := batchOf(2)
	first.Wait = batch.WaitStarted
	b.finish(first)
	set := batchOf(1)
	set.Wait = batch.WaitFinished
	b.finish(set)
	set = batchOf(2)
	set.Wait, set.EndTimeout = batch.WaitFinished, time.Second
	s, err := b.run(t.Context(), set, &recorder{})
	missing, _ := errors.AsType[*batch.NoOutcomeError](err)
	if missing == nil || !slices.Equal(missing.IDs, []string{"r-1"}) || missing.Started != 1 || s.Ends.None != 1 || s.Ends.KeptAll() != 1 || s.Succeeded() {
		t.Errorf("got %v, %v", s, err)
	}
}

// readers returns the names of the consumers of the events stream that are not durable.
func (b *rig) readers() (names []string) {
	b.t.Helper()
	stream, err := b.js.Stream(b.t.Context(), publisher.EventsStream)
	if err != nil {
		b.t.Fatal(err)
	}
	list := stream.ListConsumers(b.t.Context())
	for info := range list.Info() {
		if info.Config.Durable == "" && len(info.Config.FilterSubjects) > 1 { // not that of ends
			names = append(names, info.Name)
		}
	}
	return names
}
