package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/cmd/internal/replica"
	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
)

// soakToken opens the admin page of the replicas.
const soakToken = "soak-token-7f3a9c2e5b8d4f1a6e0b"

// vendorMoods are faults of the vendor that may follow each other. None of them may end a request.
var vendorMoods = []string{
	"none", chaosVendorFaults, "503=0.3:1s", "429=0.1:2s", "cut-before-start=0.2,reset-after-start=0.1", "half-body=0.2,empty=0.1",
	"html=0.2,504-after-start=0.1", "slow=0.5:700ms", "trickle=0.1:20ms,plain-text=0.1", "odd-spelling=0.5", "JobList/503=0.5:1s,cut-after-start=0.1",
	"Login/500=0.5,500=0.05", "late-start=0.1:1s",
}

// inflictAll lets things go wrong, each kind at its own pace. Short runs have each early.
func (s *soak) inflictAll(ctx context.Context) {
	faults := []struct {
		name  string
		every time.Duration
		do    func(context.Context, *rand.Rand)
	}{
		{"vendor's mood", 6 * time.Second, s.mood},
		{"kill a replica", 15 * time.Second, func(_ context.Context, random *rand.Rand) { s.replica(random).kill() }},
		{"freeze a replica", 40 * time.Second, func(_ context.Context, random *rand.Rand) {
			s.replica(random).freeze(time.Duration(1+random.IntN(9)) * time.Second)
		}},
		{"stop a replica", 50 * time.Second, func(_ context.Context, random *rand.Rand) { s.replica(random).terminate() }},
		{"reload", 20 * time.Second, s.reload},
		{"kill the broker", 45 * time.Second, func(context.Context, *rand.Rand) { s.chaos.broker.kill() }},
		{"kill the trigger", 30 * time.Second, func(context.Context, *rand.Rand) { s.trigger.kill() }},
		{"edit", 9 * time.Second, s.editStreams},
		{"attack the listener", 7 * time.Second, s.attack},
		{"command", 3 * time.Second, s.command},
	}
	var all sync.WaitGroup
	for i, f := range faults {
		random := s.random(100 + uint64(i))
		all.Go(func() {
			// At least one of each kind in every run.
			every := min(f.every, *soakFlags.length/3)
			timer := time.NewTimer(about(every, random) / 2)
			defer timer.Stop()
			for {
				select {
				case <-timer.C:
					s.note(f.name)
					f.do(ctx, random)
					timer.Reset(about(every, random))
				case <-ctx.Done():
					return
				}
			}
		})
	}
	all.Wait()
}

func (s *soak) replica(random *rand.Rand) *immortal {
	return s.chaos.replicas[random.IntN(len(s.chaos.replicas))]
}

// reload sends a hangup to a replica that has started: before its handler is there, the
// signal ends a process.
func (s *soak) reload(ctx context.Context, random *rand.Rand) {
	i := random.IntN(len(s.admin))
	_, before := s.chaos.replicas[i].pid()
	if _, _, err := replica.Get(ctx, s.admin[i], "/livez"); err != nil {
		return
	}
	if pid, lives := s.chaos.replicas[i].pid(); pid > 0 && lives == before {
		_ = syscall.Kill(pid, syscall.SIGHUP)
	}
}

func (s *soak) mood(_ context.Context, random *rand.Rand) {
	chances, err := simulator.ParseFaults(vendorMoods[random.IntN(len(vendorMoods))])
	if err != nil {
		s.t.Error(err)
	}
	s.chaos.vendor.SetFaults(chances)
}

// editStreams does what an operator may do by mistake, and takes it back.
func (s *soak) editStreams(ctx context.Context, random *rand.Rand) {
	full := func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs, cfg.Discard = 1, jetstream.DiscardNew }
	free := func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = -1 }
	switch n := random.IntN(6); n {
	case 0, 1, 2: // a full stream for a moment
		stream := []string{publisher.EventsStream, publisher.DeadLetterStream, publisher.RequestsStream}[n]
		old := jetstream.DiscardNew
		if !s.edit(ctx, stream, func(cfg *jetstream.StreamConfig) {
			old = cfg.Discard
			full(cfg)
		}) {
			return
		}
		s.note("edit: full " + stream)
		s.pause(ctx, 2*time.Second)
		s.restore(stream, func(cfg *jetstream.StreamConfig) {
			free(cfg)
			cfg.Discard = old
		})
	case 3: // the durable consumer is gone, and made again
		if s.chaos.js.DeleteConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer) == nil {
			s.note("edit: consumer deleted")
			s.setup(ctx)
		}
	case 4: // other waits
		if queue, err := s.chaos.js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer); err == nil {
			cfg := queue.CachedInfo().Config
			cfg.AckWait, cfg.MaxAckPending = time.Duration(2+random.IntN(8))*time.Second, 64+random.IntN(1000)
			if _, err := s.chaos.js.UpdateConsumer(ctx, publisher.RequestsStream, cfg); err == nil {
				s.note("edit: consumer changed")
			}
		}
	case 5: // a pause by another operator
		if _, err := s.chaos.js.PauseConsumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(3*time.Second)); err == nil {
			s.note("edit: consumer paused")
		}
	}
}

// restore takes an edit back, also when the run has ended meanwhile.
func (s *soak) restore(stream string, change func(*jetstream.StreamConfig)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), time.Minute)
	defer cancel()
	for !s.edit(ctx, stream, change) && s.pause(ctx, 100*time.Millisecond) {
	}
}

func (s *soak) setup(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for code := -1; code != programtest.ExitDone && ctx.Err() == nil; {
		code = s.run(ctx, nil, "setup", "--trigger")
	}
}

// pause waits, and is false if ctx ended meanwhile.
func (s *soak) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attack does what a local user may do to the admin listener.
func (s *soak) attack(ctx context.Context, random *rand.Rand) {
	address := s.admin[random.IntN(len(s.admin))]
	switch random.IntN(4) {
	case 0: // idle connections
		for range 400 {
			if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
				defer func() { _ = conn.Close() }()
			}
		}
		s.pause(ctx, 3*time.Second)
	case 1: // not HTTP
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			garbage := make([]byte, 32<<10)
			for i := range garbage {
				garbage[i] = byte(random.UintN(256))
			}
			_, _ = conn.Write(garbage)
			_ = conn.Close()
		}
	case 2: // guesses of the token
		for i := range 20 {
			s.get(ctx, address, "/", http.Header{"Authorization": {fmt.Sprintf("Bearer guess-%d", i)}})
		}
	case 3: // every page
		for _, path := range []string{"/", "/metrics", "/readyz?verbose", "/dead-letters", "/dead-letters/1", fmt.Sprintf("/requests/%s/soak-%d-first-1", chaosSource, *soakFlags.seed), "/" + strings.Repeat("x", 5000)} {
			s.get(ctx, address, path, http.Header{"Host": {"evil.example"}})
		}
	}
}

func (s *soak) get(ctx context.Context, address, path string, header http.Header) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return
	}
	req.Header = header
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// command runs a command of an operator. Half of them are ended before they are done.
func (s *soak) command(ctx context.Context, random *rand.Rand) {
	commands := [][]string{
		{"status"}, {"status", fmt.Sprintf("soak-%d-first-1", *soakFlags.seed)}, {"events", "--limit", "50"}, {"dlq", "ls", "--limit", "50"},
		{"dlq", "replay", "--limit", "20", "--dry-run"}, {"check"}, {"dlq", "show", "1"},
	}
	args := commands[random.IntN(len(commands))]
	var end func(*os.Process)
	switch random.IntN(4) {
	case 0:
		end = func(p *os.Process) { _ = p.Kill() }
	case 1:
		end = func(p *os.Process) { _ = p.Signal(os.Interrupt) }
	}
	s.run(ctx, end, args...)
}

// run runs a command to its end, or ends it after a moment, and returns its exit code.
func (s *soak) run(ctx context.Context, end func(*os.Process), args ...string) int {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, programtest.Binary(s.t, "backhaul"), args...)
	cmd.Env = append(programtest.CleanEnv(), s.chaos.replicaEnv(s.url)...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if cmd.Start() != nil {
		return -1
	}
	if end != nil {
		defer time.AfterFunc(150*time.Millisecond, func() { end(cmd.Process) }).Stop()
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// startTrigger starts `backhaul trigger` with a route that no hostile notification matches.
func (s *soak) startTrigger() {
	s.t.Helper()
	if code := s.run(s.t.Context(), nil, "setup", "--trigger"); code != programtest.ExitDone {
		s.t.Fatalf("backhaul setup --trigger: exit code %d", code)
	}
	routes := filepath.Join(s.chaos.dir, "routes.yaml")
	if err := os.WriteFile(routes, []byte("routes:\n- {container: soak, clientName: c, subclientName: g}\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	env := append(programtest.CleanEnv(), "BACKHAUL_NATS_URL="+s.url, "BACKHAUL_TRIGGER_ROUTES="+routes, "BACKHAUL_ADMIN_ADDR=127.0.0.1:0", "BACKHAUL_LOG_FORMAT=json")
	program := programtest.Binary(s.t, "backhaul")
	s.trigger = startImmortal(s.t, s.chaos.dir, "trigger", func() *exec.Cmd {
		cmd := exec.Command(program, "trigger")
		cmd.Env = env
		return cmd
	})
}

// heal ends every fault, so that what is left can be judged.
func (s *soak) heal(ctx context.Context) {
	s.chaos.vendor.SetFaults(nil)
	for _, stream := range []string{publisher.EventsStream, publisher.DeadLetterStream, publisher.RequestsStream} {
		s.restore(stream, func(cfg *jetstream.StreamConfig) { cfg.MaxMsgs = -1 })
	}
	s.setup(ctx)
}
