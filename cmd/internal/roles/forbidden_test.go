package roles_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// forbidden is an action that must be denied to a user: publishing on a subject or
// subscribing to one.
type forbidden struct {
	user, what string
	subject    string
	subscribe  bool
}

var forbiddenActions = []forbidden{
	{"billing", "request a backup for another source", "backup.request.crm", false},
	{"billing", "request a backup before the other sources", "backup.request.billing.high", false},
	{"crm", "request a backup with a priority that it was not given", "backup.request.crm.low", false},
	{"billing", "write an event", "backup.event.job-started.billing.one", false},
	{"billing", "drop a dead letter", "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ", false},
	{"billing", "receive events as they are stored", "backup.event.>", true},
	{"billing", "read events", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x", false},
	{"billing", "look up an event", "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS", false},
	{"billing", "pull requests", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", false},
	{"billing", "acknowledge a request", "$JS.ACK.BACKUP_REQUESTS.backhaul.1.1.1.1.0", false},
	{"billing", "pause the queue", "$JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", false},
	{"billing", "read another source's acknowledgements", "_INBOX_crm.>", true},
	{"crm", "read all events", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x.backup.event.>", false},
	{"crm", "read another source's events", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x.backup.event.*.billing.>", false},
	{"crm", "read how content groups stand", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x.backup.event.protection.>", false},
	{"crm", "consume the auditor's events", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.audit", false},
	{"auditor", "request a backup", "backup.request.billing", false},
	{"auditor", "write an event", "backup.event.job-failed.billing.one", false},
	{"auditor", "pull requests", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", false},
	{"auditor", "acknowledge a request", "$JS.ACK.BACKUP_REQUESTS.backhaul.1.1.1.1.0", false},
	{"auditor", "delete an event", "$JS.API.STREAM.MSG.DELETE.BACKUP_EVENTS", false},
	{"auditor", "purge the events", "$JS.API.STREAM.PURGE.BACKUP_EVENTS", false},
	{"auditor", "create a consumer", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x", false},
	{"reader", "request a backup", "backup.request.billing", false},
	{"reader", "cancel a request", "backup.event.job-failed.billing.one", false},
	{"reader", "pause a scope", "backup.event.paused.scopes", false},
	{"reader", "write an operator's event", "backup.event.operator.pause", false},
	{"reader", "pause the queue", "$JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", false},
	{"reader", "drop a dead letter", "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ", false},
	{"reader", "delete the auditor's consumer", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.audit", false},
	{"reader", "consume the auditor's events", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.audit", false},
	{"reader", "take the jobs that are followed", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.follower", false},
	{"reader", "delete the follower's consumer", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.follower", false},
	{"protection", "read all events", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x.backup.event.>", false},
	{"protection", "look up an event", "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS", false},
	{"protection", "say that a group is protected", "backup.event.protection.0f", false},
	{"protection", "consume the auditor's events", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.audit", false},
	{"operator", "say that a group is protected", "backup.event.protection.0f", false},
	{"operator", "write a request's event", "backup.event.job-started.billing.one", false},
	{"operator", "end a request of an event with a token more", "backup.event.job-failed.billing.one.7", false},
	{"operator", "write on the filter of a request", "backup.event.operator.billing.one", false},
	{"operator", "delete an event", "$JS.API.STREAM.MSG.DELETE.BACKUP_EVENTS", false},
	{"operator", "delete a request", "$JS.API.STREAM.MSG.DELETE.BACKUP_REQUESTS", false},
	{"operator", "purge the dead letters", "$JS.API.STREAM.PURGE.BACKUP_DLQ", false},
	{"operator", "pull requests", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", false},
	{"backhaul", "create a stream", "$JS.API.STREAM.CREATE.BACKUP_EVENTS", false},
	{"backhaul", "change a stream", "$JS.API.STREAM.UPDATE.BACKUP_EVENTS", false},
	{"backhaul", "purge the events", "$JS.API.STREAM.PURGE.BACKUP_EVENTS", false},
	{"backhaul", "purge the dead letters", "$JS.API.STREAM.PURGE.BACKUP_DLQ", false},
	{"backhaul", "delete an event", "$JS.API.STREAM.MSG.DELETE.BACKUP_EVENTS", false},
	{"backhaul", "request a backup", "backup.request.billing", false},
	{"backhaul", "change the consumer of the followed jobs", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.follower.backup.event.job-started.>", false},
	{"backhaul", "change the consumer of the requests", "$JS.API.CONSUMER.CREATE.BACKUP_REQUESTS.backhaul", false},
	{"trigger", "request a backup for another source", "backup.request.billing", false},
	{"trigger", "write an event", "backup.event.job-started.storage.one", false},
	{"trigger", "pull requests", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", false},
	{"archiver", "write a request's event", "backup.event.job-started.billing.one", false},
	{"archiver", "write another operator's event", "backup.event.operator.pause", false},
	{"archiver", "create a consumer", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.x", false},
	{"archiver", "take the jobs that are followed", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.follower", false},
	{"archiver", "pull requests", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", false},
	{"archiver", "delete an event", "$JS.API.STREAM.MSG.DELETE.BACKUP_EVENTS", false},
	{"reader", "take the events that are archived", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.archiver", false},
	{"backhaul", "change the consumer of the archive", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.archiver", false},
	{"backhaul", "delete the consumer of the archive", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.archiver", false},
	{"crm", "take the events that are archived", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.archiver", false},
	{"crm", "delete the consumer of the archive", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.archiver", false},
	{"protection", "take the events that are archived", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.archiver", false},
	{"protection", "delete the consumer of the archive", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.archiver", false},
	{"operator", "take the events that are archived", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.archiver", false},
	{"operator", "delete the consumer of the archive", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.archiver", false},
	{"protection", "delete the follower's consumer", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.follower", false},
	{"store", "request a backup", "backup.request.storage", false},
	{"store", "read notifications", "$JS.API.CONSUMER.MSG.NEXT.STORAGE_EVENTS.trigger", false},
	{"provisioner", "delete the events' stream", "$JS.API.STREAM.DELETE.BACKUP_EVENTS", false},
	{"provisioner", "purge the requests", "$JS.API.STREAM.PURGE.BACKUP_REQUESTS", false},
	{"provisioner", "change a stream", "$JS.API.STREAM.UPDATE.BACKUP_EVENTS", false},
	{"provisioner", "pull requests", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", false},
	{"snapshot", "restore a stream", "$JS.API.STREAM.RESTORE.BACKUP_EVENTS", false},
	{"snapshot", "delete a stream", "$JS.API.STREAM.DELETE.BACKUP_EVENTS", false},
	{"admin", "request a backup", "backup.request.billing", false},
	{"admin", "write an event", "backup.event.job-started.billing.one", false},
	{"backhaul", "query the system account", "$SYS.REQ.SERVER.PING", false},
}

// tryForbidden tries every forbidden action and checks that the streams are unchanged.
func (g *guarded) tryForbidden(t *testing.T, lines *strings.Builder) {
	t.Helper()
	streams := []string{publisher.RequestsStream, publisher.EventsStream, publisher.DeadLetterStream, "STORAGE_EVENTS"}
	before := make(map[string]uint64)
	for _, stream := range streams {
		before[stream] = g.messages(stream)
	}
	for _, f := range forbiddenActions {
		if err := g.denies(f); err != nil {
			t.Errorf("%s: %s: %v", f.user, f.what, err)
		}
		verb := "publish on"
		if f.subscribe {
			verb = "subscribe to"
		}
		fmt.Fprintf(lines, "  %-11s  may not  %s: %s %s\n", f.user, f.what, verb, f.subject)
	}
	// The stream itself denies these to every user.
	events := natstest.Stream(t, g.jetstream("admin"), publisher.EventsStream)
	if events.Purge(g.within()) == nil || events.DeleteMsg(g.within(), 1) == nil {
		t.Error("an event can be purged or deleted")
	}
	fmt.Fprintf(lines, "  %-11s  cannot   purge the events or delete one: the stream denies it to all users\n", "admin")
	for _, stream := range streams {
		if now := g.messages(stream); now != before[stream] {
			t.Errorf("%s had %d messages, has %d", stream, before[stream], now)
		}
	}
}

// denies returns nil if the server denies the action.
func (g *guarded) denies(f forbidden) error {
	nc := g.as(f.user)
	kind := "publish"
	if f.subscribe {
		kind = "subscription"
		if _, err := nc.SubscribeSync(f.subject); err != nil {
			return err
		}
	} else if err := nc.Publish(f.subject, []byte(`{}`)); err != nil {
		return err
	}
	// The server answers in order, so a denial has arrived by then.
	if err := nc.Flush(); err != nil {
		return err
	}
	err := nc.LastError()
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(strings.ToLower(err.Error()), fmt.Sprintf("permissions violation for %s to %q", kind, strings.ToLower(f.subject))) {
		return errors.Join(errors.New("the server permits it"), err)
	}
	return nil
}
