package consumer_test

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/trigger"
	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// busyHour is how long an hour of TestABusyContentGroup takes.
var busyHour = flag.Duration("busy.hour", 10*time.Second, "how long an hour of the busy content group takes")

// collect runs a trigger for the content group of the vendor's page until stop is called, as a
// crash would end it, or until the test ends.
func (b *rig) collect() (stop func()) {
	b.t.Helper()
	routes, err := trigger.NewRoutes("routes.yaml", "", []trigger.Route{{
		Place:   trigger.Place{Container: "busy"},
		Request: schemas.BackupRequest{ClientName: "s-adhoc-object-storage", SubclientName: "stestgroup"},
		Window:  trigger.Window{Quiet: trigger.MinQuiet, Max: 2 * trigger.MinQuiet},
		Rule:    turn.Rule{Queue: true},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	nc := b.nats.Connect(b.t)
	worker, err := trigger.New(b.within(patience), trigger.Config{LookAgain: 50 * time.Millisecond}, nc, routes, nil, zerolog.Nop())
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		worker.Run(ctx)
	}()
	stop = func() {
		nc.Close()
		cancel()
		<-done
	}
	b.t.Cleanup(stop)
	return stop
}

// An hour of a busy content group: its storage changes 20 times a minute, and another source asks
// for it now and then. Three replicas of the service and two of the trigger work on it; one of
// each is killed now and then, and the vendor's answers are lost now and then. The vendor refuses a
// backup of a content group that is backed up: it must not have to.
func TestABusyContentGroup(t *testing.T) {
	t.Parallel()
	const changes, kills, others = 20 * 60, 8, 6
	hour := *busyHour
	b := newRig(t, simulator.Config{Conflict: simulator.ConflictRefuse, JobDuration: hour / 30}, natstest.AckWait(time.Second))
	natstest.ProvisionTrigger(t, b.nats.Connect(t), natstest.AckWait(time.Second))
	b.sim.SetFaults([]simulator.Chance{
		{Fault: simulator.Fault{Kind: simulator.CutAfterStart}, Endpoint: "CreateTask", Probability: 0.1},
		{Fault: simulator.Fault{Kind: simulator.CutBeforeStart}, Endpoint: "CreateTask", Probability: 0.1},
	})
	b.sim.SetLives([]simulator.LifeRule{
		{Life: simulator.MustParseLife("waiting,running,failed"), Probability: 0.2},
		{Life: simulator.MustParseLife("failed-to-start"), Probability: 0.1},
		{Life: simulator.MustParseLife("running,completed-with-errors"), Probability: 0.1},
	})
	b.followJobs()
	names := 0
	replica := func() *worker {
		names++
		return b.start(quick, queued, soonDead, owner(fmt.Sprint("replica-", names)))
	}
	replicas := []*worker{replica(), replica(), replica()}
	triggers := []func(){b.collect(), b.collect()}

	tick := time.NewTicker(hour / changes)
	defer tick.Stop()
	for i := range changes {
		<-tick.C
		data := fmt.Sprintf(`{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"busy"},"object":{"key":"%d","size":1,"sequencer":"%016X"}}}`, i, i+1)
		if _, err := b.js.Publish(b.within(patience), "storage.event.minio", []byte(`{"Records":[`+data+`]}`)); err != nil {
			t.Fatal(err)
		}
		if i%(changes/others) == changes/others/2 {
			b.publish("billing", body(fmt.Sprint("other-", i)))
		}
		if n := i / (changes / kills); i%(changes/kills) == changes/kills/2 {
			replicas[n%len(replicas)].kill()
			replicas[n%len(replicas)] = replica()
			triggers[n%len(triggers)]()
			triggers[n%len(triggers)] = b.collect()
		}
	}
	newest := time.Now() // after the last change was stored, by the clock of the same machine
	b.eventually("every change is requested", func() bool { return len(b.stored(publisher.StorageStream, ">")) == 0 })
	b.settled()

	for _, e := range b.events("backup.event.job-failed.>") {
		t.Errorf("job-failed: %+v", e.data)
	}
	jobs, requested, covered := 0, 0, 0
	var last time.Time
	for _, e := range b.events("backup.event.job-started.>") {
		started := e.data.(*schemas.JobStarted)
		jobs++
		if n, err := strconv.Atoi(started.Labels[trigger.LabelChanges]); err == nil {
			requested++
			covered += n
			last = e.Time
		}
	}
	b.checkPromise(jobs)
	if covered != changes {
		t.Errorf("the requests have %d changes, want %d", covered, changes)
	}
	if last.Before(newest) {
		t.Errorf("the last job was started at %s, before the last change at %s", last, newest)
	}
	if jobs != requested+others {
		t.Errorf("%d jobs, %d of them of storage changes, want %d others", jobs, requested, others)
	}
	t.Logf("%d changes and %d requests of another source in an hour of %s, %d replicas and triggers killed: %d jobs, never two at once",
		changes, others, hour, kills, jobs)
}
