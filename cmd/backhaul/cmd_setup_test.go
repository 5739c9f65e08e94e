package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest"
)

// A job that is started together with the servers waits for them.
func TestSetupWaits(t *testing.T) {
	t.Parallel()
	port := natstest.FixedPorts(t, 1)[0]
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	setup := programtest.StartCommand(t, exec.Command(programtest.Binary(t, "backhaul"), "setup", "--nats", url, "--wait", "1m"), nil)
	if code, _, stderr := programtest.Once(t, nil, "", "setup", "--nats", url, "--wait", "1s"); code != exitUnreachable {
		t.Errorf("without a server: exit code %d, %s", code, stderr)
	}
	programtest.Start(t, nil, "nats-server", "-a", "127.0.0.1", "-p", fmt.Sprint(port), "-js", "-sd", t.TempDir())
	if code := setup.ExitCode(); code != exitDone || !strings.Contains(setup.Output.String(), "created  BACKUP_REQUESTS/backhaul") {
		t.Errorf("exit code %d, %s", code, setup.Output)
	}
}
