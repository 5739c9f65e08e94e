package batch_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/batch"
	"backhaul/publisher/natstest"
)

// strictServer is a server whose user "requester" may publish to allowed.
func strictServer(t *testing.T, allowed ...string) *nats.Conn {
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
	natstest.Provision(t, connect("admin"))
	return connect("requester")
}

// Who may only publish can send a batch, without the look-ups.
func TestARequesterMayOnlyPublish(t *testing.T) {
	t.Parallel()
	nc := strictServer(t, "backup.request.billing")
	set := batchOf(3)
	set.Wait, set.Resume = false, true
	rep := &recorder{}
	s, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, rep)
	if err != nil || s.Sent != 3 || !errors.Is(rep.unreadable, nats.ErrPermissionViolation) {
		t.Errorf("got %v, %v, unreadable: %v", s, err, rep.unreadable)
	}
	set.Wait = true
	if _, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, rep); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("waiting: %v", err)
	}
}

// A source that one may not use is an error, not a wait for a server.
func TestPublishingIsDenied(t *testing.T) {
	t.Parallel()
	nc := strictServer(t, "backup.request.other", "$JS.API.>")
	set := batchOf(3)
	set.Timeout = time.Hour
	s, err := batch.Run(t.Context(), nc, natstest.JetStream(t, nc), set, &recorder{})
	if !errors.Is(err, nats.ErrPermissionViolation) || s.NotSent != 3 {
		t.Errorf("got %v, %v", s, err)
	}
}
