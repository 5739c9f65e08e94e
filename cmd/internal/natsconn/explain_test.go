package natsconn_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// bareSetting matches the name of a setting that is not a flag.
var bareSetting = regexp.MustCompile(`(^|[^-])nats-(url|creds|nkey|user|ca|cert|key|tls-first)\b`)

// Errors of a connection name their cause and the way out.
func TestConnect_errorsNameTheCause(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	known, unknown, expired := newUser(t), newUser(t), newUserUntil(t, time.Now().Add(-time.Minute))
	pki, otherPKI := newPKI(t), newPKI(t)
	encrypted, mutual, first := serve(t, pki.server(t, false)), serve(t, pki.server(t, true)), serve(t, pki.firstServer(t))
	plain := serve(t, server.Options{})
	noInbox := serve(t, server.Options{Users: []*server.User{{Username: "relay", Password: password, Permissions: &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_relay.>"}},
	}}}})
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	nkeys := serve(t, known.nkeyServer())
	users := serve(t, server.Options{Username: "relay", Password: password})
	for name, c := range map[string]struct {
		env           map[string]string
		says, instead string
	}{
		"a refused connection": {map[string]string{"BACKHAUL_NATS_URL": "nats://" + closed}, "connection refused", "no servers available"},
		"two of them":          {map[string]string{"BACKHAUL_NATS_URL": "nats://" + closed + ",nats://" + closed}, "connection refused", "no servers available"},
		"an unknown nkey": {map[string]string{"BACKHAUL_NATS_URL": nkeys, "BACKHAUL_NATS_NKEY": file(t, "user.nk", unknown.seed)},
			"refuses this user: nats: Authorization Violation; compare its credentials", "out of reach"},
		"a wrong password": {map[string]string{"BACKHAUL_NATS_URL": users, "BACKHAUL_NATS_USER": "relay", "BACKHAUL_NATS_PASSWORD": "wrong"},
			"refuses this user: nats: Authorization Violation; compare its credentials with the server's configuration; they are those of BACKHAUL_NATS_USER", "out of reach"},
		"a wrong password of a context": {contextEnv(t, "prod", map[string]any{"url": users, "user": "relay", "password": "wrong"}),
			"they are those of context prod", "BACKHAUL_"},
		"expired credentials": {map[string]string{"BACKHAUL_NATS_URL": serve(t, expired.operatorServer(t)), "BACKHAUL_NATS_CREDS": file(t, "user.creds", expired.creds)},
			"have expired; issue new ones", "compare"},
		"an unknown authority":        {map[string]string{"BACKHAUL_NATS_URL": encrypted}, "set the CA of the server's certificate", "no servers"},
		"another authority":           {map[string]string{"BACKHAUL_NATS_URL": encrypted, "BACKHAUL_NATS_CA": otherPKI.ca}, otherPKI.ca + ", did not sign", "set the CA"},
		"another name":                {map[string]string{"BACKHAUL_NATS_URL": strings.Replace(encrypted, "127.0.0.1", "localhost", 1), "BACKHAUL_NATS_CA": pki.ca}, "use a name of the certificate", "no servers"},
		"no certificate":              {map[string]string{"BACKHAUL_NATS_URL": mutual, "BACKHAUL_NATS_CA": pki.ca}, "set BACKHAUL_NATS_CERT (--nats-cert) and BACKHAUL_NATS_KEY (--nats-key)", "no servers"},
		"TLS to a plain server":       {map[string]string{"BACKHAUL_NATS_URL": strings.Replace(plain, "nats://", "tls://", 1)}, "the server has no TLS: use nats://", "no servers"},
		"TLS first to a plain server": {map[string]string{"BACKHAUL_NATS_URL": plain, "BACKHAUL_NATS_TLS_FIRST": "true"}, "leave out BACKHAUL_NATS_TLS_FIRST (--nats-tls-first)", "no servers"},
		"plain to TLS first":          {map[string]string{"BACKHAUL_NATS_URL": first, "BACKHAUL_NATS_CA": pki.ca}, "set BACKHAUL_NATS_TLS_FIRST, --nats-tls-first", "no servers"},
		"a web server":                {map[string]string{"BACKHAUL_NATS_URL": strings.Replace(web.URL, "http://", "nats://", 1)}, "the client port of a NATS server", "no servers"},
		"an inbox that is not permitted": {map[string]string{"BACKHAUL_NATS_URL": noInbox, "BACKHAUL_NATS_USER": "relay", "BACKHAUL_NATS_PASSWORD": password},
			"subscribe to _INBOX.>, where its answers arrive: set the inbox prefix", "out of reach"},
		"nobody": {map[string]string{"BACKHAUL_NATS_URL": users}, "refuses this user: nats: Authorization Violation: no credentials are set; set BACKHAUL_NATS_CREDS (--nats-creds)", "out of reach"},
	} {
		_, err := try(t, c.env, password)
		if err != nil && bareSetting.MatchString(err.Error()) {
			t.Errorf("%s: %v names a setting without its flag and variable", name, err)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.instead) {
			t.Errorf("%s: %v, want %q and not %q", name, err, c.says, c.instead)
		}
	}
}
