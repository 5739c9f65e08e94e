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
	"backhaul/cmd/internal/waittest"
	"backhaul/consumer/trigger"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// notification is what AWS S3 sends about an object in a bucket.
func notification(bucket string) []byte {
	return fmt.Appendf(nil, `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":"k"}}}]}`, bucket)
}

// A reader of one account can have the server store what was read on any subject, by
// naming it as the reply subject (TestRepliesAreNotChecked). A dead letter that is copied
// so starts no backup: neither the notification in an answer of STREAM.MSG.GET, nor the
// notification or the request that a consumer delivers as it was published.
func TestACopyStartsNoBackup(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, oneAccount)
	g.setUp()
	keep := func(user, source, subject, stream string, sequence uint64, data []byte) {
		t.Helper()
		pub, err := publisher.New(g.as(user))
		if err != nil {
			t.Fatal(err)
		}
		letter := publisher.DeadLetter{
			Subject: subject, Data: data, Key: publisher.SequenceKey(source, sequence, time.Now()), Stream: stream, Sequence: sequence,
			Code: schemas.CodeNotAllowed, Reason: "of the test",
		}
		if err := pub.DeadLetter(g.within(), letter); err != nil {
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

	routes, err := trigger.Parse("routes.yaml", []byte(`routes:
- {container: copied, clientName: copied, subclientName: copied, window: {quiet: 100ms}}
- {container: genuine, clientName: s-adhoc-object-storage, subclientName: stestgroup, storagePolicyName: default-plan, window: {quiet: 100ms}}
`))
	if err != nil {
		t.Fatal(err)
	}
	worker, err := trigger.New(g.within(), trigger.Config{}, g.as("trigger"), routes, nil, zerolog.Nop())
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
			(names.Source == "crm" || names.Source == publisher.NoSource): // what a consumer delivers keeps its subject
			invalid++
		case names.Source != "storage" || names.SubclientName != "stestgroup":
			t.Errorf("%s of %s: client %q, content group %q", e.Kind, names.Source, names.ClientName, names.SubclientName)
		}
		return nil
	})
	if err != nil || invalid != 2 {
		t.Errorf("%d copies ended as invalid requests, want 2; %v", invalid, err)
	}
	// The two letters, and one for each copy.
	if letters := g.messages(publisher.DeadLetterStream); letters != 6 {
		t.Errorf("%d dead letters, want 6", letters)
	}
}

// An event that a consumer delivers to a subject of the ledger keeps its own subject, its
// id and also what its writer expected: that no event, or another one, was the last of its
// key. That is not so any more, and the server refuses the copy: an old claim does not
// come back behind an outcome.
func TestACopiedEventIsRefused(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, oneAccount)
	g.setUp()
	g.request("billing", "done")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	vendor, run := g.service(ctx, simulator.Config{})
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	waittest.Eventually(t, "end of the work", func() bool { return g.messages(publisher.RequestsStream) == 0 })

	g.ask("backhaul", "backup.event.operator.first", "") // its writer expected nothing: it is copied
	events := g.messages(publisher.EventsStream)
	g.ask("reader", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.copy", `{"stream_name":"BACKUP_EVENTS","config":{"name":"copy","ack_policy":"none"}}`)
	reader := g.as("reader")
	for range events {
		if err := reader.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.copy", "backup.event.job-started.billing.x", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	// What was delivered before is stored or refused before this is.
	waittest.Eventually(t, "the deliveries", func() bool {
		answer := g.ask("reader", "$JS.API.CONSUMER.INFO.BACKUP_EVENTS.copy", "")
		return decode[jetstream.ConsumerInfo](t, answer.Data).NumPending == 0
	})
	g.ask("backhaul", "backup.event.operator.barrier", "")
	if now := g.messages(publisher.EventsStream); events < 3 || now != events+2 {
		t.Errorf("%d events became %d, want the copy that expects nothing, and the barrier", events, now)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if jobs := vendor.Account().JobsByMarker["backhaul:billing/done"]; len(jobs) != 1 {
		t.Errorf("jobs %v, want one", jobs)
	}
}
