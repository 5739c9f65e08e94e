package natsconn_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/natsconn"
)

// What may not be published is named, and nothing where it cannot be found out.
func TestGrants_Missing(t *testing.T) {
	t.Parallel()
	user := func(name string, allow ...string) *server.User {
		return &server.User{Username: name, Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: allow, Deny: []string{"backup.event.operator.job-kill"}}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}
	}
	url := serve(t, server.Options{Users: []*server.User{user("told", natsconn.UserInfo, "backup.event.>"), user("mute", "backup.event.>"), {Username: "free", Password: "p"}}})
	for name, want := range map[string][]string{
		"told": {"backup.event.operator.*", "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ"}, "mute": nil, "free": nil,
	} {
		nc, err := nats.Connect(url, nats.UserInfo(name, "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		g := natsconn.NewGrants(nc)
		got := g.Missing(t.Context(), "backup.event.job-failed.*.*", "backup.event.operator.*", "$JS.API.STREAM.MSG.DELETE.BACKUP_DLQ")
		if !slices.Equal(got, want) {
			t.Errorf("%s: missing %v, want %v", name, got, want)
		}
		// A question that is not answered is not repeated at each view.
		if asksAgain := g.Asks(); asksAgain != (name != "mute") {
			t.Errorf("%s: it asks again: %t", name, asksAgain)
		}
	}
}
