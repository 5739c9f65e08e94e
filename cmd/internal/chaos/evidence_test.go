package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// chaosEvidence is what is observable of a run from outside.
type chaosEvidence struct {
	HideDescriptions bool
	Requests         []chaosRequest
	Published        map[string]publishing // by request id
	Events           []storedEvent         // by sequence
	DeadLetters      map[string]int        // by request id
	Cancels          map[string]cancel.Result
	CancelledTwice   []string // request ids
	Account          simulator.Account
	Starts           []startCall
	Stuck            []string
	Problems         []string       // programs that did not behave
	Log              map[string]int // of the replicas: "level message" -> lines
}

// storedEvent is one message of the events stream.
type storedEvent struct {
	Sequence uint64
	Stored   time.Time
	Source   string
	Key      string
	Event    schemas.Event
}

func (r *chaosRun) collect(ctx context.Context) chaosEvidence {
	r.t.Helper()
	e := chaosEvidence{
		HideDescriptions: r.plan.HideDescriptions, Requests: r.plan.requests, Published: r.upstream.published,
		DeadLetters: make(map[string]int), Account: r.vendor.Account(), Starts: r.vendor.startCalls(), Stuck: r.stuck,
	}
	for _, msg := range r.everything(ctx, publisher.EventsStream) {
		if _, byOperator := publisher.ParseOperatorSubject(msg.Subject()); !byOperator {
			e.Events = append(e.Events, r.read(msg))
		}
	}
	if r.operators != nil {
		e.Cancels, e.CancelledTwice = r.operators.told, r.operators.twice
	}
	for _, msg := range r.everything(ctx, publisher.DeadLetterStream) {
		e.DeadLetters[msg.Headers().Get(publisher.HeaderDeadLetterRequestID)]++
	}
	e.Log, e.Problems = r.readLogs()
	e.Problems = append(e.Problems, r.problems...)
	return e
}

// everything is every message of a stream. A node that has just come back may
// need another try.
func (r *chaosRun) everything(ctx context.Context, name string) []jetstream.Msg {
	r.t.Helper()
	var all []jetstream.Msg
	waittest.Eventually(r.t, "all messages of "+name, func() bool {
		var err error
		if all, err = r.readStream(ctx, name); err != nil {
			r.t.Logf("read %s: %v", name, err)
		}
		return err == nil
	})
	return all
}

func (r *chaosRun) readStream(ctx context.Context, name string) ([]jetstream.Msg, error) {
	stream, err := r.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	want := stream.CachedInfo().State.Msgs
	reader, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		return nil, err
	}
	var all []jetstream.Msg
	for uint64(len(all)) < want {
		batch, err := reader.Fetch(min(1000, int(want)-len(all)), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return nil, err
		}
		before := len(all)
		for msg := range batch.Messages() {
			all = append(all, msg)
		}
		if len(all) == before {
			return nil, fmt.Errorf("got %d of %d messages: %w", len(all), want, batch.Error())
		}
	}
	return all, nil
}

func (r *chaosRun) read(msg jetstream.Msg) storedEvent {
	r.t.Helper()
	meta, err := msg.Metadata()
	if err != nil {
		r.t.Fatal(err)
	}
	kind, key, _, err := publisher.ParseEventSubject(msg.Subject())
	if err != nil {
		r.t.Fatal(err)
	}
	event, err := schemas.DecodeEvent(kind, msg.Data())
	if err != nil {
		r.t.Fatal(err)
	}
	return storedEvent{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, Source: key.Source, Key: key.Name, Event: event}
}

// readLogs counts log lines of the replicas, and finds crashes.
func (r *chaosRun) readLogs() (counts map[string]int, problems []string) {
	r.t.Helper()
	counts = make(map[string]int)
	for _, p := range r.programs() {
		lives, exits := p.counts()
		for code, n := range exits {
			// A replica that cannot reach the broker when it starts says so and ends.
			if p == r.broker || code != programtest.ExitUnreachable && code != programtest.ExitFailed {
				problems = append(problems, fmt.Sprintf("%s ended by itself %d times in %d lives with exit code %d", p.name, n, lives, code))
			}
		}
		if p == r.broker {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.dir, p.name+".log"))
		if err != nil {
			r.t.Fatal(err)
		}
		for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
			line := scanner.Text()
			var entry struct{ Level, Message string }
			switch {
			case json.Unmarshal([]byte(line), &entry) == nil:
				counts[entry.Level+" "+entry.Message]++
			case strings.HasPrefix(line, "panic:"), strings.HasPrefix(line, "fatal error:"), strings.Contains(line, "DATA RACE"):
				problems = append(problems, p.name+": "+line)
			case strings.HasPrefix(line, "backhaul: "):
				counts["exit "+line]++
			}
		}
	}
	return counts, problems
}
