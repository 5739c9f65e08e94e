package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
)

// hardServer is a server with users that are each missing something. Their password is p.
func hardServer(t *testing.T) (address string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "nats.conf")
	programtest.PutFile(t, conf, `jetstream {}
accounts {
  OFF { users: [ { user: core, password: p } ] }
  EMPTY { jetstream: enabled, users: [
    { user: looks, password: p, permissions: { publish: [ "$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.>" ], subscribe: "_INBOX.>" } }
    { user: billing, password: p, permissions: { publish: "backup.request.billing", subscribe: "_INBOX.>" } }
    { user: crm, password: p, permissions: { publish: "backup.request.crm", subscribe: "_INBOX.>" } }
    { user: prefixed, password: p, permissions: { publish: ">", subscribe: "_INBOX_prefixed.>" } }
  ] }
  READY { jetstream: enabled, users: [
    { user: ready, password: p }
    { user: knows, password: p, permissions: { publish: [ "backup.request.billing", "$JS.API.STREAM.INFO.*" ], subscribe: "_INBOX.>" } }
    { user: gets, password: p, permissions: { publish: [ "backup.request.billing", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*" ], subscribe: "_INBOX.>" } }
    { user: silent, password: p, permissions: { publish: { deny: "backup.event.>" } } }
  ] }
  TAKEN { jetstream: enabled, users: [
    { user: taken, password: p }
    { user: blind, password: p, permissions: { publish: { deny: "$JS.API.STREAM.NAMES" } } }
  ] }
}`)
	address = programtest.FreeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	programtest.Start(t, nil, "nats-server", "-c", conf, "-a", "127.0.0.1", "-p", port, "-sd", t.TempDir()).WaitFor(t, "Server is ready")
	return address
}

// An error names the cause and the way out, and nothing else.
// None of these waits as long as a question without an answer may.
func TestNATSErrors_nameTheCause(t *testing.T) {
	t.Parallel()
	address := hardServer(t)
	url := func(user string) string { return "nats://" + user + ":p@" + address }
	taken := programtest.Connect(t, url("taken"))
	if _, err := taken.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "AUDIT_ALL", Subjects: []string{"backup.event.>"}}); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := programtest.Once(t, []string{"BACKHAUL_NATS_URL=" + url("ready")}, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	const (
		request = "request --source billing --client-name c --subclient-name g --timeout 1s"
		inbox   = "subscribe to _INBOX.>, where its answers arrive: set the inbox prefix that is permitted (BACKHAUL_NATS_INBOX_PREFIX"
		notMade = "stream BACKUP_DLQ does not exist, and this NATS user may not make it; run `backhaul setup` as a user that may"
		overlap = "stream BACKUP_EVENTS cannot be made: stream AUDIT_ALL has its subject backup.event.> already; take the subject from AUDIT_ALL"
		account = "JetStream not enabled for account; enable it for the account of this user"
		noWrite = "nats: permissions violation: Permissions Violation for Publish to \"backup.request.billing\"; grant publish on backup.request.billing, or connect as a user that has it; then run the same command again"
	)
	t.Run("commands", func(t *testing.T) { // ends when all of them have
		for _, c := range []struct {
			user, command string
			code          int
			says, instead string
		}{
			{"prefixed", "check", exitUnreachable, inbox, "leader"},
			{"stranger", "check", exitUnreachable, "→ set credentials that the server accepts", "firewall"},
			{"stranger", "setup", exitUnreachable, "refuses this user", "out of reach"},
			{"prefixed", "run", exitFailed, inbox, "out of reach"},
			{"prefixed", "setup", exitFailed, inbox, "out of reach"},
			{"prefixed", "status", exitFailed, inbox, "out of reach"},
			{"prefixed", request, exitFailed, inbox, "again"},
			{"prefixed", "dlq replay 1", exitFailed, inbox, "out of reach"},
			{"prefixed", "pause", exitFailed, inbox, "out of reach"},
			{"crm", request, exitFailed, noWrite, "out of reach"},
			{"billing", request + " --wait", exitFailed, "grant publish on $JS.API.STREAM.INFO.BACKUP_EVENTS", "out of reach"},
			{"knows", request + " --wait", exitFailed, "or connect as a user that has it", "no outcome yet"},
			{"gets", request + " --wait", exitFailed, "grant publish on $JS.API.CONSUMER.CREATE.BACKUP_EVENTS.*, or connect as a user that has it", "no outcome yet"},
			{"billing", request, exitUnreachable, "no stream takes the subject: the stream does not exist (`backhaul setup` makes it) or has no leader", "permission"},
			{"looks", "setup", exitFailed, notMade, "canceled"},
			{"looks", "run", exitFailed, notMade, "again"},
			{"taken", "setup --trigger --wait 1m", exitFailed, overlap, "created"},
			{"silent", "pause", exitFailed, "record the operator's pause: not permitted to this NATS user: nats: permissions violation: Permissions Violation for Publish to \"backup.event.operator.pause\"; grant publish on backup.event.operator.*", "canceled"},
			{"looks", "dlq ls", exitFailed, "grant publish on $JS.API.CONSUMER.CREATE.BACKUP_DLQ.*.backup.dlq.*", "out of reach"},
			{"taken", "setup --trigger --wait 1m", exitFailed, overlap, "created"},
			{"taken", "run", exitFailed, overlap, "created"},
			{"core", "setup", exitUnreachable, account, "leader"},
			{"core", "status", exitUnreachable, account, "leader"},
			{"core", "check", exitUnreachable, "`jetstream: enabled` for the account of this user", "`nats stream report`"},
			{"core", request, exitUnreachable, "or JetStream is not enabled", "permission"},
		} {
			t.Run(c.user+" "+c.command, func(t *testing.T) {
				t.Parallel()
				env := programtest.ServiceEnv(url(c.user), "https://vendor.invalid/api")
				code, out, stderr := programtest.Once(t, env, "", strings.Fields(c.command)...)
				if all := out + stderr; code != c.code || !strings.Contains(all, c.says) || strings.Contains(all, c.instead) {
					t.Errorf("exit code %d, want %d with %q and without %q in\n%s", code, c.code, c.says, c.instead, all)
				}
			})
		}
	})
	for name := range taken.JS.StreamNames(t.Context()).Name() {
		if name != "AUDIT_ALL" {
			t.Errorf("%s was made although another stream has a subject of BACKUP_EVENTS", name)
		}
	}
	code, _, stderr := programtest.Once(t, []string{"BACKHAUL_NATS_URL=" + url("blind")}, "", "setup", "--wait", "1m")
	if code != exitFailed || !strings.Contains(stderr, "stream BACKUP_EVENTS cannot be made: another stream has its subject backup.event.> already; `nats stream ls --subject \"backup.event.>\"` names it") {
		t.Errorf("a user that may not ask for names: exit code %d, %s", code, stderr)
	}
}
