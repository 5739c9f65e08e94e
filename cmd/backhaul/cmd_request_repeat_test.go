package main

import (
	"regexp"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/cmd/internal/waittest"
	"backhaul/publisher"
)

// idGiven is the way out that an error names.
var idGiven = regexp.MustCompile(`run the same command again with (--request-id) (cli-[a-z0-9]+) to go on`)

// A request by flags has a random id. Whatever ends the command, the error names the id,
// so that the repeated command is the same request.
func TestRequest_namesTheIDOfWhatIsNotConfirmed(t *testing.T) {
	t.Parallel()
	env := []string{"BACKHAUL_NATS_URL=" + programtest.NATSServer(t)}
	args := []string{"request", "--client-name", "s-adhoc-object-storage", "--subclient-name", "stestgroup"}
	code, _, stderr := programtest.Once(t, env, "", append(args, "--timeout", "300ms")...) // there is no stream
	way := idGiven.FindStringSubmatch(stderr)
	if code != exitUnreachable || way == nil || !strings.Contains(stderr, "1 of 1 requests are not confirmed") {
		t.Fatalf("no stream: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := programtest.Once(t, env, "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	if code, out, _ := programtest.Once(t, env, "", append(args, way[1:]...)...); code != exitDone || !strings.HasPrefix(out, "sent  cli/"+way[2]+"  ") {
		t.Errorf("again: exit code %d, %s", code, out)
	}
	code, _, stderr = programtest.Once(t, env, "", append(args, "--wait", "--timeout", "300ms")...)
	if code != exitFailed || !strings.Contains(stderr, "1 requests have no outcome yet: cli-") || !idGiven.MatchString(stderr) {
		t.Errorf("no outcome in time: exit code %d, %s", code, stderr)
	}
	waiting := programtest.Start(t, env, "backhaul", append(args, "--wait", "--request-id", "it's 7")...)
	waittest.Eventually(t, "the request in the stream", func() bool {
		_, out, _ := programtest.Once(t, env, "", "status", "--output", "json")
		return strings.Contains(out, `"waiting":3`)
	})
	waiting.Signal(t, syscall.SIGINT)
	if code := waiting.ExitCode(); code != exitInterrupted || !strings.Contains(waiting.Output.String(), `again with --request-id 'it'\''s 7' to go on`) {
		t.Errorf("interrupted: exit code %d, %s", code, waiting.Output)
	}
}

// Without the inbox prefix that its role permits, a user cannot receive the
// acknowledgement of what it publishes: nothing is published.
func TestRequest_withoutAnInboxPublishesNothing(t *testing.T) {
	t.Parallel()
	g := programtest.GuardedServer(t)
	if code, _, stderr := programtest.Once(t, g.As("provisioner"), "", "setup"); code != exitDone {
		t.Fatal(stderr)
	}
	env := g.As("billing")[:2]
	args := []string{"request", "--source", "billing", "--client-name", "c", "--subclient-name", "g", "--timeout", "1s"}
	code, out, stderr := programtest.Once(t, env, "", args...)
	if code != exitFailed || out != "" || !strings.Contains(stderr, "subscribe to _INBOX.>") || !strings.Contains(stderr, "BACKHAUL_NATS_INBOX_PREFIX") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	code, out, stderr = programtest.Once(t, append(env, "BACKHAUL_NATS_INBOX_PREFIX=_INBOX_billing"), "", args...)
	if code != exitDone || !strings.Contains(out, "sequence 1\n") {
		t.Errorf("with its prefix: exit code %d, %s%s, want the first message of %s", code, out, stderr, publisher.RequestsStream)
	}
}
