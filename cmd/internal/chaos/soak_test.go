package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
)

// TestSoak runs the built binary for a long time in bad company: valid requests
// arrive at a steady rate, and everything else is hostile or breaks. It judges from
// outside, by the stored events and the vendor's account, and it watches what chaos
// does not: memory, /livez, and the consumers that remain on the streams.
//
//	soak_messages_test.go  hostile messages
//	soak_faults_test.go    kills, vendor faults, stream edits, attacks on the admin listener, commands
//	soak_watch_test.go     samples of memory and /livez
//	soak_judge_test.go     which promises were broken

// soakFlags are the flags of TestSoak. The defaults are a short run; `make soak` is a long one.
var soakFlags = struct {
	length, livez, drain *time.Duration
	seed                 *int64
	replicas, memory     *int
	rate, hostile        *float64
}{
	length:   flag.Duration("soak.length", 12*time.Second, "how long messages and faults arrive"),
	seed:     flag.Int64("soak.seed", 1, "of all random choices"),
	replicas: flag.Int("soak.replicas", 2, "replicas of backhaul run"),
	rate:     flag.Float64("soak.rate", 4, "valid requests per second"),
	hostile:  flag.Float64("soak.hostile", 12, "hostile messages per second"),
	memory:   flag.Int("soak.memory", 120, "most MiB of memory that a replica may use"),
	livez:    flag.Duration("soak.livez", 0, "longest answer of /livez that is no finding, 0 for any"),
	drain:    flag.Duration("soak.drain", 2*time.Minute, "how long requests may be in flight after the last one"),
}

// soak is one run: a chaos run with the additional company.
type soak struct {
	t         *testing.T
	chaos     *chaosRun
	url       string
	admin     []string // of the replicas
	trigger   *immortal
	nc        *nats.Conn // of the attacker
	baseline  map[string]int
	watch     *soakWatch
	reused    []string // request ids with an outcome, for messages with other content
	anonymous int      // acknowledged requests without an id

	mu       sync.Mutex
	done     map[string]int // faults and hostile messages, by name
	accepted int            // hostile requests that JetStream stored
}

func TestSoak(t *testing.T) {
	s := startSoak(t)
	ctx, cancel := context.WithTimeout(t.Context(), *soakFlags.length+*soakFlags.drain+3*time.Minute)
	defer cancel()

	s.baseline = s.consumers(ctx) // a replica adds one when its page is opened, until it stops
	s.settleFirst(ctx)
	under, stop := context.WithTimeout(ctx, *soakFlags.length)
	var all sync.WaitGroup
	for _, act := range []func(context.Context){s.publish, s.harass, s.inflictAll, s.watch.run} {
		all.Go(func() { act(under) })
	}
	all.Wait()
	stop()

	s.heal(ctx)
	s.chaos.drain(ctx, *soakFlags.drain)
	s.chaos.stopReplicas()
	s.judge(ctx, s.consumersLeft(ctx))
}

func startSoak(t *testing.T) *soak {
	t.Helper()
	admin := make([]string, 0, *soakFlags.replicas)
	for _, port := range natstest.FixedPorts(t, *soakFlags.replicas) {
		admin = append(admin, fmt.Sprintf("127.0.0.1:%d", port))
	}
	s := &soak{t: t, admin: admin, done: make(map[string]int), chaos: &chaosRun{
		t: t, dir: chaosDir(t, *soakFlags.seed), done: make(map[chaosFaultKind]int),
		plan: chaosPlan{chaosSettings: chaosSettings{
			Replicas: *soakFlags.replicas, Seed: *soakFlags.seed, VisibleAfter: time.Second, Admin: admin,
			Env: []string{"BACKHAUL_ADMIN_TOKEN=" + soakToken},
		}},
	}}
	s.chaos.began = time.Now()
	s.chaos.vendor = startChaosVendor(t, s.chaos.dir, s.chaos.plan)
	s.url = s.chaos.startBroker()
	s.chaos.connect(s.url)
	s.chaos.startReplicas(s.url)
	s.startTrigger()
	s.chaos.upstream = &upstream{js: s.chaos.js, published: make(map[string]publishing)}
	nc, err := nats.Connect(s.url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s.nc = nc
	s.watch = newSoakWatch(s)
	return s
}

// settleFirst publishes some requests and waits for their outcomes: hostile messages
// use their ids again, and their outcomes must stay what they are.
func (s *soak) settleFirst(ctx context.Context) {
	s.t.Helper()
	for i := range 10 {
		r := s.request(fmt.Sprintf("first-%d", i), i)
		s.chaos.upstream.publish(ctx, r, *soakFlags.seed)
		s.reused = append(s.reused, r.id)
	}
	s.chaos.drain(ctx, time.Minute)
	if len(s.chaos.stuck) > 0 {
		s.t.Fatalf("requests are left before anything went wrong: %v", s.chaos.stuck)
	}
}

func (s *soak) request(id string, n int) chaosRequest {
	r := chaosRequest{id: fmt.Sprintf("soak-%d-%s", *soakFlags.seed, id), group: fmt.Sprintf("load-%d", n%chaosGroups)}
	s.chaos.plan.requests = append(s.chaos.plan.requests, r)
	return r
}

// random returns the source of random choices for one purpose.
func (s *soak) random(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(*soakFlags.seed), purpose))
}

// paced calls do about perSecond times a second until ctx ends.
func paced(ctx context.Context, perSecond float64, do func(n int)) {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ticker.C:
			do(n)
		case <-ctx.Done():
			return
		}
	}
}

// publish sends valid requests. One in ten has no id.
func (s *soak) publish(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	outlasting := context.WithoutCancel(ctx) // what was begun is published
	paced(ctx, *soakFlags.rate, func(n int) {
		if n%10 == 9 {
			s.publishAnonymously(ctx, n)
			return
		}
		r := s.request(fmt.Sprintf("%06d", n), n)
		under.Go(func() { s.chaos.upstream.publish(outlasting, r, *soakFlags.seed) })
	})
}

// publishAnonymously sends a request without an id, once: a second try could be a second request.
func (s *soak) publishAnonymously(ctx context.Context, n int) {
	payload := fmt.Appendf(nil, `{"clientName":"s-adhoc-object-storage","subclientName":"load-%d"}`, n%chaosGroups)
	try, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if _, err := s.chaos.js.Publish(try, publisher.RequestSubject(chaosSource, publisher.Normal), payload); err == nil {
		s.anonymous++
	}
}

func (s *soak) note(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[name]++
}

// soakStreams are the streams whose consumers are counted.
var soakStreams = []string{publisher.RequestsStream, publisher.EventsStream, publisher.DeadLetterStream, publisher.StorageStream}

// consumers returns the number of consumers of each stream.
func (s *soak) consumers(ctx context.Context) map[string]int {
	s.t.Helper()
	counts := make(map[string]int)
	for _, name := range soakStreams {
		waittest.Eventually(s.t, "state of "+name, func() bool {
			stream, err := s.chaos.js.Stream(ctx, name)
			if err == nil {
				counts[name] = stream.CachedInfo().State.Consumers
			}
			return err == nil
		})
	}
	return counts
}

// consumersLeft waits until each stream has no more consumers than at the start, and
// returns what is left after that. Commands that were killed leave theirs to the server
// for a short while.
func (s *soak) consumersLeft(ctx context.Context) map[string]int {
	s.t.Helper()
	deadline := time.Now().Add(45 * time.Second)
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		left := make(map[string]int)
		for name, n := range s.consumers(ctx) {
			if n > s.baseline[name] {
				left[name] = n - s.baseline[name]
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		<-ticker.C
	}
}

// edit changes a stream's configuration as an operator could, and notes whether the server took it.
func (s *soak) edit(ctx context.Context, stream string, change func(*jetstream.StreamConfig)) bool {
	info, err := s.chaos.js.Stream(ctx, stream)
	if err != nil {
		return false
	}
	cfg := info.CachedInfo().Config
	change(&cfg)
	_, err = s.chaos.js.UpdateStream(ctx, cfg)
	return err == nil
}
