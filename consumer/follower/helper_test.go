package follower

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// bench is a server with the events stream, and a vendor with jobs.
type bench struct {
	*testing.T
	nats   *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	pub    *publisher.Publisher
	vendor *clinic
	log    *waittest.Log
}

func newBench(t *testing.T, changes ...natstest.Change) *bench {
	t.Helper()
	b := &bench{T: t, nats: natstest.StartBare(t), vendor: newClinic(), log: &waittest.Log{}}
	b.nc = b.nats.Connect(t)
	b.js = natstest.JetStream(t, b.nc)
	natstest.Provision(t, b.nc, changes...)
	var err error
	if b.pub, err = publisher.New(b.nc); err != nil {
		t.Fatal(err)
	}
	return b
}

// started publishes the event that jobs were started, as the ledger does.
func (b *bench) started(id string, jobs ...string) {
	b.Helper()
	b.startedAt(time.Now(), id, jobs...)
}

func (b *bench) startedAt(at time.Time, id string, jobs ...string) {
	b.Helper()
	e := &schemas.JobStarted{
		Naming:  schemas.Naming{RequestID: id, Source: "billing", ClientName: "c", SubclientName: "s", BackupLevel: "INCREMENTAL"},
		Message: schemas.Message{RequestedAt: at.UTC(), PayloadHash: "0"}, JobID: jobs[0], JobIDs: jobs, TaskID: "7", Attempts: 1, StartedAt: at.UTC(),
	}
	if _, err := b.pub.Append(b.Context(), publisher.NewKey("billing", id), 0, e, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"); err != nil {
		b.Fatal(err)
	}
}

// worker is a follower that runs.
type worker struct {
	*Follower
	nc   *nats.Conn
	stop context.CancelFunc
	done chan struct{}
}

// kill ends it as a crash would: nothing that it still sends arrives.
func (w *worker) kill() {
	w.nc.Close()
	w.drain()
}

// drain ends it as SIGTERM does.
func (w *worker) drain() {
	w.stop()
	<-w.done
}

func (b *bench) start(nc *nats.Conn, changes ...func(*Config)) *worker {
	b.Helper()
	cfg := Config{IntervalMin: 100 * time.Millisecond, IntervalMax: 500 * time.Millisecond, ReadsPerHour: 1_000_000, DrainTimeout: 100 * time.Millisecond}
	for _, change := range changes {
		change(&cfg)
	}
	f, err := New(cfg, nc, b.vendor, zerolog.New(b.log))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	w := &worker{Follower: f, nc: nc, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		f.Run(ctx)
	}()
	b.Cleanup(func() {
		w.drain()
		if b.Failed() {
			b.Logf("log:\n%s", b.log)
		}
	})
	return w
}

func (b *bench) run(changes ...func(*Config)) *worker {
	b.Helper()
	return b.start(b.nats.Connect(b), changes...)
}

// eventually waits for a condition.
func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	waittest.Eventually(b, what, ok)
}

func (b *bench) wait(what string, done <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		b.Fatalf("not within a minute: %s", what)
	}
}

// told returns the events about jobs, in the order of the stream, as "kind job what".
func (b *bench) told() (all []string) {
	b.Helper()
	for _, msg := range b.stored() {
		switch e := msg.(type) {
		case *schemas.JobFinished:
			all = append(all, fmt.Sprintf("finished %s %s", e.JobID, e.Outcome))
		case *schemas.JobChanged:
			all = append(all, fmt.Sprintf("changed %s %s", e.JobID, e.State))
		case *schemas.JobUnfollowed:
			all = append(all, fmt.Sprintf("unfollowed %s", e.JobID))
		}
	}
	return all
}

// stored returns the events about jobs, nothing while the server does not answer.
func (b *bench) stored() (all []schemas.Event) {
	b.Helper()
	s, err := b.js.Stream(b.Context(), publisher.EventsStream)
	if err != nil {
		return nil
	}
	state := s.CachedInfo().State
	for n := state.FirstSeq; n <= state.LastSeq && state.Msgs > 0; n++ {
		msg, err := s.GetMsg(b.Context(), n)
		if err != nil {
			return nil
		}
		tokens := strings.Split(msg.Subject, ".")
		if len(tokens) != 6 {
			continue
		}
		_, e, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
		if err != nil {
			continue // foreign
		}
		all = append(all, e)
	}
	return all
}

// tells waits until events are stored, and fails unless they are these, in any order.
func (b *bench) tells(want ...string) {
	b.Helper()
	b.eventually(fmt.Sprint("the events ", want), func() bool { return len(b.told()) >= len(want) })
	got := b.told()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.Errorf("the events are %q, want %q", got, want)
	}
}

// settled waits until every message is acknowledged.
func (b *bench) settled() {
	b.Helper()
	b.eventually("every message is acknowledged", func() bool {
		c, err := b.js.Consumer(b.Context(), publisher.EventsStream, publisher.FollowerConsumer)
		if err != nil {
			return false
		}
		info := c.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0
	})
}

// clinic is a vendor in the same process.
type clinic struct {
	mu     sync.Mutex
	jobs   map[string]vendorapi.JobInfo
	hidden map[string]bool // from lists and from reads
	events map[string][]vendorapi.JobEvent
	reads  map[string]int
	// fail, if not nil, returns the error of a call.
	fail func(call string) error
	// refuse, if not nil, returns the error of a read of one job.
	refuse func(id string) error
	// page is the largest page, 0 for the one asked for.
	page int
	// counts, if not 0, is the total that lists name.
	counts int
}

func newClinic() *clinic {
	return &clinic{
		jobs: make(map[string]vendorapi.JobInfo), hidden: make(map[string]bool),
		events: make(map[string][]vendorapi.JobEvent), reads: make(map[string]int),
	}
}

// put sets a job's status; a status with an outcome ends it now.
func (c *clinic) put(id, status string, changes ...func(*vendorapi.JobInfo)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := vendorapi.JobInfo{ID: id, Status: status, State: stateOf[status], Outcome: outcomes[status], Started: time.Now().Add(-time.Minute), Updated: time.Now()}
	if info.Outcome != "" {
		info.State, info.Ended = vendorapi.StateFinished, time.Now()
	}
	if info.State == "" {
		info.State = vendorapi.StateUnknown
	}
	for _, change := range changes {
		change(&info)
	}
	c.jobs[id] = info
}

var stateOf = map[string]vendorapi.JobState{
	"Running": vendorapi.StateRunning, "Waiting": vendorapi.StateWaiting, "Pending": vendorapi.StatePending,
	"Queued": vendorapi.StateQueued, "Suspended": vendorapi.StateSuspended,
}

var outcomes = map[string]schemas.Outcome{
	"Completed": schemas.OutcomeCompleted, "Failed": schemas.OutcomeFailed, "Killed": schemas.OutcomeKilled,
	"Failed to Start": schemas.OutcomeFailedToStart, "Committed": schemas.OutcomeCommitted,
}

func (c *clinic) hide(id string, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hidden[id] = yes
}

func (c *clinic) breaks(fail func(call string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// asked returns how many calls of a kind were made.
func (c *clinic) asked(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads[call]
}

// total returns how many calls were made.
func (c *clinic) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, calls := range c.reads {
		n += calls
	}
	return n
}

func (c *clinic) call(name string) error {
	c.reads[name]++
	if c.fail != nil {
		return c.fail(name)
	}
	return nil
}

func (c *clinic) ListJobs(_ context.Context, q vendorapi.JobQuery) (vendorapi.JobPage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("list " + string(q.Category)); err != nil {
		return vendorapi.JobPage{}, err
	}
	var all []vendorapi.JobInfo
	for id, info := range c.jobs {
		ended := !info.Ended.IsZero()
		if c.hidden[id] || ended && (q.Category == vendorapi.ActiveJobs || time.Since(info.Ended) > q.Lookback) || !ended && q.Category == vendorapi.FinishedJobs {
			continue
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b vendorapi.JobInfo) int { return number(b.ID) - number(a.ID) })
	page := vendorapi.JobPage{Total: cmp.Or(c.counts, len(all))}
	all = all[min(q.Offset, len(all)):]
	limit := q.Limit
	if c.page > 0 {
		limit = min(limit, c.page)
	}
	page.Jobs = all[:min(limit, len(all))]
	return page, nil
}

func number(id string) int {
	n, _ := strconv.Atoi(id)
	return n
}

func (c *clinic) Job(_ context.Context, id string) (vendorapi.JobInfo, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("job"); err != nil {
		return vendorapi.JobInfo{}, err
	}
	if c.refuse != nil {
		if err := c.refuse(id); err != nil {
			return vendorapi.JobInfo{}, err
		}
	}
	info, ok := c.jobs[id]
	if !ok || c.hidden[id] {
		return info, &vendorapi.UnseenJobError{ID: id}
	}
	return info, nil
}

func (c *clinic) JobEvents(_ context.Context, id string) ([]vendorapi.JobEvent, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("events"); err != nil {
		return nil, err
	}
	return c.events[id], nil
}

func (c *clinic) JobDelayReason(context.Context, string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.call("details"); err != nil {
		return "", err
	}
	return "waiting for a resource", nil
}

// same fails unless two lists have the same elements, in any order.
func same(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("the events are %q, want %q", got, want)
	}
}
