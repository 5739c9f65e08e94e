package batch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/batch"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// strictServer starts a server whose user "requester" may publish to allowed only.
func strictServer(t *testing.T, allowed ...string) (requester, admin *nats.Conn) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{
			{Username: "admin", Password: vendorPassword},
			{Username: "requester", Password: vendorPassword, Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: allowed}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	connect := func(user string) *nats.Conn {
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(user, vendorPassword), nats.ReconnectBufSize(-1),
			nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	admin = connect("admin")
	natstest.Provision(t, admin)
	return connect("requester"), admin
}

// A user that may only publish can send a batch without lookups.
func TestRun_WithPublishPermissionOnly(t *testing.T) {
	t.Parallel()
	nc, _ := strictServer(t, "backup.request.billing")
	set := batchOf(3)
	set.Wait, set.Resume = batch.WaitNothing, true
	rep := &recorder{}
	s, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, rep)
	if err != nil || s.Sent != 3 || !errors.Is(rep.unreadable, nats.ErrPermissionViolation) {
		t.Errorf("got %v, %v, unreadable: %v", s, err, rep.unreadable)
	}
	set.Wait = batch.WaitStarted
	if _, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, rep); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("waiting: %v", err)
	}
}

// Waiting needs exactly the permissions that the package doc lists.
func TestRun_NeedsTheListedPermissions(t *testing.T) {
	t.Parallel()
	nc, admin := strictServer(t, "backup.request.billing",
		"$JS.API.STREAM.INFO.BACKUP_EVENTS", "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS", "$JS.API.CONSUMER.CREATE.BACKUP_EVENTS.>",
		"$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.>", "$JS.API.CONSUMER.DELETE.BACKUP_EVENTS.>")
	pub, err := publisher.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	set := batchOf(3)
	done := false
	rep := &recorder{progress: func(s batch.Summary) {
		if done || s.Sent < 3 {
			return
		}
		done = true
		for _, req := range set.Requests {
			event := &schemas.JobStarted{Naming: req.Naming("billing"), Message: schemas.Message{PayloadHash: req.Hash()}, JobID: "1"}
			if _, err := pub.Append(t.Context(), publisher.NewKey("billing", req.RequestID), 0, event, ""); err != nil {
				t.Error(err)
			}
		}
	}}
	s, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, rep)
	if err != nil || !s.Succeeded() {
		t.Errorf("got %v, %v", s, err)
	}
	if err := nc.LastError(); err != nil {
		t.Error(err)
	}
}

// Without permission to create a consumer, Run returns the error at once.
func TestRun_ReportsDeniedReads(t *testing.T) {
	t.Parallel()
	nc, _ := strictServer(t, "backup.request.billing", "$JS.API.STREAM.>")
	set := batchOf(3)
	set.Timeout = time.Hour
	if s, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, &recorder{}); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("got %v, %v", s, err)
	}
}

// Without permission for the source, Run returns the error at once.
func TestRun_ReportsDeniedPublications(t *testing.T) {
	t.Parallel()
	nc, _ := strictServer(t, "backup.request.other", "$JS.API.>")
	set := batchOf(3)
	set.Timeout = time.Hour
	s, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, &recorder{})
	if !errors.Is(err, nats.ErrPermissionViolation) || s.NotSent != 3 {
		t.Errorf("got %v, %v", s, err)
	}
}

// Where no stream takes the requests, the reason is reported while they are tried again.
func TestRun_reportsWhyTheStreamDoesNotTakeARequest(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	set := batchOf(1)
	set.Wait, set.Timeout = batch.WaitNothing, time.Hour
	rep := &recorder{progress: func(batch.Summary) { cancel() }}
	if s, err := batch.Run(ctx, nc, natstest.JetStream(t, nc), set, rep); !errors.Is(err, context.Canceled) || s.NotSent != 1 {
		t.Errorf("got %v, %v", s, err)
	}
	if !errors.Is(rep.waiting, jetstream.ErrNoStreamResponse) {
		t.Errorf("the reason is %v", rep.waiting)
	}
}
