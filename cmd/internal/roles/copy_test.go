package roles_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/routes"
	"backhaul/consumer/trigger"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// notification returns a notification of AWS S3 about an object in a bucket.
func notification(bucket string) []byte {
	return fmt.Appendf(nil, `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":"k"}}}]}`, bucket)
}

// By naming any subject as the reply subject, a reader of the same account makes the server
// store there what it reads (TestServer_DoesNotCheckReplies). A dead letter that is copied in
// this way does not start a backup: neither a notification inside an answer of
// STREAM.MSG.GET, nor a notification or request as a consumer delivers it.
func TestService_IgnoresCopiedDeadLetters(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, oneAccount)
	g.setUp()
	keep := func(user, source, subject, stream string, sequence uint64, data []byte) {
		t.Helper()
		pub, err := publisher.New(g.as(user))
		if err != nil {
			t.Fatal(err)
		}
		dead := publisher.DeadLetter{
			Subject: subject, Data: data, Key: publisher.SequenceKey(source, sequence, time.Now()), Stream: stream, Sequence: sequence,
			Code: schemas.CodeNotAllowed, Reason: "of the test",
		}
		if err := pub.DeadLetter(g.within(), dead); err != nil {
			t.Fatal(err)
		}
	}
	keep("trigger", "storage", "storage.event.s3", publisher.StorageStream, 1, notification("copied"))
	keep("backhaul", "billing", "backup.request.billing", publisher.RequestsStream, 2, sample("denied").JSON())

	reader := g.as("reader")
	g.ask("reader", "$JS.API.CONSUMER.CREATE.BACKUP_DLQ.copy", `{"stream_name":"BACKUP_DLQ","config":{"name":"copy","ack_policy":"none"}}`)
	copies := []struct{ subject, question, reply, into string }{
		{"STREAM.MSG.GET.BACKUP_DLQ", `{"seq":1}`, "storage.event.x", publisher.StorageStream},
		{"CONSUMER.MSG.NEXT.BACKUP_DLQ.copy", `1`, "storage.event.x", publisher.StorageStream},
		{"STREAM.MSG.GET.BACKUP_DLQ", `{"seq":2}`, "backup.request.crm", publisher.RequestsStream},
		{"CONSUMER.MSG.NEXT.BACKUP_DLQ.copy", `1`, "backup.request.crm", publisher.RequestsStream},
	}
	for _, c := range copies {
		before := g.messages(c.into)
		if err := reader.PublishRequest("$JS.API."+c.subject, c.reply, []byte(c.question)); err != nil {
			t.Fatal(err)
		}
		waittest.Eventually(t, "copy on "+c.reply, func() bool { return g.messages(c.into) == before+1 })
	}
	if _, err := g.jetstream("store").Publish(g.within(), "storage.event.s3", notification("genuine")); err != nil {
		t.Fatal(err)
	}

	rs, err := routes.Parse("routes.yaml", []byte(`routes:
- {container: copied, clientName: copied, subclientName: copied, window: {quiet: 100ms}}
- {container: genuine, clientName: s-adhoc-object-storage, subclientName: stestgroup, storagePolicyName: default-plan, window: {quiet: 100ms}}
`))
	if err != nil {
		t.Fatal(err)
	}
	worker, err := trigger.New(g.within(), trigger.Config{}, g.as("trigger"), rs, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	vendor, run := g.service(ctx, simulator.Config{})
	var running sync.WaitGroup
	running.Go(func() { worker.Run(ctx) })
	running.Go(func() {
		if err := run(); err != nil {
			t.Error(err)
		}
	})
	waittest.Eventually(t, "end of the work", func() bool {
		return g.messages(publisher.StorageStream) == 0 && g.messages(publisher.RequestsStream) == 0
	})
	cancel()
	running.Wait()

	if jobs := vendor.Account().JobsByMarker; len(jobs) != 1 {
		t.Errorf("jobs %v, want the one of the genuine notification", jobs)
	}
	invalid := 0
	err = eventlog.Read(g.within(), g.jetstream("reader"), eventlog.Query{}, func(e eventlog.Event) error {
		names := e.Data.Names()
		failed, isFailed := e.Data.(*schemas.JobFailed)
		switch {
		case isFailed && failed.ErrorCode == schemas.CodeInvalidRequest && names.ClientName == "" &&
			(names.Source == "crm" || names.Source == publisher.NoSource): // a message that a consumer delivers keeps its subject
			invalid++
		case names.Source != "storage" || names.SubclientName != "stestgroup":
			t.Errorf("%s of %s: client %q, content group %q", e.Kind, names.Source, names.ClientName, names.SubclientName)
		}
		return nil
	})
	if err != nil || invalid != 2 {
		t.Errorf("%d copies ended as invalid requests, want 2; %v", invalid, err)
	}
	// The two original dead letters, and one for each copy.
	if n := g.messages(publisher.DeadLetterStream); n != 6 {
		t.Errorf("%d dead letters, want 6", n)
	}
}

// An event that a consumer delivers to a subject of the ledger keeps its subject, its id and
// its writer's expectation of the key's last sequence. That expectation no longer holds, so
// the server refuses the copy: an old claim cannot return after an outcome.
func TestServer_RefusesACopiedEvent(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, oneAccount)
	g.setUp()
	g.request("billing", "done")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	vendor, run := g.service(ctx, simulator.Config{})
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	waittest.Eventually(t, "end of the work", func() bool { return g.messages(publisher.RequestsStream) == 0 && g.followed() == 0 })

	g.ask("backhaul", "backup.event.operator.first", "") // without an expectation: it can be copied
	events := g.messages(publisher.EventsStream)
	g.ask("reader", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.copy", `{"stream_name":"BACKUP_EVENTS","config":{"name":"copy","ack_policy":"none"}}`)
	reader := g.as("reader")
	for range events {
		if err := reader.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.copy", "backup.event.job-started.billing.x", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	// Earlier deliveries are stored or refused before the barrier is stored.
	waittest.Eventually(t, "the deliveries", func() bool {
		answer := g.ask("reader", "$JS.API.CONSUMER.INFO.BACKUP_EVENTS.copy", "")
		return decode[jetstream.ConsumerInfo](t, answer.Data).NumPending == 0
	})
	g.ask("backhaul", "backup.event.operator.barrier", "")
	if now := g.messages(publisher.EventsStream); events < 3 || now != events+2 {
		t.Errorf("%d events became %d, want one copy and the barrier in addition", events, now)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if jobs := vendor.Account().JobsByMarker["backhaul:billing/done"]; len(jobs) != 1 {
		t.Errorf("jobs %v, want one", jobs)
	}
}
