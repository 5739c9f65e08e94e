package chaos

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
)

var outageLength = flag.Duration("outage.length", 8*time.Second, "how long the broker is away in TestBrokerAway")

const (
	outageRate   = 20.0 // requests per second, before, while and after the broker is away
	outageBefore = 3 * time.Second
	outageAfter  = 2 * time.Second
)

// The broker is killed under load and stays away, its store is kept. The
// publishers wait for it, and so do the replicas: unready, alive, and at work
// again by themselves when it is back. Nothing is lost and nothing happens twice.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	away := *outageLength
	plan := newChaosPlan(chaosSettings{
		Requests: int(outageRate * (outageBefore + away + outageAfter).Seconds()), Rate: outageRate, Replicas: 2, Seed: 1,
		Faults: "slow=300ms", // so that there are calls under way when it goes
		// The backlog comes all at once: a busy machine must not count as a slow vendor.
		Env: []string{"BACKHAUL_VENDOR_TIMEOUT=10s"},
	})
	ctx, cancel := context.WithTimeout(t.Context(), plan.length+4*time.Minute)
	defer cancel()
	run := startChaos(t, plan)
	run.upstream.js = patient{run.js}
	watches := run.watchReadiness()
	for _, w := range watches {
		programtest.WaitForStatus(t, w.url+"/readyz", http.StatusOK)
	}

	run.began = time.Now()
	published := make(chan error, 1)
	go func() { published <- run.upstream.run(ctx, plan, run.began) }()
	wait(ctx, outageBefore)
	waittest.Eventually(t, "calls under way", func() bool { return run.vendor.Account().JobsStarted > len(run.vendor.startCalls()) })
	gone := time.Now()
	back := run.broker.away()
	for _, w := range watches {
		programtest.WaitForStatus(t, w.url+"/readyz", http.StatusServiceUnavailable)
	}
	red := time.Now()
	wait(ctx, time.Until(gone.Add(away)))
	returned := time.Now()
	back()
	for _, w := range watches {
		programtest.WaitForStatus(t, w.url+"/readyz", http.StatusOK)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	run.drain(ctx, 2*time.Minute)
	for _, w := range watches {
		w.stop()
		w.judge(t, red, returned)
	}
	run.stopReplicas()

	evidence := run.collect(ctx)
	result := newChaosResult(evidence, judgeChaos(evidence))
	run.report(t, evidence, result)
	t.Logf("the broker was away for %s; after it was started again: %s to the first event, drained %s after the last publication",
		returned.Sub(gone).Round(time.Millisecond), firstEventAfter(t, evidence, returned).Round(time.Millisecond), run.drained.Round(time.Millisecond))
	for _, w := range watches {
		t.Logf("%s was red %s after the kill, and ready %s after the start", w.name,
			w.first(gone, http.StatusServiceUnavailable).Round(time.Millisecond), w.first(returned, http.StatusOK).Round(time.Millisecond))
	}
}

// firstEventAfter is how long it took until an event was stored again.
func firstEventAfter(t *testing.T, e chaosEvidence, back time.Time) time.Duration {
	t.Helper()
	for _, event := range e.Events {
		if event.Stored.After(back) {
			return event.Stored.Sub(back)
		}
	}
	t.Error("no event after the broker came back")
	return 0
}

// wait is the passing of time in a plan, not a wait for something.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// patient publishes nothing while the broker is away. Otherwise each try would
// be buffered and be one more duplicate later.
type patient struct{ jetstream.JetStream }

func (p patient) Publish(ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if !p.Conn().IsConnected() {
		return nil, nats.ErrDisconnected
	}
	return p.JetStream.Publish(ctx, subject, data, options...)
}

// readinessWatch asks a replica all the time whether it is alive and ready.
type readinessWatch struct {
	name, url string
	stop      func()

	mu      sync.Mutex
	answers []readinessAnswer
}

type readinessAnswer struct {
	asked        time.Time
	ready, alive int // statuses
	text         string
}

const watchInterval = 50 * time.Millisecond

func (r *chaosRun) watchReadiness() []*readinessWatch {
	r.t.Helper()
	var watches []*readinessWatch
	for _, replica := range r.replicas {
		log, err := os.ReadFile(filepath.Join(r.dir, replica.name+".log"))
		if err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(r.t.Context())
		ended := make(chan struct{})
		w := &readinessWatch{name: replica.name, url: programtest.Logged(r.t, string(log), "admin")}
		w.stop = func() { cancel(); <-ended }
		go func() {
			defer close(ended)
			for wait(ctx, watchInterval); ctx.Err() == nil; wait(ctx, watchInterval) {
				a := readinessAnswer{asked: time.Now()}
				a.ready, a.text = programtest.Probe(r.t, w.url+"/readyz")
				a.alive, _ = programtest.Probe(r.t, w.url+"/livez")
				w.mu.Lock()
				w.answers = append(w.answers, a)
				w.mu.Unlock()
			}
		}()
		r.t.Cleanup(w.stop)
		watches = append(watches, w)
	}
	return watches
}

// judge wants a replica that was alive all the time, and red without a break
// from the first time until the broker was back.
func (w *readinessWatch) judge(t *testing.T, red, returned time.Time) {
	t.Helper()
	for _, a := range w.answers {
		said := fmt.Sprintf("%s, %s after the broker came back: %d %s", w.name, a.asked.Sub(returned), a.ready, a.text)
		if a.alive != http.StatusOK {
			t.Errorf("not alive: %s", said)
		}
		if a.asked.After(red) && a.asked.Before(returned) && a.ready != http.StatusServiceUnavailable {
			t.Errorf("ready without a broker: %s", said)
		}
	}
}

// first is how long after a time a status was given.
func (w *readinessWatch) first(after time.Time, status int) time.Duration {
	for _, a := range w.answers {
		if a.asked.After(after) && a.ready == status {
			return a.asked.Sub(after)
		}
	}
	return -1
}
