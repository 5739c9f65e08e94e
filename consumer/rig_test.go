package consumer_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !isSet("test.parallel") {
		// These tests mostly wait for the end of leases, windows and acknowledgement waits.
		_ = flag.Set("test.parallel", "8")
	}
	goleak.VerifyTestMain(m)
}

func isSet(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// patience is how long a test waits for a condition. It is long because the machine may be
// busy.
const patience = time.Minute

// rig is a NATS server with the shipped streams, a simulated Commvault, and a view of both that
// does not depend on the consumer.
type rig struct {
	t        testing.TB
	nats     *natstest.Server
	js       jetstream.JetStream
	sim      *simulator.Simulator
	endpoint string
}

func newRig(t testing.TB, cfg simulator.Config, changes ...natstest.Change) *rig {
	t.Helper()
	s := natstest.Start(t, changes...)
	if cfg.World == nil {
		cfg.World = simulator.DefaultWorld()
		cfg.World.Users[0].Password = base64.StdEncoding.EncodeToString([]byte(vendorPassword))
	}
	sim, endpoint := simulatortest.Start(t, cfg)
	return &rig{t: t, nats: s, js: natstest.JetStream(t, s.Connect(t)), sim: sim, endpoint: endpoint}
}

// vendorPassword does not occur in any other text, so that tests can search for it.
const vendorPassword = "Tr0ub4dor&3 hunter2"

// noSecrets fails the test if a written text contains a secret.
func (b *rig) noSecrets(written ...any) {
	b.t.Helper()
	secretstest.NotShown(b.t, append(b.sim.Secrets(), vendorPassword, "QSDK "), written...)
}

// setup configures a worker.
type setup struct {
	cfg      consumer.Config
	policy   vendorapi.Policy
	endpoint string
	password string
	connect  func(testing.TB) *nats.Conn
	wrap     func(consumer.Vendor) consumer.Vendor
}

// worker is a running consumer with connections of its own, like a process.
type worker struct {
	t     testing.TB
	nc    *nats.Conn
	ended chan struct{}
	stop  context.CancelFunc
	log   *logBook

	consumer *consumer.Consumer
}

// start runs a consumer with short times until the test ends.
func (b *rig) start(changes ...func(*setup)) *worker {
	b.t.Helper()
	s := setup{
		cfg: consumer.Config{
			Owner: "one", AttemptTimeout: 5 * time.Second, VisibilityWindow: time.Second, DrainTimeout: 20 * time.Second,
		},
		policy:   vendorapi.Policy{InitialInterval: 20 * time.Millisecond, MaxInterval: 200 * time.Millisecond, Budget: 2 * time.Second, CapacityWait: consumer.CapacityWait},
		endpoint: b.endpoint,
		password: vendorPassword,
		connect:  b.nats.Connect,
		wrap:     func(v consumer.Vendor) consumer.Vendor { return v },
	}
	for _, change := range changes {
		change(&s)
	}
	s.policy.AttemptTimeout = s.cfg.AttemptTimeout
	client, err := vendorapi.New(vendorapi.Config{Endpoint: s.endpoint, Timeout: 20 * time.Second, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul",
		Password: func() (vendorapi.Secret, error) { return vendorapi.Secret(s.password), nil },
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	w := &worker{t: b.t, nc: s.connect(b.t), ended: make(chan struct{}), log: &logBook{}}
	vendor := s.wrap(&vendorapi.Retrier{Client: client, Policy: s.policy})
	c, err := consumer.New(b.within(patience), s.cfg, w.nc, vendor, zerolog.New(w.log))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.consumer = stop, c
	go func() {
		defer close(w.ended)
		c.Run(ctx)
	}()
	b.t.Cleanup(func() {
		w.drain()
		client.Close(context.Background())
		b.noSecrets(w.log.String())
		if b.t.Failed() {
			b.t.Logf("log of %s:\n%s", s.cfg.Owner, w.log)
		}
	})
	return w
}

// drain stops the worker as SIGTERM does and waits for its end.
func (w *worker) drain() {
	w.stop()
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.t.Error("a worker did not come to its end")
	}
}

// kill ends the worker as kill -9 does: from now on it can neither publish nor
// acknowledge anything. Start it with soonDead.
func (w *worker) kill() {
	w.nc.Close()
	w.drain()
}

// soonDead is for workers that will be killed: their requests in flight end at once.
func soonDead(s *setup) { s.cfg.DrainTimeout = time.Nanosecond }

func owner(name string) func(*setup) { return func(s *setup) { s.cfg.Owner = name } }

func through(p *natstest.Proxy) func(*setup) { return func(s *setup) { s.connect = p.Connect } }

// hasty is for tests in which the vendor does not answer.
func hasty(s *setup) { s.cfg.AttemptTimeout = time.Second }

// unhurried has leases so long that they are not renewed, however busy the machine is.
func unhurried(s *setup) { s.cfg.AttemptTimeout = time.Minute }

// quick is for tests in which a lease has to run out: it does so after 4 s.
func quick(s *setup) {
	s.cfg.AttemptTimeout, s.cfg.VisibilityWindow = 2*time.Second, 500*time.Millisecond
}

func (b *rig) within(d time.Duration) context.Context {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	b.t.Cleanup(cancel)
	return ctx
}

// eventually waits until is returns true.
func (b *rig) eventually(what string, is func() bool) {
	b.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-limit.C:
			b.t.Fatalf("waited %s in vain: %s\n%s\n%s", patience, what, b.queueState(), handlers())
		}
	}
}

// queueState describes the server's state of the queue.
func (b *rig) queueState() string {
	durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		return err.Error()
	}
	info := durable.CachedInfo()
	return fmt.Sprintf("queue: %d to be acknowledged, %d of them redelivered, %d to come, %d pulls open",
		info.NumAckPending, info.NumRedelivered, info.NumPending, info.NumWaiting)
}

// handlers returns the stacks of the requests in flight.
func handlers() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var shown []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "consumer.(*handler)") {
			shown = append(shown, stack)
		}
	}
	return strings.Join(shown, "\n\n")
}

// wait waits for a channel to be closed.
func (b *rig) wait(what string, c <-chan struct{}) {
	b.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		b.t.Fatalf("waited %s in vain: %s", patience, what)
	}
}

// body returns a request for the content group of the vendor's documentation page.
func body(id string, members ...string) string {
	all := []string{`"clientName":"s-adhoc-object-storage","subclientName":"stestgroup"`}
	if id != "" {
		all = append(all, fmt.Sprintf(`"requestId":%q`, id))
	}
	return "{" + strings.Join(append(all, members...), ",") + "}"
}

// refused is the member that makes the vendor refuse the request.
const refused = `"storagePolicyName":"no-such-plan"`

// publish publishes a message on the queue and returns its sequence. headers are alternating
// names and values.
func (b *rig) publish(source, data string, headers ...string) uint64 {
	b.t.Helper()
	msg := &nats.Msg{Subject: "backup.request." + source, Data: []byte(data), Header: nats.Header{}}
	for pair := range slices.Chunk(headers, 2) {
		msg.Header[pair[0]] = append(msg.Header[pair[0]], pair[1])
	}
	ack, err := b.js.PublishMsg(b.within(patience), msg)
	if err != nil {
		b.t.Fatalf("publish: %v", err)
	}
	return ack.Sequence
}

// place returns the key of the events about the message with this sequence, the newest if the
// stream was made again. The key ends in "none" if there are none.
func (b *rig) place(source string, sequence uint64) publisher.Key {
	b.t.Helper()
	found := publisher.Key{Source: source, Name: fmt.Sprintf("seq-%d-none", sequence)}
	for _, msg := range b.stored(publisher.EventsStream, "backup.event.*."+source+".*") {
		if _, key, _, err := publisher.ParseEventSubject(msg.Subject); err == nil && strings.HasPrefix(key.Name, fmt.Sprintf("seq-%d-", sequence)) {
			found = key
		}
	}
	return found
}

// queued returns how many requests are in the queue, in flight or not.
func (b *rig) queued() uint64 {
	stream, err := b.js.Stream(b.within(patience), publisher.RequestsStream)
	if err != nil {
		return 1 // the server is away; so are its requests, but not gone
	}
	return stream.CachedInfo().State.Msgs
}

// settled waits until every request has been acknowledged.
func (b *rig) settled() {
	b.t.Helper()
	b.eventually("the queue is empty", func() bool { return b.queued() == 0 })
}

// work publishes a request for the content group of the vendor's page, starts a worker and waits
// for the outcome.
func (b *rig) work(id string, changes ...func(*setup)) *worker {
	b.t.Helper()
	b.publish("billing", body(id))
	w := b.start(changes...)
	b.settled()
	return w
}

// event is one event as a subscriber sees it.
type event struct {
	*jetstream.RawStreamMsg
	kind schemas.Kind
	key  publisher.Key
	data schemas.Event
}

// stored returns the messages of a stream whose subject matches, in order.
func (b *rig) stored(stream, filter string) []*jetstream.RawStreamMsg {
	b.t.Helper()
	return natstest.Stored(b.t, b.js, stream, filter)
}

// events returns the events whose subject matches, in order.
func (b *rig) events(filter string) []event {
	b.t.Helper()
	var all []event
	for _, msg := range b.stored(publisher.EventsStream, filter) {
		kind, key, _, err := publisher.ParseEventSubject(msg.Subject)
		if err != nil {
			b.t.Fatal(err)
		}
		data, err := schemas.DecodeEvent(kind, msg.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, event{msg, kind, key, data})
	}
	return all
}

// history returns the events of one request.
func (b *rig) history(key publisher.Key) []event {
	b.t.Helper()
	return b.events(key.Filter())
}

func kinds(events []event) string {
	var names []string
	for _, e := range events {
		names = append(names, string(e.kind))
	}
	return strings.Join(names, " ")
}

func (b *rig) deadLetters() []*jetstream.RawStreamMsg {
	b.t.Helper()
	return b.stored(publisher.DeadLetterStream, ">")
}

func billing(id string) publisher.Key { return publisher.NewKey("billing", id) }

// vendorFuncs wraps the vendor with functions before or after its calls.
type vendorFuncs struct {
	consumer.Vendor
	submit   func(ctx, waits context.Context, t vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error)
	find     func(ctx context.Context, t vendorapi.Task, since time.Time) (vendorapi.Found, error)
	capacity func(n int) (int, vendorapi.Cooldown)
}

func (v vendorFuncs) Submit(ctx, waits context.Context, t vendorapi.Task, permit vendorapi.Permit) (vendorapi.Job, int, error) {
	if v.submit == nil {
		return v.Vendor.Submit(ctx, waits, t, permit)
	}
	return v.submit(ctx, waits, t, permit)
}

func (v vendorFuncs) Find(ctx context.Context, t vendorapi.Task, since time.Time) (vendorapi.Found, error) {
	if v.find == nil {
		return v.Vendor.Find(ctx, t, since)
	}
	return v.find(ctx, t, since)
}

func (v vendorFuncs) Capacity(n int) (int, vendorapi.Cooldown) {
	if v.capacity == nil {
		return v.Vendor.Capacity(n)
	}
	return v.capacity(n)
}

// logBook keeps a worker's log.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if os.Getenv("BACKHAUL_TEST_LOG") != "" {
		_, _ = io.Writer(os.Stderr).Write(line)
	}
	return l.text.Write(line)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.text.String(), "(nothing)")
}
