package admission

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

const limited = `sources:
  billing:
    requestsPerHour: 5
    allow: [{clientName: ["*"], subclientName: ["*"]}]
  "*":
    requestsPerHour: 1
    allow: [{clientName: ["*"], subclientName: ["*"]}]
`

// rig has a server and writes claims to it.
type rig struct {
	t    *testing.T
	nats *natstest.Server
	js   jetstream.JetStream
	pub  *publisher.Publisher
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s := natstest.Start(t)
	nc := s.Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, nats: s, js: natstest.JetStream(t, nc), pub: pub}
}

// gate returns a new gate, as another replica or a restarted one has.
func (b *rig) gate() *Gate {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "policy.yaml")
	write(b.t, path, limited)
	f, err := Open(path, nil, zerolog.Nop())
	if err != nil {
		b.t.Fatal(err)
	}
	return NewGate(f, natstest.JetStream(b.t, b.nats.Connect(b.t)))
}

func request(client string) *schemas.BackupRequest {
	m, err := schemas.DecodeRequest(nil, fmt.Appendf(nil, `{"clientName":%q,"subclientName":"g"}`, client))
	if err != nil {
		panic(err)
	}
	return &m.Request
}

// claim publishes a claim.
func (b *rig) claim(key publisher.Key, requested time.Time) {
	b.t.Helper()
	e := &schemas.JobSubmitting{
		RequestID: key.Name, Source: key.Source, Request: *request("c"),
		Message: schemas.Message{RequestedAt: requested}, SubmittingAt: time.Now(),
	}
	if _, err := b.pub.Append(b.t.Context(), key, 0, e, ""); err != nil {
		b.t.Fatal(err)
	}
}

func ask(t *testing.T, g *Gate, key publisher.Key, requested time.Time) error {
	t.Helper()
	err := g.Allows(t.Context(), key, request("c"), requested)
	if _, denied := errors.AsType[*consumer.DeniedError](err); err != nil && !denied {
		t.Fatal(err)
	}
	return err
}

func billing(id string) publisher.Key { return publisher.NewKey("billing", id) }

func TestGate_LimitsAcrossRestartsAndReplicas(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	now := time.Now()
	one, two := b.gate(), b.gate()
	for i := range 5 {
		g := []*Gate{one, two}[i%2]
		key, requested := billing(fmt.Sprint("id-", i)), now.Add(time.Duration(i)*time.Second)
		for range 2 { // delivered twice
			if err := ask(t, g, key, requested); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		b.claim(key, requested)
	}
	for name, g := range map[string]*Gate{"first": one, "second": two, "restarted": b.gate()} {
		err := ask(t, g, billing("one-more"), now.Add(time.Minute))
		denied, ok := errors.AsType[*consumer.DeniedError](err)
		if !ok || !denied.Retryable {
			t.Fatalf("%s: the sixth gets %v", name, err)
		}
		from := now.Add(time.Hour).UTC().Add(time.Second - 1).Truncate(time.Second).Format(time.RFC3339)
		for _, want := range []string{`"billing"`, "requestsPerHour: 5", "policy.yaml:3", "from " + from} {
			if !strings.Contains(denied.Reason, want) {
				t.Errorf("%s: want %s in %s", name, want, denied.Reason)
			}
		}
		if err := ask(t, g, billing("id-3"), now); err != nil {
			t.Errorf("%s: a redelivery of an accepted request: %v", name, err)
		}
		if err := ask(t, g, billing("later"), now.Add(time.Hour+time.Minute)); err != nil {
			t.Errorf("%s: an hour later: %v", name, err)
		}
		if err := ask(t, g, publisher.NewKey("crm", name), now); err != nil {
			t.Errorf("%s: another source: %v", name, err)
		}
	}
}

// A queue that was not read for a day has requests of different hours.
func TestGate_CountsABacklogByItsOwnHours(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	g := b.gate()
	for _, hour := range []int{0, 5, 10, 20, 3} { // the last is out of order
		start := time.Now().Add(time.Duration(hour-24) * time.Hour)
		for i := range 6 {
			key, requested := billing(fmt.Sprint(hour, "-", i)), start.Add(time.Duration(i)*time.Minute)
			err := ask(t, g, key, requested)
			if (err != nil) != (i == 5) {
				t.Errorf("hour %d, request %d: %v", hour, i, err)
			}
			if err == nil {
				b.claim(key, requested)
			}
		}
	}
	// The claims that were forgotten meanwhile are read again.
	if err := ask(t, g, billing("sixth"), time.Now().Add(-24*time.Hour+10*time.Minute)); err == nil {
		t.Error("the sixth of the first hour was admitted")
	}
}

// Many goroutines call Allows at once, as the consumer does.
func TestGate_LimitsABurstExactly(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	g := b.gate()
	var admitted atomic.Int64
	var workers sync.WaitGroup
	now := time.Now()
	for i := range 60 {
		workers.Go(func() {
			if g.Allows(t.Context(), billing(fmt.Sprint("id-", i)), request("c"), now.Add(time.Duration(i)*time.Millisecond)) == nil {
				admitted.Add(1)
			}
		})
	}
	workers.Wait()
	if got := admitted.Load(); got != 5 {
		t.Errorf("%d were admitted, want 5", got)
	}
}

// The count continues after its consumer was deleted and after a server restart.
func TestGate_CountsAfterAnInterruption(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	g := b.gate()
	now := time.Now()
	for i := range 3 {
		if err := ask(t, g, billing(fmt.Sprint("id-", i)), now); err != nil {
			t.Fatal(err)
		}
		b.claim(billing(fmt.Sprint("id-", i)), now)
	}
	stream := natstest.Stream(t, b.js, publisher.EventsStream)
	names := stream.ConsumerNames(t.Context())
	for name := range names.Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if names.Err() != nil {
		t.Fatal(names.Err())
	}
	b.claim(billing("id-3"), now) // by another replica
	if err := ask(t, g, billing("id-4"), now); err != nil {
		t.Fatal(err)
	}
	b.claim(billing("id-4"), now)
	if err := ask(t, g, billing("id-5"), now); err == nil {
		t.Error("the sixth was admitted")
	}

	b.nats.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := g.Allows(ctx, billing("id-6"), request("c"), now)
	if _, denied := errors.AsType[*consumer.DeniedError](err); err == nil || denied {
		t.Errorf("without a server the answer is %v", err)
	}
	b.nats.Restart()
	for limit := time.After(time.Minute); ; {
		err := g.Allows(t.Context(), billing("id-6"), request("c"), now)
		if _, denied := errors.AsType[*consumer.DeniedError](err); denied {
			break
		}
		if err == nil {
			t.Fatal("the sixth was admitted after a restart of the server")
		}
		select {
		case <-limit:
			t.Fatalf("a minute after the restart: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestGate_BoundsItsCounters(t *testing.T) {
	t.Parallel()
	g := NewGate(nil, nil)
	for i := range maxCounters + 50 {
		g.counter(fmt.Sprint("source-", i))
		g.counter("kept")
	}
	if len(g.counters) != maxCounters || g.counters["kept"] == nil {
		t.Errorf("%d counters", len(g.counters))
	}
}

// Many sources with a limit use a bounded number of consumers. Close deletes them.
func TestGate_BoundsItsConsumers(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	consumers := func() (n int) {
		t.Helper()
		stream := natstest.Stream(t, b.js, publisher.EventsStream)
		list := stream.ListConsumers(t.Context())
		for info := range list.Info() {
			if info.Config.Durable == "" {
				n++
			}
		}
		if list.Err() != nil {
			t.Fatal(list.Err())
		}
		return n
	}
	g := b.gate()
	for range 2 {
		for i := range maxReaders + 10 {
			if err := ask(t, g, publisher.NewKey(fmt.Sprint("source-", i), "r"), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if n := consumers(); n != maxReaders {
			t.Errorf("%d consumers, want %d", n, maxReaders)
		}
	}
	g.Close(t.Context())
	if n := consumers(); n != 0 {
		t.Errorf("%d consumers after Close", n)
	}
}
