package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"backhaul/publisher/natstest"
)

// A job that is started together with the servers waits for them.
func TestSetupWaits(t *testing.T) {
	t.Parallel()
	port := natstest.FixedPorts(t, 1)[0]
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	setup := startCommand(t, exec.Command(binary(t, "backhaul"), "setup", "--nats", url, "--wait", "1m"), nil)
	if code, _, stderr := once(t, nil, "", "setup", "--nats", url, "--wait", "1s"); code != exitUnreachable {
		t.Errorf("without a server: exit code %d, %s", code, stderr)
	}
	start(t, nil, "nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-js", "-sd", t.TempDir())
	if code := setup.exitCode(); code != exitDone || !strings.Contains(setup.output.String(), "created  BACKUP_REQUESTS/backhaul") {
		t.Errorf("exit code %d, %s", code, setup.output)
	}
}
