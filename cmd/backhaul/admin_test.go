package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// adminURL is the address that a process logged for its admin listener.
func adminURL(t *testing.T, p *process) string {
	t.Helper()
	return logged(t, p.output.String(), "admin")
}

// logged is the first value that a log has under a name.
func logged(t *testing.T, log, name string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil {
			if value, ok := entry[name].(string); ok && value != "" {
				return value
			}
		}
	}
	t.Fatalf("no %q in %s", name, log)
	return ""
}

// probe asks as a supervisor does. The status is 0 when nobody answers.
func probe(t *testing.T, url string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func waitForStatus(t *testing.T, url string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("status %d at %s", want, url), func() bool {
		status, _ := probe(t, url)
		return status == want
	})
}

func TestReadinessFollowsTheService(t *testing.T) {
	t.Parallel()
	s := startService(t, simulator.Config{})
	admin := adminURL(t, s.run)
	waitForStatus(t, admin+"/readyz", http.StatusOK)

	// The durable goes: connected, and yet no request would be read.
	if err := s.js.DeleteConsumer(t.Context(), "BACKUP_REQUESTS", "backhaul"); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, admin+"/readyz", http.StatusServiceUnavailable)
	if code, _, stderr := once(t, s.env, "", "setup"); code != exitDone {
		t.Fatalf("setup: %d, %s", code, stderr)
	}
	waitForStatus(t, admin+"/readyz", http.StatusOK)

	// It drains: a request is under way, and no other is taken.
	s.sim.Script(simulator.Fault{Kind: simulator.Slow, For: 2e9})
	s.publish("backup.request.billing", nil, sampleRequest("drain-1"))
	eventually(t, "call at the vendor", func() bool { return s.sim.Account().JobsStarted == 1 })
	s.run.signal(t, syscall.SIGTERM)
	eventually(t, "an answer that it is stopping", func() bool {
		status, text := probe(t, admin+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "stopping")
	})
	if status, _ := probe(t, admin+"/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d while it drains, want 200", status)
	}
	if code := s.run.exitCode(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	s.oneJob("drain-1")
	if status, _ := probe(t, admin+"/livez"); status != 0 {
		t.Errorf("/livez answers %d after the end", status)
	}
}

// A vendor that is away makes no replica unready: all would be, and none less so.
func TestAVendorThatIsAwayIsACondition(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	url := natsServer(t)
	s := &service{plainClient: connectPlainly(t, url), env: append(serviceEnv(url, "http://"+address+"/webconsole/api"), "BACKHAUL_VENDOR_RETRY_BUDGET=1s")}
	s.startRun(t)
	admin := adminURL(t, s.run)
	s.publish("backup.request.billing", nil, sampleRequest("away-1"))
	var answer struct {
		Ready  bool
		Checks []struct {
			Name          string
			OK, Condition bool
			Error         string
		}
	}
	eventually(t, "a condition of the vendor", func() bool {
		_, text := probe(t, admin+"/readyz?verbose")
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return len(answer.Checks) > 2 && !answer.Checks[2].OK
	})
	if vendor := answer.Checks[2]; vendor.Name != "vendor" || !vendor.Condition || !strings.Contains(vendor.Error, address) {
		t.Errorf("the vendor's check is %+v", vendor)
	}
	waitForStatus(t, admin+"/readyz", http.StatusOK)
}

func TestAdminAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	address := listener.Addr().String()
	code, _, stderr := once(t, serviceEnv("", endpoint), "", "run", "--nats-listen", "127.0.0.1:0", "--admin-addr", address)
	if code != exitUsage || !strings.Contains(stderr, "BACKHAUL_ADMIN_ADDR") || !strings.Contains(stderr, address) {
		t.Errorf("exit code %d, want %d with the setting and %s in\n%s", code, exitUsage, address, stderr)
	}
}
