package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/schemas"
)

// ends writes the end of each started job, as the follower of a replica would without a
// wait, and publishes the job's request again.
type ends struct {
	run    *chaosRun
	pub    *publisher.Publisher
	done   sync.WaitGroup
	cancel context.CancelFunc

	stored  atomic.Int64 // ends that it wrote
	another atomic.Int64 // ends that a replica had written already
}

// startEnds starts it. It reads the events with a consumer of its own.
func startEnds(ctx context.Context, r *chaosRun) *ends {
	r.t.Helper()
	pub, err := publisher.New(r.js.Conn())
	if err != nil {
		r.t.Fatal(err)
	}
	e := &ends{run: r, pub: pub}
	ctx, e.cancel = context.WithCancel(ctx)
	consumer, err := r.js.CreateConsumer(ctx, publisher.EventsStream, jetstream.ConsumerConfig{
		FilterSubject: publisher.EventFilter(schemas.KindJobStarted, ""), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	requests := make(map[string]chaosRequest)
	for _, request := range r.plan.requests {
		requests[request.id] = request
	}
	toTheEnd := context.WithoutCancel(ctx) // stop waits for the end of every start
	e.done.Go(func() {
		for {
			batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(200*time.Millisecond))
			if err != nil {
				r.t.Errorf("read the started jobs: %v", err)
				return
			}
			read := 0
			var writes sync.WaitGroup
			for msg := range batch.Messages() {
				read++
				writes.Go(func() {
					id := e.write(toTheEnd, msg)
					r.upstream.publish(toTheEnd, requests[id], r.plan.Seed)
				})
			}
			writes.Wait()
			if err := batch.Error(); err != nil {
				r.t.Errorf("read the started jobs: %v", err)
				return
			}
			if read == 0 && ctx.Err() != nil {
				return
			}
		}
	})
	return e
}

// write writes the end of the job that a message announces, and returns the request's id.
func (e *ends) write(ctx context.Context, msg jetstream.Msg) (id string) {
	key, event, err := publisher.ReadEvent(msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		e.run.t.Error(err)
		return ""
	}
	started := event.(*schemas.JobStarted)
	_, err = e.pub.AppendJob(ctx, key, 0, &schemas.JobFinished{
		Naming: started.Naming, Message: started.Message, JobRef: schemas.JobRef{JobID: started.JobID, TaskID: started.TaskID},
		Outcome: schemas.OutcomeCompleted, VendorStatus: "Completed", JobTimes: schemas.JobTimes{ObservedAt: time.Now().UTC()},
	}, "")
	switch {
	case err == nil:
		e.stored.Add(1)
	case errors.Is(err, publisher.ErrConflict):
		e.another.Add(1)
	default:
		e.run.t.Error(err)
	}
	return started.RequestID
}

// stop returns when the end of every started job is stored.
func (e *ends) stop() {
	e.cancel()
	e.done.Wait()
}

// read counts the events that a version of the program shows, by kind.
func (e *ends) read(program, url string) map[string]int {
	e.run.t.Helper()
	cmd := exec.Command(program, "events", "--output", "json")
	cmd.Env = append(programtest.CleanEnv(), programtest.ServiceEnv(url, e.run.vendor.endpoint)...)
	out, err := cmd.Output()
	if err != nil {
		e.run.t.Errorf("%s: %v", cmd, err)
	}
	kinds := make(map[string]int)
	for lines := bufio.NewScanner(strings.NewReader(string(out))); lines.Scan(); {
		var event struct{ Type string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			e.run.t.Error(err)
		}
		kinds[event.Type]++
	}
	return kinds
}

// check compares what both versions read with what is stored. An older version reads every
// event but those about jobs.
func (e *ends) check(evidence chaosEvidence, current, old map[string]int, sameVersion bool) {
	e.run.t.Helper()
	stored := make(map[string]int)
	for _, event := range evidence.Events {
		stored[event.Event.Kind().Type()]++
	}
	written, another := int(e.stored.Load()), int(e.another.Load())
	if n := stored[schemas.KindJobFinished.Type()]; n != stored[schemas.KindJobStarted.Type()] || n != written+another || written == 0 {
		e.run.t.Errorf("%d ends of %d jobs are stored, %d were written here and %d by replicas", n, stored[schemas.KindJobStarted.Type()], written, another)
	}
	for _, kind := range schemas.Kinds {
		if got := current[kind.Type()]; got != stored[kind.Type()] {
			e.run.t.Errorf("this version reads %d %s, %d are stored", got, kind, stored[kind.Type()])
		}
		if got := old[kind.Type()]; got != stored[kind.Type()] && (sameVersion || !kind.PerJob()) {
			e.run.t.Errorf("the older version reads %d %s, %d are stored", got, kind, stored[kind.Type()])
		}
	}
	for line, n := range evidence.Log {
		if strings.Contains(line, "foreign message") || strings.Contains(line, "cannot be read") {
			e.run.t.Errorf("%d log lines %q", n, line)
		}
	}
}
