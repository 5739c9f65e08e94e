package migrate

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// embedded starts a server with the streams in a directory.
func embedded(t *testing.T, dir string) (*natsconn.Embedded, jetstream.JetStream) {
	t.Helper()
	server, err := natsconn.StartEmbedded(natsconn.EmbeddedOptions{Listen: "127.0.0.1:0", StoreDir: dir}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	js := natstest.JetStream(t, inProcess(t, server))
	if _, err := provision.Apply(t.Context(), js, 1, true); err != nil {
		t.Fatal(err)
	}
	return server, js
}

func inProcess(t *testing.T, server *natsconn.Embedded) *nats.Conn {
	t.Helper()
	nc, err := server.Connect("test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// opened returns a connection to the store that an earlier server left in dir.
func opened(t *testing.T, dir string) *nats.Conn {
	t.Helper()
	store, err := natsconn.OpenStore(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Stop)
	return inProcess(t, store)
}

// content returns all messages of a stream, after an entry for its last sequence.
func content(t *testing.T, js jetstream.JetStream, name string) []jetstream.RawStreamMsg {
	t.Helper()
	last := natstest.Stream(t, js, name).CachedInfo().State.LastSeq
	all := []jetstream.RawStreamMsg{{Sequence: last}} // compared even if the stream is empty
	for _, msg := range natstest.Stored(t, js, name, ">") {
		all = append(all, *msg)
	}
	return all
}

func plan(from, to *nats.Conn, results *[]Result) Plan {
	return Plan{From: from, To: to, Replicas: 1, Moved: func() error { return nil }, Done: func(r Result) { *results = append(*results, r) }}
}

func TestRun_MovesStreamsUnchanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, js := embedded(t, dir)
	publish := func(subject string, size int) {
		t.Helper()
		msg := &nats.Msg{Subject: subject, Header: nats.Header{"X-Team": {subject}, "Nats-Msg-Id": {fmt.Sprint(subject, size)}}, Data: make([]byte, size)}
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	// More than a chunk, and more than the window of chunks.
	for i := range 300 {
		publish(fmt.Sprintf("backup.event.job-started.billing.r-%d", i), 20_000+i)
	}
	for i := range 10 {
		publish(fmt.Sprintf("backup.request.source-%d", i), i)
	}
	publish("backup.dlq.billing", 5)
	queue, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	// 1, 2 and 4 are acknowledged, 3 and 5 are in flight, the others wait.
	batch, err := queue.Fetch(5)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if n := meta.Sequence.Stream; n == 1 || n == 2 || n == 4 {
			if err := msg.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := make(map[string][]jetstream.RawStreamMsg)
	for _, name := range []string{publisher.EventsStream, publisher.RequestsStream, publisher.DeadLetterStream} {
		want[name] = content(t, js, name)
	}
	server.Stop()

	from := opened(t, dir)
	target := natstest.StartBare(t)
	to := target.Connect(t)
	var results []Result
	if err := Run(t.Context(), plan(from, to, &results)); err != nil {
		t.Fatal(err)
	}
	if len(results) != 3 || results[0].Stream != publisher.EventsStream || results[2] != (Result{publisher.RequestsStream, 7, 3, 10, true}) {
		t.Errorf("results %+v, want the ledger first and the requests last", results)
	}
	// The streams survive a restart.
	target.Stop()
	target.Restart()
	there := natstest.JetStream(t, target.Connect(t))
	for name, messages := range want {
		if got := content(t, there, name); !reflect.DeepEqual(got, messages) {
			t.Errorf("%s: the %d messages differ from the %d before the move", name, len(got), len(messages))
		}
	}
	if _, err := provision.Apply(t.Context(), there, 1, false); err != nil {
		t.Errorf("after the move: %v", err)
	}
	// Requests in flight are delivered again, acknowledged ones are not.
	queue, err = there.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	var sequences []uint64
	for len(sequences) < 7 {
		batch, err := queue.Fetch(7 - len(sequences))
		if err != nil {
			t.Fatal(err)
		}
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			sequences = append(sequences, meta.Sequence.Stream)
			if err := msg.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if batch.Error() != nil {
			t.Fatal(batch.Error())
		}
	}
	slices.Sort(sequences)
	if want := []uint64{3, 5, 6, 7, 8, 9, 10}; !slices.Equal(sequences, want) {
		t.Errorf("delivered %v, want %v", sequences, want)
	}
}

// Notifications refer to decisions, and decisions to requests. Each stream is moved before
// those that refer to it, and unchanged.
func TestRun_MovesTheTrigger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, js := embedded(t, dir)
	if _, err := provision.ApplyTrigger(t.Context(), js, 1, true); err != nil {
		t.Fatal(err)
	}
	pub, err := publisher.New(js.Conn())
	if err != nil {
		t.Fatal(err)
	}
	var after uint64
	for n := range 20 { // of the windows only the last is kept
		if _, err := js.Publish(t.Context(), "storage.event.minio", make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if after, err = pub.RecordWindow(t.Context(), "group", after, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	queue, err := js.Consumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		msg, err := queue.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	own := []string{publisher.WindowsStream, publisher.StorageStream}
	want := make(map[string][]jetstream.RawStreamMsg)
	for _, name := range own {
		want[name] = content(t, js, name)
	}
	server.Stop()

	from, to := opened(t, dir), natstest.StartBare(t).Connect(t)
	there := natstest.JetStream(t, to)
	var results []Result
	moving := plan(from, to, &results)
	marks := 0
	moving.Moved = func() error {
		marks++
		for _, name := range []string{publisher.RequestsStream, publisher.StorageStream} {
			if _, err := there.Stream(t.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("%s exists before the store is marked: %v", name, err)
			}
		}
		return nil
	}
	if err := Run(t.Context(), moving); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range results {
		order = append(order, r.Stream)
	}
	if want := []string{"BACKUP_EVENTS", "BACKUP_DLQ", "STORAGE_WINDOWS", "BACKUP_REQUESTS", "STORAGE_EVENTS"}; !slices.Equal(order, want) || marks != 1 {
		t.Errorf("moved %v, want %v; marked %d times", order, want, marks)
	}
	if r := results[4]; r.Messages != 17 || r.LastSequence != 20 {
		t.Errorf("%+v, want the 17 notifications that are not acknowledged", r)
	}
	for _, name := range own {
		if got := content(t, there, name); !reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s: the %d messages differ from the %d before the move", name, len(got), len(want[name]))
		}
	}
	if _, err := provision.ApplyTrigger(t.Context(), there, 1, false); err != nil {
		t.Errorf("after the move: %v", err)
	}
	if info, err := there.Consumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer); err != nil || info.CachedInfo().AckFloor.Stream != 3 {
		t.Errorf("the consumer after the move: %+v, %v", info, err)
	}
}

// A server does not keep the time of a deleted last message: of an empty queue, or of one
// in which an earlier message still waits.
func TestRun_ComparesADeletedLastMessage(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]int{"none is left": 0, "the first is left": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server, js := embedded(t, dir)
			queue, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				if _, err := js.Publish(t.Context(), "backup.request.billing", []byte("{}")); err != nil {
					t.Fatal(err)
				}
				msg, err := queue.Next()
				if err != nil {
					t.Fatal(err)
				}
				if n < keep {
					continue
				}
				if err := msg.DoubleAck(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			server.Stop()
			from, target := opened(t, dir), natstest.StartBare(t)
			for run := range 2 {
				var results []Result
				if err := Run(t.Context(), plan(from, target.Connect(t), &results)); err != nil {
					t.Fatal(err)
				}
				if r := results[len(results)-1]; r.Moved != (run == 0) || r.Messages != uint64(keep) || r.LastSequence != 3 {
					t.Errorf("run %d: %+v, want %d messages up to 3", run, r, keep)
				}
				target.Stop()
				target.Restart()
			}
		})
	}
}

func TestRun_ContinuesARepeatedMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, js := embedded(t, dir)
	for _, subject := range []string{"backup.event.job-started.billing.r-1", "backup.request.billing"} {
		if _, err := js.Publish(t.Context(), subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	server.Stop()
	from, to := opened(t, dir), natstest.StartBare(t).Connect(t)

	var results []Result
	interrupted := plan(from, to, &results)
	interrupted.Moved = func() error { return errors.New("the disk is full") }
	if err := Run(t.Context(), interrupted); err == nil || err.Error() != "the disk is full" {
		t.Fatalf("got %v", err)
	}
	if _, err := natstest.JetStream(t, to).Stream(t.Context(), publisher.RequestsStream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the requests stream exists before the store is marked: %v", err)
	}
	for range 2 {
		results = nil
		if err := Run(t.Context(), plan(from, to, &results)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range results {
		if r.Moved {
			t.Errorf("%s was moved twice", r.Stream)
		}
	}
	// Once the target has received requests of its own, its queue is a different one.
	if _, err := natstest.JetStream(t, to).Publish(t.Context(), "backup.request.billing", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), plan(from, to, &results))
	if occupied, ok := errors.AsType[*OccupiedError](err); !ok || occupied.Empty || occupied.Stream != publisher.RequestsStream {
		t.Errorf("got %v", err)
	}
}

func TestRun_RefusesAnOccupiedTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, js := embedded(t, dir)
	if _, err := js.Publish(t.Context(), "backup.event.job-started.billing.r-1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	var results []Result
	err := Run(t.Context(), plan(opened(t, dir), natstest.Start(t).Connect(t), &results))
	if occupied, ok := errors.AsType[*OccupiedError](err); !ok || !occupied.Empty || len(results) != 0 {
		t.Errorf("streams made by setup: %v", err)
	}
}

func TestOpenStore_RefusesAUsedOrMissingStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, _ := embedded(t, dir)
	if _, err := natsconn.OpenStore(dir, zerolog.Nop()); err == nil {
		t.Error("OpenStore opened a store that a server uses")
	}
	server.Stop()
	for _, dir := range []string{t.TempDir(), dir + "/none"} {
		if _, err := natsconn.OpenStore(dir, zerolog.Nop()); err == nil {
			t.Errorf("OpenStore accepted %s, which is not a store", dir)
		}
	}
}

func TestCheckSkew(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		server time.Duration
		took   time.Duration
		ok     bool
	}{
		{0, 0, true}, {maxSkew, 0, true}, {-maxSkew, 0, true}, {time.Minute, time.Minute, true},
		{maxSkew + 1, 0, false}, {-maxSkew - 1, 0, false}, {time.Hour, time.Minute, false},
	} {
		err := checkSkew(now, now.Add(c.server), now.Add(c.took))
		if _, skewed := errors.AsType[*SkewError](err); skewed == c.ok {
			t.Errorf("%s apart after %s: %v", c.server, c.took, err)
		}
	}
}
