package systemtest

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

func TestReadinessFollowsTheService(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	admin := programtest.AdminURL(t, s.Run)
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)

	// The durable is deleted: connected, but no request would be read.
	if err := s.JS.DeleteConsumer(t.Context(), "BACKUP_REQUESTS", "backhaul"); err != nil {
		t.Fatal(err)
	}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	if code, _, stderr := programtest.Once(t, s.Env, "", "setup"); code != programtest.ExitDone {
		t.Fatalf("setup: %d, %s", code, stderr)
	}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)

	// It drains: a request is under way, and no other is taken.
	s.Sim.Script(simulator.Fault{Kind: simulator.Slow, For: 2e9})
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("drain-1"))
	waittest.Eventually(t, "call at the vendor", func() bool { return s.Sim.Account().JobsStarted == 1 })
	s.Run.Signal(t, syscall.SIGTERM)
	waittest.Eventually(t, "an answer that it is stopping", func() bool {
		status, text := programtest.Probe(t, admin+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "stopping")
	})
	if status, _ := programtest.Probe(t, admin+"/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d while it drains, want 200", status)
	}
	if code := s.Run.ExitCode(); code != programtest.ExitDone {
		t.Errorf("exit code %d", code)
	}
	s.OneJob("drain-1")
	if status, _ := programtest.Probe(t, admin+"/livez"); status != 0 {
		t.Errorf("/livez answers %d after the end", status)
	}
}

// A vendor that is away makes no replica unready: all would be, and none less so.
func TestAVendorThatIsAwayIsACondition(t *testing.T) {
	t.Parallel()
	address := programtest.FreeAddress(t)
	url := programtest.NATSServer(t)
	s := &programtest.Service{Client: programtest.Connect(t, url), Env: append(programtest.ServiceEnv(url, "http://"+address+"/webconsole/api"), "BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	s.StartRun(t)
	admin := programtest.AdminURL(t, s.Run)
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("away-1"))
	var answer struct {
		Ready  bool
		Checks []struct {
			Name          string
			OK, Condition bool
			Error, Note   string
		}
	}
	waittest.Eventually(t, "a condition of the vendor", func() bool {
		_, text := programtest.Probe(t, admin+"/readyz?verbose")
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return len(answer.Checks) > 2 && !answer.Checks[2].OK
	})
	if vendor := answer.Checks[2]; vendor.Name != "vendor" || !vendor.Condition || !strings.Contains(vendor.Error, address) {
		t.Errorf("the vendor's check is %+v", vendor)
	}
	programtest.WaitForStatus(t, admin+"/readyz", http.StatusOK)
}

func TestAdminAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, endpoint := simulatortest.Start(t, simulator.Config{World: programtest.World()})
	address := listener.Addr().String()
	code, _, stderr := programtest.Once(t, programtest.ServiceEnv("", endpoint), "", "run", "--nats-listen", "127.0.0.1:0", "--admin-addr", address)
	if code != programtest.ExitUsage || !strings.Contains(stderr, "BACKHAUL_ADMIN_ADDR") || !strings.Contains(stderr, address) {
		t.Errorf("exit code %d, want %d with the setting and %s in\n%s", code, programtest.ExitUsage, address, stderr)
	}
}
