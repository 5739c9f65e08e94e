package natsconn

import (
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Errors of a connection name their cause and the way out.
func TestConnect_errorsNameTheCause(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	known, unknown := newUser(t), newUser(t)
	nkeys := serve(t, known.nkeyServer())
	users := serve(t, server.Options{Username: "relay", Password: password})
	for name, c := range map[string]struct {
		env           map[string]string
		says, instead string
	}{
		"a refused connection": {map[string]string{"BACKHAUL_NATS_URL": "nats://" + closed}, "connection refused", "no servers available"},
		"two of them":          {map[string]string{"BACKHAUL_NATS_URL": "nats://" + closed + ",nats://" + closed}, "connection refused", "no servers available"},
		"an unknown nkey": {map[string]string{"BACKHAUL_NATS_URL": nkeys, "BACKHAUL_NATS_NKEY": file(t, "user.nk", unknown.seed)},
			"does not accept this user", "set one of"},
		"a wrong password": {map[string]string{"BACKHAUL_NATS_URL": users, "BACKHAUL_NATS_USER": "relay", "BACKHAUL_NATS_PASSWORD": "wrong"},
			"does not accept this user", "set one of"},
		"nobody": {map[string]string{"BACKHAUL_NATS_URL": users}, "set one of", "does not accept"},
	} {
		if _, err := try(t, c.env, password); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.instead) {
			t.Errorf("%s: %v, want %q and not %q", name, err, c.says, c.instead)
		}
	}
}
