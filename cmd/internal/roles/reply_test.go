package roles_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// A server does not check whether a client may publish on the reply subject that it names.
// Within one account, every user that may send a request to JetStream, if only to store a
// message, can make the server store the answer as an event. Between accounts, the answer
// goes to the account of the question. deploy/nats/README.md describes the consequences.
func TestServer_DoesNotCheckReplies(t *testing.T) {
	t.Parallel()
	for _, conf := range []string{oneAccount, separate} {
		t.Run(conf, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, conf)
			g.setUp()
			g.ask("backhaul", "backup.event.operator.first", "")
			api := "$JS.API."
			if conf == separate {
				api = "BACKUPJS.API."
			}
			for _, c := range []struct {
				user, subject, data, reply string
				into                       string
			}{
				{"billing", "backup.request.billing", `{}`, "backup.event.job-started.crm.victim", publisher.EventsStream},
				{"billing", "backup.request.billing", `{}`, "backup.dlq.crm", publisher.DeadLetterStream},
				{"store", "storage.event.minio", `{}`, "backup.event.job-started.crm.victim", publisher.EventsStream},
				{"store", "storage.event.minio", `{}`, "backup.request.crm", publisher.RequestsStream},
				{"auditor", api + "STREAM.MSG.GET.BACKUP_EVENTS", `{"seq":1}`, "backup.event.job-started.crm.victim", publisher.EventsStream},
				{"auditor", api + "CONSUMER.MSG.NEXT.BACKUP_EVENTS.audit", `1`, "backup.request.crm", publisher.RequestsStream},
			} {
				before := g.messages(c.into)
				nc := g.as(c.user)
				if err := nc.PublishRequest(c.subject, c.reply, []byte(c.data)); err != nil {
					t.Fatal(err)
				}
				if conf == oneAccount {
					waittest.Eventually(t, "answer of "+c.subject+" on "+c.reply, func() bool { return g.messages(c.into) == before+1 })
					continue
				}
				// Earlier answers are stored before this one.
				g.ask(c.user, c.subject, c.data)
				switch c.into {
				case publisher.EventsStream:
					g.ask("backhaul", "backup.event.operator.barrier", "")
				case publisher.DeadLetterStream:
					g.ask("backhaul", "backup.dlq.barrier", "")
				case publisher.RequestsStream:
					g.ask("billing", "backup.request.billing", "")
				}
				before++
				if now := g.messages(c.into); now != before {
					t.Errorf("%s had the answer of %s stored on %s", c.user, c.subject, c.reply)
				}
			}
		})
	}
}

// ask sends a request as a user and returns the answer.
func (g *guarded) ask(user, subject, data string) *nats.Msg {
	g.t.Helper()
	msg, err := g.as(user).RequestWithContext(g.within(), subject, []byte(data))
	if err != nil {
		g.t.Fatalf("%s asks %s: %v", user, subject, err)
	}
	return msg
}

// An answer that is stored in the ledger has no effect: the request with its id is executed.
func TestService_IgnoresAnAnswerInTheLedger(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, oneAccount)
	g.setUp()
	if err := g.as("billing").PublishRequest("backup.request.billing", "backup.event.job-started.crm.victim", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "answer in the ledger", func() bool { return g.messages(publisher.EventsStream) == 1 })
	g.request("crm", "victim")
	g.request("crm", "other")
	ctx, cancel := context.WithCancel(t.Context())
	vendor, run := g.service(ctx, simulator.Config{})
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	waittest.Eventually(t, "end of the work", func() bool { return g.messages(publisher.RequestsStream) == 0 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	jobs := vendor.Account().JobsByMarker
	if len(jobs["backhaul:crm/victim"]) != 1 || len(jobs["backhaul:crm/other"]) != 1 {
		t.Errorf("jobs %v", jobs)
	}
	rejected := 0
	err := eventlog.Read(g.within(), g.jetstream("reader"), eventlog.Query{}, func(e eventlog.Event) error {
		if e.Kind == schemas.KindRequestRejected && e.Data.Names().RequestID == "victim" {
			rejected++
		}
		return nil
	})
	if err != nil || rejected != 0 {
		t.Errorf("%d request-rejected events, %v; want none", rejected, err)
	}
}
