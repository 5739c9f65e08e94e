package batch_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/eventlog"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds how long a test waits. It is long because the machine may be busy.
const patience = 3 * time.Minute

// rig has a NATS server with the shipped streams and a simulated Commvault.
type rig struct {
	t        *testing.T
	nats     *natstest.Server
	js       jetstream.JetStream
	sim      *simulator.Simulator
	endpoint string
}

const vendorPassword = "geheim-Ü-7f3a"

func newRig(t *testing.T, changes ...natstest.Change) *rig {
	t.Helper()
	s := natstest.Start(t, changes...)
	world := simulator.DefaultWorld()
	world.Users[0].Password = base64.StdEncoding.EncodeToString([]byte(vendorPassword))
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world, Conflict: simulator.ConflictIgnore})
	return &rig{t: t, nats: s, js: natstest.JetStream(t, s.Connect(t)), sim: sim, endpoint: endpoint}
}

// work runs a consumer until the test ends.
func (b *rig) work() {
	b.t.Helper()
	client, err := vendorapi.New(vendorapi.Config{Endpoint: b.endpoint, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul",
		Password: func() (vendorapi.Secret, error) { return vendorPassword, nil },
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	cfg := consumer.Config{Owner: "one", AttemptTimeout: 20 * time.Second, VisibilityWindow: time.Second, DrainTimeout: 20 * time.Second}
	vendor := &vendorapi.Retrier{Client: client, Policy: vendorapi.Policy{
		InitialInterval: 20 * time.Millisecond, MaxInterval: 200 * time.Millisecond, Budget: 2 * time.Second,
		CapacityWait: consumer.CapacityWait, AttemptTimeout: cfg.AttemptTimeout,
	}}
	c, err := consumer.New(b.t.Context(), cfg, b.nats.Connect(b.t), vendor, zerolog.Nop())
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { c.Run(ctx) })
	b.t.Cleanup(func() {
		stop()
		ended.Wait()
		client.Close(context.Background())
	})
}

// batchOf returns a batch of n requests that waits for their outcomes.
func batchOf(n int) batch.Batch {
	b := batch.Batch{Source: "billing", Wait: batch.WaitStarted, Timeout: patience}
	for i := range n {
		b.Requests = append(b.Requests, normalised(fmt.Sprint("r-", i), "load-1"))
	}
	return b
}

func normalised(id, group string) schemas.BackupRequest {
	file, err := batch.ReadFile("test", []byte(request(id, group)), "test")
	if err != nil {
		panic(err)
	}
	return file.Requests[0]
}

// run runs a batch on a connection of its own.
func (b *rig) run(ctx context.Context, set batch.Batch, rep batch.Reporter) (batch.Summary, error) {
	b.t.Helper()
	nc := b.nats.Connect(b.t)
	defer nc.Close()
	return batch.Run(ctx, nc, natstest.JetStream(b.t, nc), set, rep)
}

// finish runs a batch that must complete, and checks the sums.
func (b *rig) finish(set batch.Batch) (batch.Summary, *recorder) {
	b.t.Helper()
	rep := &recorder{}
	s, err := b.run(b.t.Context(), set, rep)
	if err != nil {
		b.t.Fatal(err)
	}
	checkSums(b.t, s)
	return s, rep
}

func checkSums(t *testing.T, s batch.Summary) {
	t.Helper()
	if s.Sent+s.Known+s.NotSent != s.Requests {
		t.Errorf("sent, known and not sent do not add up: %v", s)
	}
	if o := s.Outcomes; o != nil && o.Started+o.FailedTotal()+o.Rejected+o.None != s.Requests {
		t.Errorf("the outcomes do not add up: %v", s)
	}
}

// oneEach checks that each request has one job and one outcome. It reads on a connection
// of its own: the rig's may still be reconnecting after a restart of the server.
func (b *rig) oneEach(set batch.Batch) {
	b.t.Helper()
	js := natstest.JetStream(b.t, b.nats.Connect(b.t))
	jobs := b.sim.Account().JobsByMarker
	outcomes := make(map[publisher.Key]int)
	if err := eventlog.Read(b.t.Context(), js, eventlog.Query{}, func(e eventlog.Event) error {
		if e.Kind.Terminal() {
			outcomes[e.Key]++
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	for _, req := range set.Requests {
		key := publisher.NewKey(set.Source, req.RequestID)
		if len(jobs[key.Marker()]) != 1 || outcomes[key] != 1 {
			b.t.Errorf("%s has jobs %v and %d outcomes, want one each", key, jobs[key.Marker()], outcomes[key])
		}
	}
	if n := b.sim.Account().JobsStarted; n != len(set.Requests) {
		b.t.Errorf("%d jobs, want %d", n, len(set.Requests))
	}
}

// state returns the state of a stream.
func (b *rig) state(stream string) jetstream.StreamState {
	b.t.Helper()
	s := natstest.Stream(b.t, b.js, stream)
	return s.CachedInfo().State
}

// recorder is a Reporter that keeps what is reported.
type recorder struct {
	sent       []string // request ids
	outcomes   []eventlog.Event
	ends       []eventlog.Event
	unreadable error
	waiting    error
	progress   func(batch.Summary)
}

func (r *recorder) Request(req schemas.BackupRequest, n batch.News) error {
	switch {
	case n.Ack != nil:
		r.sent = append(r.sent, req.RequestID)
	case n.End != nil:
		r.ends = append(r.ends, *n.End)
	default:
		r.outcomes = append(r.outcomes, *n.Outcome)
	}
	return nil
}

func (r *recorder) Unreadable(err error) { r.unreadable = err }
func (r *recorder) Waiting(err error)    { r.waiting = err }

func (r *recorder) Progress(s batch.Summary) {
	if r.progress != nil {
		r.progress(s)
	}
}

// kinds returns the kinds of the outcomes, sorted.
func (r *recorder) kinds() []schemas.Kind {
	var all []schemas.Kind
	for _, e := range r.outcomes {
		all = append(all, e.Kind)
	}
	slices.Sort(all)
	return all
}
