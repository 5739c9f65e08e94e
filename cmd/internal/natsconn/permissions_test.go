package natsconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

func TestWhatToGrant(t *testing.T) {
	for text, want := range map[string]string{
		`Publish to "backup.event.job-started.billing.r-1"`:                                        "publish on backup.event.>",
		`Publish to "backup.dlq.billing"`:                                                          "publish on backup.dlq.>",
		`Publish to "backup.request.billing"`:                                                      "publish on backup.request.billing",
		`Publish to "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul"`:                          "publish on $JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul",
		`Publish to "$JS.ACK.BACKUP_REQUESTS.backhaul.1.1.1.1795558907014316111.0"`:                "publish on $JS.ACK.BACKUP_REQUESTS.backhaul.>",
		`Publish to "$JS.ACK._.hash.BACKUP_REQUESTS.backhaul.1.1.1.179555890701.0"`:                "publish on $JS.ACK._.hash.BACKUP_REQUESTS.backhaul.>",
		`Publish to "$JS.ACK._.hash.BACKUP_REQUESTS.backhaul.1.1.1.179555890701.0.rand"`:           "publish on $JS.ACK._.hash.BACKUP_REQUESTS.backhaul.>",
		`Publish to "$JS.API.CONSUMER.CREATE.BACKUP_DLQ.reader-CWSVUGHM64T2UOTYV4D5.backup.dlq.*"`: "publish on $JS.API.CONSUMER.CREATE.BACKUP_DLQ.*.backup.dlq.*",
		`Publish to "backup.event.operator.pause"`:                                                 "publish on backup.event.operator.*",
		`Publish to "backup.protection.17"`:                                                        "publish on backup.protection.*",
		`Publish to "$JS.API.DIRECT.GET.BACKUP_PROTECTION.backup.protection.17"`:                   "publish on $JS.API.DIRECT.GET.BACKUP_PROTECTION.backup.protection.*",
		`Publish to "backup.event"`:                                                                "publish on backup.event",
		`Publish to "$JS.ACK"`:                                                                     "publish on $JS.ACK",
		`Publish to "$JS.ACK.x"`:                                                                   "publish on $JS.ACK.>",
		`Subscription to "_INBOX.abc.*"`:                                                           "subscribe to _INBOX.>, or set an inbox prefix that is permitted (BACKHAUL_NATS_INBOX_PREFIX)",
		`Subscription to "storage.state"`:                                                          "subscribe to storage.state",
		`Publish with Reply of "x"`:                                                                "what the error names",
	} {
		if got := grantFor("nats: permissions violation: Permissions Violation for " + text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// A violation counts as long as it lasts and is logged when it begins.
func TestViolations_beginAndEnd(t *testing.T) {
	var log bytes.Buffer
	now := time.Now()
	p := newPermissions(zerolog.New(&log))
	p.now = func() time.Time { return now }
	violate := func(subject string) {
		p.handle(nil, nil, fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, subject))
	}
	lines := func() int { return strings.Count(log.String(), "\n") }
	if err := p.Trouble(); err != nil {
		t.Errorf("at first: %v", err)
	}
	for i := range 10 { // another request each time, and half a minute later
		violate(fmt.Sprintf("backup.event.job-started.billing.r-%d", i))
		now = now.Add(violationLasts / 2)
	}
	if err := p.Trouble(); err == nil || !strings.Contains(err.Error(), "backup.event.>") || lines() != 1 {
		t.Errorf("while it goes on: %v, %d lines", err, lines())
	}
	now = now.Add(violationLasts / 2)
	if err := p.Trouble(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	violate("backup.event.job-started.billing.again")
	if err := p.Trouble(); err == nil || lines() != 2 {
		t.Errorf("when it begins anew: %v, %d lines", err, lines())
	}
	for range 40 {
		violate("backup.event.job-started.billing.long")
		now = now.Add(violationLasts / 2)
	}
	if lines() != 3 {
		t.Errorf("%d lines after twenty minutes, want a second one about it", lines())
	}
	now = now.Add(violationLasts)
	violate("$JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul")
	if err := p.Trouble(); err != nil || !strings.Contains(log.String(), `"level":"warn"`) {
		t.Errorf("an optional permission: %v", err)
	}
	// What has no answer is explained by it, and nothing else.
	violate(UserInfo)
	const grant = "not permitted by NATS; grant publish on $JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul"
	for err, want := range map[error]string{
		nats.ErrTimeout: "nats: timeout: " + grant, context.DeadlineExceeded: "context deadline exceeded: " + grant, nats.ErrConnectionClosed: "nats: connection closed",
	} {
		if got := p.Explain(err); got.Error() != want || !errors.Is(got, err) {
			t.Errorf("%v is explained as %q, want %q", err, got, want)
		}
	}
	now = now.Add(violationLasts)
	if got := p.Explain(nats.ErrTimeout); got.Error() != "nats: timeout" {
		t.Errorf("a minute later: %v", got)
	}
}

// A role that may not delete consumers costs nothing: the server deletes them.
func TestPermissions_handle_DeletingAConsumerIsOptional(t *testing.T) {
	var log bytes.Buffer
	p := newPermissions(zerolog.New(&log).Level(zerolog.InfoLevel))
	p.handle(nil, nil, fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.reader-x"))
	if err := p.Trouble(); err != nil || log.Len() > 0 {
		t.Errorf("trouble %v, log %s", err, &log)
	}
}
