package archiver

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.events(3)
	w := b.run()
	b.becomes(whole(3))
	b.acknowledged(3)
	b.events(5000) // several batches
	b.becomes(whole(5003))
	b.acknowledged(5003)
	waittest.Eventually(t, "state without lag", func() bool { s := w.State(); return s.Active && s.Lag == 0 && !s.Signed.IsZero() })
	if err := w.Ready(); err != nil {
		t.Error(err)
	}
}

var errGone = errors.New("the process is gone")

// A crash after each step of a batch: the next process neither repeats nor skips an event.
func TestACrashAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(b *bench, w *worker){
		"reset": func(b *bench, w *worker) { // it has read nothing
			w.kill()
		},
		"read": func(b *bench, w *worker) { // it has read a batch, and kept nothing of it
			b.shelf.failing(func(after bool) error { go w.nc.Close(); return errGone })
			b.events(5)
			waittest.Eventually(b, "closed connection", w.nc.IsClosed)
			w.kill()
		},
		"kept, unacknowledged": func(b *bench, w *worker) { // the batch is kept, and nobody was told
			b.shelf.failing(func(after bool) error {
				if after {
					w.nc.Close()
				}
				return nil
			})
			b.events(5)
			waittest.Eventually(b, "closed connection", w.nc.IsClosed)
			w.kill()
			if got := b.consumer().AckFloor.Stream; got != 3 {
				b.Errorf("event %d is acknowledged", got)
			}
		},
		"kept, unseen": func(b *bench, w *worker) { // it was kept, and the store's answer was lost
			b.shelf.failing(func(after bool) error {
				if after {
					go w.nc.Close()
					return errGone
				}
				return nil
			})
			b.events(5)
			waittest.Eventually(b, "closed connection", w.nc.IsClosed)
			w.kill()
		},
		"acknowledged": func(b *bench, w *worker) {
			b.events(5)
			b.becomes(whole(8))
			b.acknowledged(8)
			w.kill()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.events(3)
			w := b.run()
			b.becomes(whole(3))
			b.acknowledged(3)
			crash(b, w)
			b.shelf.failing(nil)
			b.events(4)
			b.run()
			b.becomes(whole(b.sent))
			b.acknowledged(uint64(b.sent))
		})
	}
}

// While the archive cannot be written, events stay in their stream, and readiness says why.
func TestAnArchiveThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	full := errors.New("write tile/entries/000.p/3: no space left on device")
	b.shelf.failing(func(bool) error { return full })
	w := b.run()
	b.events(3)
	waittest.Eventually(t, "error", func() bool { return errors.Is(w.Ready(), full) })
	b.events(3)
	if kept := b.shelf.kept(); len(kept) > 0 {
		t.Errorf("kept %q", kept)
	}
	b.shelf.failing(nil)
	b.becomes(whole(6))
	waittest.Eventually(t, "readiness", func() bool { return w.Ready() == nil })
}

// Two replicas: one archives, the other goes on when it is gone.
func TestTwoReplicas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.run()
	b.events(2)
	b.becomes(whole(2))
	second := b.run()
	waittest.Eventually(t, "replica that stands by", func() bool { return second.Ready() == nil })
	b.events(2)
	b.becomes(whole(4))
	if first.State().Active == second.State().Active {
		t.Error("both replicas archive, or none")
	}
	first.drain()
	b.events(2)
	b.becomes(whole(6))
	waittest.Eventually(t, "second replica", func() bool { return second.State().Active })
}

// Two replicas that both believe to be alone: the archive lets only one write.
func TestTwoReplicasAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.shelf.busy = true
	w := b.run()
	b.events(2)
	waittest.Eventually(t, "line about the other replica", func() bool { return strings.Contains(b.log.String(), "another replica archives") })
	if err := w.Ready(); err != nil {
		t.Errorf("a replica that stands by is not ready: %v", err)
	}
	(&opened{b.shelf}).Close()
	b.becomes(whole(2))
}

func TestTheServerRestarts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run()
	b.events(5)
	b.becomes(whole(5))
	b.nats.Stop()
	b.nats.Restart()
	waittest.Eventually(t, "connection", b.nc.IsConnected)
	b.events(5)
	b.becomes(whole(10))
}

// The place in the archive counts, not that of the consumer.
func TestAConsumerThatIsAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run().drain()
	b.events(5)
	c, err := b.js.Consumer(t.Context(), publisher.EventsStream, publisher.ArchiverConsumer)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(5)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		_ = msg.DoubleAck(t.Context())
	}
	b.run()
	b.becomes(whole(5))
}

// What the stream has lost is written down, and nothing else.
func TestAGap(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if s != nil {
			s.DenyDelete, s.DenyPurge = false, false
		}
	})
	b.events(3)
	events, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Purge(t.Context(), jetstream.WithPurgeSequence(3)); err != nil {
		t.Fatal(err)
	}
	w := b.run()
	want := append([]string{"stream 1", "gap 1-2"}, whole(3)[3:]...)
	b.becomes(want)
	w.drain()
	b.events(4)
	for _, sequence := range []uint64{4, 6} {
		if err := events.DeleteMsg(t.Context(), sequence); err != nil {
			t.Fatal(err)
		}
	}
	b.run()
	b.becomes(append(want, "gap 4-4", whole(5)[5], "gap 6-6", whole(7)[7]))
}

// A message with the headers of an answer of JetStream is archived like any other.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run()
	b.events(1)
	for _, header := range []nats.Header{{"Status": {"404"}}, {"Status": {"409"}, "Description": {"Consumer Deleted"}}, {"Nats-Pin-Id": {"x"}}} {
		b.sent++
		if _, err := b.js.PublishMsg(t.Context(), &nats.Msg{Subject: subjectOf(b.sent), Header: header}); err != nil {
			t.Fatal(err)
		}
	}
	b.events(1)
	b.becomes(whole(5))
}

// A message whose headers are none, which no client of ours writes, stops nothing: it is archived without
// them, also behind a gap and as the last one before a start.
func TestHeadersThatAreNone(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if s != nil {
			s.DenyDelete, s.DenyPurge = false, false
		}
	})
	bad := func() {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(b.nc.ConnectedUrl(), "nats://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		b.sent++
		fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB %s 14 16\r\nno headers at {}\r\nPING\r\n", subjectOf(b.sent))
		events, err := b.js.Stream(t.Context(), publisher.EventsStream)
		if err != nil {
			t.Fatal(err)
		}
		waittest.Eventually(t, "message", func() bool {
			info, err := events.Info(t.Context())
			return err == nil && info.State.LastSeq == uint64(b.sent)
		})
	}
	b.events(2)
	bad()
	events, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	w := b.run()
	want := []string{"stream 1", whole(1)[1], "gap 2-2", whole(3)[3]}
	b.becomes(want)
	w.drain()
	b.events(1)
	b.run()
	b.becomes(append(want, whole(4)[4]))
}

// A stream that is not the one of the archive is not archived without being told to.
func TestAnotherStream(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *bench){
		"made again":  func(b *bench) { b.shelf.place.Created = b.shelf.place.Created.Add(-time.Hour) },
		"shorter":     func(b *bench) { b.shelf.place.Next = 17 },
		"other times": func(b *bench) { b.shelf.last.Time = b.shelf.last.Time.Add(-time.Second) },
		"other subject": func(b *bench) {
			b.shelf.last.Subject = subjectOf(99)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.events(3)
			w := b.run()
			b.becomes(whole(3))
			w.drain()
			change(b)
			w = b.run()
			waittest.Eventually(t, "refusal", func() bool { _, ok := errors.AsType[*NewStreamError](w.Ready()); return ok })
			if err := w.Ready(); !strings.Contains(err.Error(), "--new-stream") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			b.becomes(whole(3))
			w.drain()
			b.events(1)
			b.run(func(c *Config) { c.NewStream = true })
			b.becomes(append(whole(3), whole(4)...))
		})
	}
}

// Checkpoints are published, but not because of those that were.
func TestSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.events(3)
	w := b.run(func(c *Config) { c.SealEvery = 50 * time.Millisecond })
	sealed := publisher.OperatorSubject(schemas.ActionSealed)
	b.becomes(append(whole(3), "4 "+sealed))
	w.drain()
	w = b.run(func(c *Config) { c.SealEvery = 50 * time.Millisecond })
	b.sent++ // the checkpoint's
	b.events(1)
	b.becomes(append(whole(3), "4 "+sealed, "5 "+subjectOf(5), "6 "+sealed))
	w.drain()
	msg, err := func() (*jetstream.RawStreamMsg, error) {
		events, err := b.js.Stream(t.Context(), publisher.EventsStream)
		if err != nil {
			return nil, err
		}
		return events.GetMsg(t.Context(), 6)
	}()
	if err != nil {
		t.Fatal(err)
	}
	e, err := schemas.DecodeOperatorEvent(msg.Data)
	if err != nil || e.Checkpoint.Log != "shelf" || e.Checkpoint.Next != 6 || e.Checkpoint.Size != 6 {
		t.Errorf("the event is %+v, %v", e, err)
	}
}

// A consumer that would leave events out is not read.
func TestAConsumerThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*jetstream.ConsumerConfig){
		"filter":     func(c *jetstream.ConsumerConfig) { c.FilterSubject = "backup.event.job-started.>" },
		"deliveries": func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 },
		"explicit":   func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckExplicitPolicy },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{T: t, nats: natstest.StartBare(t), shelf: &shelf{}, log: &waittest.Log{}}
			b.nc = b.nats.Connect(t)
			b.js = natstest.JetStream(t, b.nc)
			natstest.Provision(t, b.nc)
			natstest.ProvisionArchive(t, b.nc, func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { change(c) })
			b.events(2)
			w := b.run()
			waittest.Eventually(t, "refusal", func() bool {
				err := w.Ready()
				return err != nil && strings.Contains(err.Error(), "consumer archiver of BACKUP_EVENTS")
			})
			if kept := b.shelf.kept(); slices.Contains(kept, "stream 1") {
				t.Errorf("kept %q", kept)
			}
		})
	}
}
