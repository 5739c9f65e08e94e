package archiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is an archive in memory that several processes share. It keeps what it is told, and
// notes in which order.
type shelf struct {
	mu    sync.Mutex
	busy  bool // a process has it open
	lines []string
	place publisher.Place
	last  *jetstream.RawStreamMsg
	signs int64
	// fault, if not nil, is called before something is kept and after it was.
	fault func(after bool) error
}

func (s *shelf) open(context.Context) (Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		return nil, ErrOther
	}
	s.busy = true
	return &opened{s}, nil
}

func (s *shelf) kept() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

func (s *shelf) failing(fault func(after bool) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

type opened struct{ *shelf }

func (o *opened) Place() publisher.Place {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.place
}

func (o *opened) Last() *jetstream.RawStreamMsg {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

func (o *opened) Seal() schemas.Checkpoint {
	o.mu.Lock()
	defer o.mu.Unlock()
	return schemas.Checkpoint{Log: "shelf", Size: o.signs, Next: o.place.Next, Note: "note"}
}

func (o *opened) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy = false
}

func (o *opened) Append(ctx context.Context, begin *publisher.Place, messages []jetstream.RawStreamMsg) error {
	if err := o.trouble(false); err != nil {
		return err
	}
	o.mu.Lock()
	if begin != nil {
		o.lines, o.place = append(o.lines, fmt.Sprintf("stream %d", begin.Next)), *begin
	}
	for _, m := range messages {
		if m.Sequence < o.place.Next {
			continue
		}
		if m.Sequence > o.place.Next {
			o.lines = append(o.lines, fmt.Sprintf("gap %d-%d", o.place.Next, m.Sequence-1))
		}
		o.lines = append(o.lines, fmt.Sprintf("%d %s", m.Sequence, m.Subject))
		o.place.Next, o.last = m.Sequence+1, &m
	}
	o.signs = int64(len(o.lines))
	o.mu.Unlock()
	return errors.Join(o.trouble(true), context.Cause(ctx))
}

func (o *opened) trouble(after bool) error {
	o.mu.Lock()
	fault := o.fault
	o.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(after)
}

// bench is a server with the events stream and the archiver's consumer, and an archive.
type bench struct {
	*testing.T
	nats  *natstest.Server
	nc    *nats.Conn
	js    jetstream.JetStream
	shelf *shelf
	log   *waittest.Log
	sent  int
}

func newBench(t *testing.T, changes ...natstest.Change) *bench {
	t.Helper()
	b := &bench{T: t, nats: natstest.StartBare(t), shelf: &shelf{}, log: &waittest.Log{}}
	b.nc = b.nats.Connect(t)
	b.js = natstest.JetStream(t, b.nc)
	natstest.Provision(t, b.nc, changes...)
	natstest.ProvisionArchive(t, b.nc)
	return b
}

func subjectOf(n int) string { return fmt.Sprintf("backup.event.job-submitting.billing.r-%d", n) }

// events publishes more events.
func (b *bench) events(n int) {
	b.Helper()
	for i := range n {
		if i%200 == 199 {
			<-b.js.PublishAsyncComplete()
		}
		b.sent++
		if _, err := b.js.PublishAsync(subjectOf(b.sent), []byte("{}")); err != nil {
			b.Fatal(err)
		}
	}
	<-b.js.PublishAsyncComplete()
}

// worker is an archiver that runs.
type worker struct {
	*Archiver
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

func (b *bench) run(changes ...func(*Config)) *worker {
	b.Helper()
	cfg := Config{Open: b.shelf.open, Every: 20 * time.Millisecond, SealEvery: time.Hour}
	for _, change := range changes {
		change(&cfg)
	}
	nc := b.nats.Connect(b)
	a, err := New(cfg, nc, zerolog.New(b.log))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	w := &worker{Archiver: a, nc: nc, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		a.Run(ctx)
	}()
	b.Cleanup(func() {
		w.drain()
		if b.Failed() {
			b.Logf("log:\n%s", b.log)
		}
	})
	return w
}

// whole is what an archive must have of n events of [bench.events].
func whole(n int) []string {
	lines := []string{"stream 1"}
	for i := 1; i <= n; i++ {
		lines = append(lines, fmt.Sprintf("%d %s", i, subjectOf(i)))
	}
	return lines
}

// becomes waits until the archive has these lines, and no others.
func (b *bench) becomes(want []string) {
	b.Helper()
	waittest.Eventually(b, fmt.Sprintf("archive of %d lines", len(want)), func() bool { return len(b.shelf.kept()) >= len(want) })
	if got := b.shelf.kept(); !slices.Equal(got, want) {
		b.Fatalf("the archive is\n%q, want\n%q", got, want)
	}
}

// consumer returns the durable consumer.
func (b *bench) consumer() *jetstream.ConsumerInfo {
	b.Helper()
	c, err := b.js.Consumer(b.Context(), publisher.EventsStream, publisher.ArchiverConsumer)
	if err != nil {
		b.Fatal(err)
	}
	return c.CachedInfo()
}

func (b *bench) acknowledged(sequence uint64) {
	b.Helper()
	waittest.Eventually(b, fmt.Sprintf("acknowledgement of %d", sequence), func() bool { return b.consumer().AckFloor.Stream == sequence })
}
