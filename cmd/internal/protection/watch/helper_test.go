package watch

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// promise promises the same for every group whose content group it names.
type promise map[string]protection.Objective

func (p promise) For(g protection.Group) (protection.Objective, bool) {
	o, ok := p[g.Subclient]
	return o, ok
}

func (p promise) All() []protection.Objective { return slices.Collect(maps.Values(p)) }

func rpo(d time.Duration) promise {
	return promise{"g": {Name: "gold", Owner: "team", RPO: d}}
}

// bench is a server, and what is written to it.
type bench struct {
	testing.TB
	nats    *natstest.Server
	nc      *nats.Conn
	js      jetstream.JetStream
	pub     *publisher.Publisher
	current atomic.Pointer[promise]
	jobs    int
}

func newBench(t testing.TB, p promise) *bench {
	t.Helper()
	s := natstest.Start(t)
	nc := s.Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t, nats: s, nc: nc, js: natstest.JetStream(t, nc), pub: pub, jobs: 100}
	b.promise(p)
	return b
}

func (b *bench) promise(p promise) { b.current.Store(&p) }

// config publishes what the bench promises, often.
func (b *bench) config() Config {
	return Config{
		Objectives: func() Objectives { return *b.current.Load() },
		Publishes:  func() bool { return true },
		Every:      20 * time.Millisecond,
	}
}

// start runs a watch, as a replica does, until stop or the test ends.
func (b *bench) start(cfg Config) (w *Watch, stop func()) {
	b.Helper()
	return b.startAt(cfg, time.Now)
}

// startAt is like start, on a replica with this clock.
func (b *bench) startAt(cfg Config, clock func() time.Time) (w *Watch, stop func()) {
	b.Helper()
	w, err := New(b.nats.Connect(b), cfg, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	w.clock = clock
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	b.Cleanup(stop)
	return w, stop
}

// backup is a request for a group, with the changes that it is about, and its job.
type backup struct {
	b     *bench
	key   publisher.Key
	claim *schemas.JobSubmitting
	last  uint64
	job   string
}

// changes writes the claim of a request for changes of a group since a time.
func (b *bench) changes(group string, since time.Time) *backup {
	b.Helper()
	b.jobs++
	key := publisher.NewKey("storage", fmt.Sprintf("changes-%d", b.jobs))
	r := schemas.BackupRequest{ClientName: "c", SubclientName: group}
	m, err := schemas.DecodeRequest(nil, r.JSON())
	if err != nil {
		b.Fatal(err)
	}
	r = m.Request
	r.Labels = map[string]string{"trigger.since": since.UTC().Format(time.RFC3339Nano)}
	c := &backup{b: b, key: key, job: fmt.Sprint(b.jobs), claim: &schemas.JobSubmitting{
		RequestID: key.Name, Source: key.Source, Request: r, Message: schemas.Message{RequestedAt: time.Now().UTC(), PayloadHash: schemas.HashBytes(nil)},
	}}
	c.append(c.claim)
	c.append(&schemas.JobStarted{Naming: c.claim.Names(), Message: c.claim.Message, JobID: c.job, JobIDs: []string{c.job}, StartedAt: time.Now().UTC()})
	return c
}

func (c *backup) append(e schemas.Event) {
	c.b.Helper()
	var err error
	if c.last, err = c.b.pub.Append(c.b.Context(), c.key, c.last, e, ""); err != nil {
		c.b.Fatal(err)
	}
}

// end writes the end of the job.
func (c *backup) end(outcome schemas.Outcome) {
	c.b.Helper()
	empty := false
	_, err := c.b.pub.AppendJob(c.b.Context(), c.key, 0, &schemas.JobFinished{
		Naming: c.claim.Names(), Message: c.claim.Message, JobRef: schemas.JobRef{JobID: c.job}, Outcome: outcome, VendorStatus: string(outcome),
		JobSizes: schemas.JobSizes{Empty: &empty}, JobTimes: schemas.JobTimes{ObservedAt: time.Now().UTC()},
	}, "")
	if err != nil {
		c.b.Fatal(err)
	}
}

// said returns the protection events on record.
func (b *bench) said() (all []schemas.ProtectionEvent) {
	b.Helper()
	for _, m := range natstest.Stored(b, b.js, publisher.EventsStream, publisher.AnyProtection) {
		if e, ok, err := publisher.ReadProtection(m.Subject, m.Header, m.Data); ok && err == nil {
			all = append(all, e)
		}
	}
	return all
}

// states returns the states and causes of the events on record.
func (b *bench) states() (all []string) {
	b.Helper()
	for _, e := range b.said() {
		all = append(all, string(e.State)+" "+string(e.Cause))
	}
	return all
}

// wait waits for the states and causes of the events on record.
func (b *bench) wait(want ...string) {
	b.Helper()
	waittest.Eventually(b, fmt.Sprint("events ", want), func() bool { return slices.Equal(b.states(), want) })
}

// waitFor waits for a number of events on record. More of them are a failure.
func (b *bench) waitFor(n int) {
	b.Helper()
	waittest.Eventually(b, fmt.Sprintf("%d events", n), func() bool { return len(b.said()) >= n })
	if all := b.said(); len(all) != n {
		for _, e := range all {
			b.Logf("%s %s %s: since %s, at %s: %s", e.SubclientName, e.State, e.Cause, e.Since, e.At, e.Reason)
		}
		b.Fatalf("%d events, want %d", len(all), n)
	}
}

// settle waits for some rounds of a watch, after which nothing more is published.
func (b *bench) settle(w *Watch) {
	b.Helper()
	for range 3 {
		before := w.judged()
		waittest.Eventually(b, "a round", func() bool { return w.judged() != before })
	}
}

// judged returns the server's time of the last round.
func (w *Watch) judged() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.server
}
