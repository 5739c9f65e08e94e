package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// chaosRun is everything that runs during a chaos test.
type chaosRun struct {
	t        *testing.T
	plan     chaosPlan
	dir      string
	began    time.Time
	vendor   *chaosVendor
	broker   *immortal
	replicas []*immortal
	program  string // of the replicas, the one that was built if empty
	js       jetstream.JetStream
	upstream *upstream
	url      string // of the broker
	// operators is nil unless the plan has cancellations.
	operators *operators

	done     map[chaosFaultKind]int // faults that hit a running program
	drained  time.Duration          // from the last publication to the empty stream
	stuck    []string               // what was left in the request stream
	problems []string               // replicas that did not stop as they should
}

// startChaos starts the vendor, the broker and the replicas, and returns when
// every replica waits for requests.
func startChaos(t *testing.T, plan chaosPlan) *chaosRun {
	t.Helper()
	r := &chaosRun{t: t, plan: plan, dir: chaosDir(t, plan.Seed), done: make(map[chaosFaultKind]int)}
	r.vendor = startChaosVendor(t, r.dir, plan)
	r.url = r.startBroker()
	r.connect(r.url)
	r.startReplicas(r.url)
	r.upstream = &upstream{js: r.js, published: make(map[string]publishing)}
	return r
}

// chaosDir is a new directory for the run. It outlives the test if it was asked
// for.
func chaosDir(t *testing.T, seed int64) string {
	t.Helper()
	if *chaosFlags.dir == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(*chaosFlags.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(*chaosFlags.dir, fmt.Sprintf("seed-%d-", seed)) //nolint:usetesting // it is to be kept
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *chaosRun) startBroker() (url string) {
	r.t.Helper()
	port := natstest.FixedPorts(r.t, 1)[0]
	program, store := programtest.Binary(r.t, "nats-server"), filepath.Join(r.dir, "store")
	r.broker = startImmortal(r.t, r.dir, "broker", func() *exec.Cmd {
		return exec.Command(program, "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-js", "-sd", store)
	})
	return fmt.Sprintf("nats://127.0.0.1:%d", port)
}

func (r *chaosRun) connect(url string) {
	r.t.Helper()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // the broker's deaths are expected
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	if r.js, err = jetstream.New(nc); err != nil {
		r.t.Fatal(err)
	}
	waittest.Eventually(r.t, "JetStream", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, err := r.js.AccountInfo(ctx)
		return err == nil
	})
}

func (r *chaosRun) startReplicas(url string) {
	r.t.Helper()
	env := r.replicaEnv(url)
	// A cluster's meta leader may still take a node for gone that is back.
	waittest.Eventually(r.t, "streams made by backhaul setup", func() bool {
		code, _, stderr := programtest.Once(r.t, env, "", "setup")
		if code != programtest.ExitDone {
			r.t.Logf("backhaul setup: exit code %d: %s", code, stderr)
		}
		return code == programtest.ExitDone
	})
	if r.plan.AckWait > 0 {
		programtest.SetAckWait(r.t, r.js, r.plan.AckWait)
	}
	program := cmp.Or(r.program, *chaosFlags.replicaBinary, programtest.Binary(r.t, "backhaul"))
	for i := range r.plan.Replicas {
		var settings []string
		if i < len(r.plan.Admin) {
			settings = []string{"BACKHAUL_ADMIN_ADDR=" + r.plan.Admin[i]}
		}
		r.replicas = append(r.replicas, r.startReplica(fmt.Sprintf("replica-%d", i), program, url, settings...))
	}
	r.awaitReplicas()
}

// awaitReplicas returns when every replica waits for requests.
func (r *chaosRun) awaitReplicas() {
	r.t.Helper()
	waittest.Eventually(r.t, "replicas that wait for requests", func() bool {
		queue, err := r.js.Consumer(r.t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
		return err == nil && queue.CachedInfo().NumWaiting >= r.plan.Replicas
	})
}

func (r *chaosRun) replicaEnv(url string) []string {
	env := append(programtest.ServiceEnv(url, r.vendor.endpoint),
		"BACKHAUL_VENDOR_TIMEOUT=2s", "BACKHAUL_VENDOR_LOOK_AFTER=600ms", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=3s",
		"BACKHAUL_LOG_LEVEL="+*chaosFlags.logLevel, "BACKHAUL_LOG_FORMAT=json")
	if r.plan.Scarce > 0 {
		env = append(env, fmt.Sprint("BACKHAUL_STARTS_PER_SECOND=", r.plan.Scarce))
	}
	return append(env, r.plan.Env...)
}

// startReplica starts a replica; settings come after those of the run.
func (r *chaosRun) startReplica(name, program, url string, settings ...string) *immortal {
	r.t.Helper()
	env := append(append(programtest.CleanEnv(), r.replicaEnv(url)...), settings...)
	return startImmortal(r.t, r.dir, name, func() *exec.Cmd {
		cmd := exec.Command(program, "run")
		cmd.Env = env
		return cmd
	})
}

// publishAndInflict carries out the plan. After it nothing goes wrong any more
// but the vendor.
func (r *chaosRun) publishAndInflict(ctx context.Context) {
	r.t.Helper()
	r.began = time.Now()
	var faults sync.WaitGroup
	faults.Go(func() { r.inflict(ctx) })
	if r.plan.Cancel > 0 {
		r.operators = startOperators(ctx, r.t, r.url)
		r.upstream.stored = r.operators.stored
	}
	err := r.upstream.run(ctx, r.plan, r.began)
	faults.Wait()
	if r.operators != nil {
		r.operators.wait.Wait()
		err = errors.Join(err, r.operators.err)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *chaosRun) inflict(ctx context.Context) {
	log, err := os.Create(filepath.Join(r.dir, "faults.log"))
	if err != nil {
		r.t.Error(err)
		return
	}
	defer func() { _ = log.Close() }()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for _, f := range r.plan.faults {
		for time.Since(r.began) < f.at {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		now, met := time.Now(), r.inflictOne(f)
		if met {
			r.done[f.kind]++
		}
		fmt.Fprintf(log, "%s +%.3fs %s %d for %s: %v\n", now.UTC().Format("15:04:05.000000"), now.Sub(r.began).Seconds(), f.kind, f.replica, f.length, met)
	}
}

// inflictOne returns false if no program was running, because one that ended
// was not back yet.
func (r *chaosRun) inflictOne(f chaosFault) bool {
	switch f.kind {
	case killReplica:
		return r.replicas[f.replica].kill()
	case freezeReplica:
		return r.replicas[f.replica].freeze(f.length)
	case killBroker:
		return r.broker.kill()
	case endSession:
		// Two in a row would say that the user has no permission.
		if r.vendor.Account().Faults[string(simulator.Unauthorised)] < r.done[endSession] {
			return false
		}
		r.vendor.ScriptFor("CreateTask", simulator.Fault{Kind: simulator.Unauthorised})
	}
	return true
}

// drain waits until the request stream is empty, or notes what is left.
func (r *chaosRun) drain(ctx context.Context, patience time.Duration) {
	began := time.Now()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		stream, err := r.js.Stream(ctx, publisher.RequestsStream)
		if err == nil && stream.CachedInfo().State.Msgs == 0 {
			r.drained = time.Since(began)
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			r.t.Fatal(context.Cause(ctx))
		case <-deadline.C:
			r.drained = time.Since(began)
			r.stuck = r.waiting(ctx)
			return
		}
	}
}

// maxWaiting bounds the report about a stream that does not become empty.
const maxWaiting = 20

// waiting are the ids of requests that are still in the stream, after a line
// about their consumer.
func (r *chaosRun) waiting(ctx context.Context) []string {
	var lines []string
	queue, err := r.js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		return []string{err.Error()}
	}
	info := queue.CachedInfo()
	lines = append(lines, fmt.Sprintf("consumer: %d pending, %d waiting for an acknowledgement, %d redelivered, %d pulls",
		info.NumPending, info.NumAckPending, info.NumRedelivered, info.NumWaiting))
	stream, err := r.js.Stream(ctx, publisher.RequestsStream)
	if err != nil {
		return append(lines, err.Error())
	}
	state := stream.CachedInfo().State
	for sequence := state.FirstSeq; sequence <= state.LastSeq && len(lines) <= maxWaiting; sequence++ {
		if msg, err := stream.GetMsg(ctx, sequence); err == nil {
			lines = append(lines, fmt.Sprintf("%d of %s: %s", sequence, msg.Time.Format("15:04:05.000"), msg.Data))
		}
	}
	return lines
}

// programs are the broker, if it is a program of the run's own, and the replicas.
func (r *chaosRun) programs() []*immortal {
	if r.broker == nil {
		return r.replicas
	}
	return append([]*immortal{r.broker}, r.replicas...)
}

// stopReplicas stops them as an operator would, which has to work.
func (r *chaosRun) stopReplicas() {
	for _, replica := range r.replicas {
		replica.end(syscall.SIGTERM)
	}
	for _, replica := range r.replicas {
		if err := replica.waitEnd(40 * time.Second); err != nil {
			r.problems = append(r.problems, err.Error())
		}
	}
}
