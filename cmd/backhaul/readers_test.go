package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

// No command leaves a consumer behind: when it ends by itself, when it fails, when
// it is interrupted, and when its output is closed.
func TestNoCommandLeavesAConsumer(t *testing.T) {
	t.Parallel()
	url := programtest.NATSServer(t)
	sim := simulator.New(simulator.Config{World: programtest.World()})
	endpoint, stop, err := serveSimulator(t.Context(), sim, "127.0.0.1:0", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	env := programtest.ServiceEnv(url, endpoint)
	if code, _, stderr := programtest.Once(t, env, "", "setup", "--trigger", "--archive"); code != exitDone {
		t.Fatal(stderr)
	}
	c := programtest.Connect(t, url)
	c.KeepDeadLetters(5)
	programtest.Once(t, env, "", "dlq", "replay", "1", "--yes")
	archiveKey := filepath.Join(t.TempDir(), "archive.key")
	if code, _, stderr := programtest.Once(t, env, "", "archive", "keygen", "example.com/events", "-o", archiveKey); code != exitDone {
		t.Fatal(stderr)
	}
	env = append(env, "BACKHAUL_ARCHIVE_KEY_FILE="+archiveKey)
	file := filepath.Join(t.TempDir(), "routes.yaml")
	programtest.PutFile(t, file, "routes:\n- {container: invoices, clientName: c, subclientName: s}\n")
	objectives := programtest.InRepository(t, "deploy", "objectives.example.yaml")
	before := c.Consumers()
	unchanged := func(what string) {
		t.Helper()
		if after := c.Consumers(); !slices.Equal(before, after) {
			t.Errorf("%s: the consumers are %v, were %v", what, after, before)
			before = after
		}
	}
	// Each command with the arguments that make it read as much as it can.
	runs := map[string][]string{
		"backhaul":                  {""},
		"backhaul check":            {""},
		"backhaul setup":            {""},
		"backhaul migrate":          {"--from-store " + t.TempDir()},
		"backhaul recover":          {""},
		"backhaul request":          {"--client-name c --subclient-name g --dry-run", "--client-name c"},
		"backhaul cancel":           {"", "--all --dry-run", "--source billing --reason x --yes", "billing/letter-1 --reason x", "billing/none --reason x"},
		"backhaul requests":         {"", "--source billing --state failed -o wide", "--client-name c --since 2h -o json"},
		"backhaul events":           {"", "--last 3", "--limit 1", "--source billing", "--request-id letter-1", "--kind operator", "--kind protection --client-name c", "--since 2h --until 1h", "--last 0 --error-code 2"},
		"backhaul dlq":              {"", "nothing"},
		"backhaul dlq ls":           {"", "--source billing --limit 2", "--output json"},
		"backhaul dlq show":         {"1", "2", "999"},
		"backhaul dlq replay":       {"--all --dry-run", "1 2 3 --dry-run", "2 --yes", "999 --yes", "--all --limit 2 --yes"},
		"backhaul dlq drop":         {"--all --dry-run", "5 --yes", "5 --yes"},
		"backhaul pause":            {"--for 1h", "--source billing --for 1h"},
		"backhaul status":           {"", "letter-1", "billing/letter-2", "nothing", "--source billing seq-1"},
		"backhaul resume":           {"", "--source billing", "--group none"},
		"backhaul job":              {""},
		"backhaul job suspend":      {"1 --reason x"},
		"backhaul job resume":       {"1 --reason x"},
		"backhaul job kill":         {"1 --reason x --yes", "1 --reason x"},
		"backhaul policy":           {""},
		"backhaul policy check":     {file},
		"backhaul policy explain":   {file},
		"backhaul trigger check":    {"--routes " + file},
		"backhaul trigger explain":  {file + " --routes " + file},
		"backhaul trigger unrouted": {""},
		"backhaul trigger replay":   {file + " --routes " + file},
		"backhaul protection":       {"", "--at 1h", "--output json"},
		"backhaul protection check": {objectives},
		"backhaul schema":           {""},
		"backhaul schema ls":        {""},
		"backhaul schema asyncapi":  {""},
		"backhaul schema show":      {"backup-request"},
		"backhaul schema validate":  {file},
		"backhaul healthcheck":      {"--admin-addr 127.0.0.1:1"},
		"backhaul config":           {""},
		"backhaul config show":      {""},
		"backhaul config check":     {""},
		"backhaul version":          {""},
		"backhaul archive keygen":   {"example.com/events --out " + filepath.Join(t.TempDir(), "key")},
		"backhaul verify":           {t.TempDir() + " --archive-public-key " + archiveKey + ".pub"},
		"backhaul prove":            {"letter-1 --archive " + t.TempDir() + " --archive-public-key " + archiveKey + ".pub"},

		"backhaul nats-users": {filepath.Join(t.TempDir(), "users")},

		"backhaul protection report": {"--objectives-file " + objectives, "--output html --from 1h --objectives-file " + objectives},
	}
	// What these do is not over until they are interrupted.
	interrupted := map[string]struct{ args, says string }{
		"backhaul run":       {"", `"message":"reading requests"`},
		"backhaul archive":   {"--archive " + t.TempDir(), `"message":"keeping events"`},
		"backhaul trigger":   {"--routes " + file, `"message":"reading notifications"`},
		"backhaul simulator": {"--listen 127.0.0.1:0", "simulating Commvault"},
		"backhaul demo":      {"", "NATS JetStream"}, // with a server of its own
	}
	var paths []string
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		paths = append(paths, cmd.CommandPath())
		if _, ends := runs[cmd.CommandPath()]; ends == (interrupted[cmd.CommandPath()].says != "") {
			t.Errorf("%s is not in one of the tables of this test", cmd.CommandPath())
		}
	})
	words := func(path, args string) []string { return append(strings.Fields(path)[1:], strings.Fields(args)...) }
	for _, path := range paths {
		for _, args := range runs[path] {
			_, out, stderr := programtest.Once(t, env, "", words(path, args)...)
			unchanged(path + " " + args)
			if strings.Contains(stderr, "unknown flag") || strings.Contains(stderr, "err_code=10026") {
				t.Errorf("%s %s: %s%s", path, args, out, stderr)
			}
		}
	}
	follow := programtest.Start(t, env, "backhaul", "events", "--follow")
	follow.WaitFor(t, "letter-1")
	if len(c.Consumers()) != len(before)+1 {
		t.Errorf("events --follow has the consumers %v", c.Consumers())
	}
	follow.Signal(t, syscall.SIGINT)
	<-follow.Done
	unchanged("events --follow, interrupted")
	wait := programtest.Start(t, env, "backhaul", "request", "--client-name", "c", "--subclient-name", "g", "--request-id", "waits", "--wait")
	waittest.Eventually(t, "a reader", func() bool { return len(c.Consumers()) > len(before) })
	wait.Signal(t, syscall.SIGINT)
	<-wait.Done
	unchanged("request --wait, interrupted")
	wait = programtest.Start(t, env, "backhaul", "request", "--client-name", "c", "--subclient-name", "g", "--request-id", "waits", "--wait=finished")
	waittest.Eventually(t, "a reader", func() bool { return len(c.Consumers()) > len(before) })
	wait.Signal(t, syscall.SIGINT)
	<-wait.Done
	unchanged("request --wait=finished, interrupted")
	piped := programtest.StartCommand(t, exec.Command("sh", "-c", programtest.Binary(t, "backhaul")+" events --follow | head -1"), env)
	piped.WaitFor(t, "letter")
	written := 0
	waittest.Eventually(t, "the end of the reader, by one of the next writes", func() bool {
		key := publisher.NewKey("other", fmt.Sprint("o-", written))
		written++
		c.Publish(key.Subject(schemas.KindJobFailed), nats.Header{"ce-id": {key.EventID(schemas.KindJobFailed)}}, []byte(`{"requestId":"o","source":"other","clientName":"c","subclientName":"g","backupLevel":"FULL","errorCode":"1","errorMessage":"m","errorSource":"vendor","retryable":false,"attempts":1,"failedAt":"2026-11-23T10:00:00Z"}`))
		return len(c.Consumers()) <= len(before)
	})
	<-piped.Done
	unchanged("events --follow | head")
	for _, path := range paths {
		c := interrupted[path]
		if c.says == "" {
			continue
		}
		p := programtest.Start(t, env, "backhaul", words(path, c.args)...)
		p.WaitFor(t, c.says)
		p.Signal(t, syscall.SIGINT)
		<-p.Done
		unchanged(path + ", interrupted")
	}
}
