package budget_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/consumer"
	"backhaul/consumer/budget"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

var soakHours = flag.Int("budget.hours", 1, "length of TestSoak, by the fake clock")

// fleet is a tenant with its replicas. It runs under the fake clock of testing/synctest, with a
// real JetStream server, real consumers and the simulator.
type fleet struct {
	t        *testing.T
	nats     *natstest.Server
	nc       *nats.Conn
	sim      *simulator.Simulator
	endpoint string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	perHour  int
	made     int
	started  starts
	auth     vendorapi.Auth
}

func newFleet(t *testing.T, cfg simulator.Config, perHour int) *fleet {
	t.Helper()
	cfg.RateLimit = simulator.RateLimit{Writes: perHour, Period: time.Hour, Sliding: true}
	cfg.Conflict, cfg.AccessTokenLife = simulator.ConflictIgnore, 1000*time.Hour
	sim, endpoint, transport := simulatortest.StartPipe(t, cfg)
	s := natstest.StartPipe(t)
	nc := s.Connect(t)
	natstest.ProvisionBudget(t, nc)
	return &fleet{
		t: t, nats: s, nc: nc, sim: sim, endpoint: endpoint, dial: transport.DialContext, perHour: perHour,
		auth: vendorapi.Auth{Mode: vendorapi.AuthToken, Token: func() (vendorapi.Secret, error) { return "Bearer simulator-access", nil }},
	}
}

// ask publishes requests of a source.
func (f *fleet) ask(source string, n int) {
	f.t.Helper()
	js := natstest.JetStream(f.t, f.nc)
	for range n {
		f.made++
		data := fmt.Sprintf(`{"requestId":"r-%d","clientName":"s-adhoc-object-storage","subclientName":"stestgroup"}`, f.made)
		if _, err := js.Publish(f.t.Context(), "backup.request."+source, []byte(data)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// replica is a process: a consumer with its own connections and budget.
type replica struct {
	f      *fleet
	nc     *nats.Conn
	budget *budget.Budget
	client *vendorapi.Client
	stop   context.CancelFunc
	ended  sync.WaitGroup
	calls  chan struct{} // receives when a writing call begins
	line   line
}

// line is the way to the vendor.
type line struct {
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func (f *fleet) start(number int) *replica {
	f.t.Helper()
	r := &replica{f: f, nc: f.nats.Connect(f.t), calls: make(chan struct{}, 1)}
	log := zerolog.Nop()
	r.budget = budget.New(budget.Config{Owner: fmt.Sprintf("replica-%d", number), PerHour: f.perHour, Timeout: vendorapi.DefaultTimeout, Log: log})
	if err := r.budget.Use(r.nc); err != nil {
		f.t.Fatal(err)
	}
	client, err := vendorapi.New(vendorapi.Config{
		Endpoint: f.endpoint, InsecureHTTP: true, Auth: f.auth, Dial: r.dial, Pace: vendorapi.Pace{Budget: r.budget}, Observer: r,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	r.client = client
	vendor := &vendorapi.Retrier{Client: client, Policy: vendorapi.Policy{CapacityWait: consumer.CapacityWait, LookupAfter: 5 * time.Second}}
	c, err := consumer.New(f.t.Context(), consumer.Config{
		Owner: fmt.Sprintf("replica-%d", number), GiveUpAfter: 1000 * time.Hour, DrainTimeout: time.Nanosecond, Starts: r.budget,
	}, r.nc, vendor, log)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.ended.Go(func() { c.Run(ctx) })
	r.ended.Go(func() { r.budget.Run(ctx) })
	return r
}

func (r *replica) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := r.f.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.line.mu.Lock()
	defer r.line.mu.Unlock()
	if r.line.dead {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	r.line.conns = append(r.line.conns, conn)
	return conn, nil
}

// kill ends the replica as kill -9 does: nothing that it sends arrives any more.
func (r *replica) kill() {
	r.line.mu.Lock()
	r.line.dead = true
	for _, conn := range r.line.conns {
		_ = conn.Close()
	}
	r.line.mu.Unlock()
	r.nc.Close()
	r.stop()
	r.ended.Wait()
}

// Call implements [vendorapi.Observer].
func (r *replica) Call(ctx context.Context, c vendorapi.Call) (context.Context, func(int, error)) {
	if !c.Write() {
		return ctx, func(int, error) {}
	}
	select {
	case r.calls <- struct{}{}:
	default:
	}
	return ctx, func(int, error) {}
}

// Wait implements [vendorapi.Observer].
func (*replica) Wait(context.Context, vendorapi.Wait) {}

// run keeps three replicas at work for hours. One of them is killed every few minutes, in most cases
// while a call of it is on its way. trouble is called every half an hour.
func (f *fleet) run(hours int, trouble func()) {
	random := rand.New(rand.NewPCG(1, 2))
	replicas := []*replica{f.start(0), f.start(1), f.start(2)}
	kills, midCall, troubled := 0, 0, time.Now()
	end := time.Now().Add(time.Duration(hours) * time.Hour)
	for time.Now().Before(end) {
		<-time.After(2*time.Minute + time.Duration(random.Int64N(int64(4*time.Minute))))
		if time.Since(troubled) > 30*time.Minute {
			troubled = time.Now()
			trouble()
		}
		i := random.IntN(len(replicas))
		r := replicas[i]
		select {
		case <-r.calls:
		default:
		}
		select {
		case <-r.calls:
			midCall++
			<-time.After(time.Duration(random.Int64N(int64(2500 * time.Millisecond))))
		case <-time.After(2 * time.Minute):
		}
		r.kill()
		kills++
		replicas[i] = f.start(2 + kills)
	}
	for _, r := range replicas {
		r.kill()
	}
	account := f.sim.Account()
	f.t.Logf("%d h, %d kills (%d with a call on its way), %d writing calls, %d jobs started: %.1f an hour, %.1f of 100 calls; %d logins, %d refused by the limit; faults %v, calls %v",
		hours, kills, midCall, f.writes(), account.JobsStarted, float64(account.JobsStarted)/float64(hours),
		100*float64(account.JobsStarted)/float64(f.writes()), account.Logins, account.RateLimited, account.Faults, account.Calls)
	for marker, jobs := range account.JobsByMarker {
		if len(jobs) > 1 {
			f.t.Errorf("%s has the jobs %v", marker, jobs)
		}
	}
	if account.RateLimited > 0 {
		f.t.Errorf("%d calls were refused by the limit", account.RateLimited)
	}
}

// writes returns how many writing calls reached the vendor.
func (f *fleet) writes() int {
	calls := f.sim.Account().Calls
	return calls["CreateTask"] + calls["Login"] + calls["Logout"] + calls["Jobs"] + calls["JobDetails"] + calls["WhoAmI"]
}

// TestSoak: every write goes into a start, although replicas are killed all the time and answers are
// lost. `make budget-chaos` runs 50 hours.
func TestSoak(t *testing.T) {
	hours := *soakHours
	natstest.Synctest(t, func(t *testing.T) {
		f := newFleet(t, simulator.Config{}, 100)
		f.fail("slow=2s,cut-after-start=0.01,cut-before-start=0.003")
		// The first calls are spread over an hour, so that those of all later hours are too.
		go func() {
			for range f.perHour {
				f.ask("first", 1)
				<-time.After(time.Hour / time.Duration(f.perHour))
			}
			f.ask("backlog", (hours+1)*f.perHour)
		}()
		f.run(hours, func() {})
		account := f.sim.Account()
		if least := 95 * f.perHour * hours / 100; account.JobsStarted < least {
			t.Errorf("%d jobs were started, want at least %d", account.JobsStarted, least)
		}
		if account.JobsStarted*100 < 95*f.writes() {
			t.Errorf("%d jobs of %d writing calls", account.JobsStarted, f.writes())
		}
	})
}

// fail makes the vendor fail by chance.
func (f *fleet) fail(faults string) {
	f.t.Helper()
	chances, err := simulator.ParseFaults(faults)
	if err != nil {
		f.t.Fatal(err)
	}
	f.sim.SetFaults(chances)
}

// TestSoak_streamTroubles: while the stream is lost, edited, full or out of reach again and again,
// the vendor refuses no call, no job is started twice, and in the end every request has its job.
func TestSoak_streamTroubles(t *testing.T) {
	natstest.Synctest(t, func(t *testing.T) {
		f := newFleet(t, simulator.Config{}, 100)
		f.fail("slow=2s,cut-after-start=0.02")
		js := natstest.JetStream(t, f.nc)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		ctx := context.Background()
		edit := func(change func(*jetstream.StreamConfig)) {
			c := natstest.Stream(t, js, publisher.BudgetStream).CachedInfo().Config
			change(&c)
			_, err := js.UpdateStream(ctx, c)
			must(err)
		}
		troubles := []func(){
			func() { // the server is away for a minute
				f.nats.Stop()
				<-time.After(time.Minute)
				f.nats.Restart()
			},
			func() { // the stream is full for five minutes
				edit(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 })
				<-time.After(5 * time.Minute)
				edit(func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 })
			},
			func() { // the record is edited by hand
				_, err := js.Publish(ctx, publisher.BudgetSubject, []byte(`{"limit":100,"calls":[]}`))
				must(err)
			},
			func() { // the stream is lost, and made again after two minutes
				must(js.DeleteStream(ctx, publisher.BudgetStream))
				<-time.After(2 * time.Minute)
				natstest.ProvisionBudget(t, f.nc)
			},
		}
		next := 0
		asked := 0
		f.run(3, func() {
			f.ask("source", 30)
			asked += 30
			troubles[next%len(troubles)]()
			next++
		})
		if next < len(troubles) {
			t.Errorf("%d of %d troubles", next, len(troubles))
		}
		last := f.start(1000)
		defer last.kill()
		for range 24 * 60 {
			if f.sim.Account().JobsStarted == asked {
				break
			}
			<-time.After(time.Minute)
		}
		if n := f.sim.Account().JobsStarted; n != asked {
			t.Errorf("%d jobs were started of %d requests", n, asked)
		}
	})
}

// TestSoak_lowerLimit: the setting is too high, so that the vendor refuses calls. Every replica waits
// as long as the vendor asked for, and the vendor's limit is used from then on.
func TestSoak_lowerLimit(t *testing.T) {
	natstest.Synctest(t, func(t *testing.T) {
		f := newFleet(t, simulator.Config{}, 60)
		f.perHour = 100 // the setting is too high
		f.ask("source", 400)
		replicas := []*replica{f.start(0), f.start(1), f.start(2)}
		<-time.After(30 * time.Minute)
		first := f.sim.Account()
		<-time.After(time.Hour + time.Minute)
		account := f.sim.Account()
		t.Logf("%d jobs, then %d; %d refused", first.JobsStarted, account.JobsStarted, account.RateLimited)
		// What was on its way is refused together. It says the limit, which is kept from then on.
		if most := 3 * 5; first.RateLimited > most || account.RateLimited > first.RateLimited || account.RetryAfterViolations > 0 {
			t.Errorf("%d calls were refused by the limit, then %d; %d before the end of a wait", first.RateLimited, account.RateLimited-first.RateLimited, account.RetryAfterViolations)
		}
		if n := account.JobsStarted; n < 60 {
			t.Errorf("%d jobs were started in an hour and a half", n)
		}
		for _, r := range replicas {
			r.kill()
		}
	})
}
