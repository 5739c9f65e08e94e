package programtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// sample is the vendor page's request as JSON, as another team would write it.
const sample = `{"requestId":"%s","clientName":"s-adhoc-object-storage","instanceName":"s-adhoc-object-storage",
 "backupsetName":"defaultBackupSet","subclientName":"stestgroup","storagePolicyName":"default-plan",
 "appName":"Cloud Apps","backupLevel":"INCREMENTAL","adHocBackup":true,
 "onDemandInputFile":"/sk/s-directive-file-blob.txt","labels":{"ticket":"CHG-17"}}`

// SampleRequest returns the sample with a request id.
func SampleRequest(id string) []byte { return fmt.Appendf(nil, sample, id) }

// World returns the simulator's world, whose user has [Password].
func World() *simulator.World {
	w := simulator.DefaultWorld()
	w.Users[0].Password = base64.StdEncoding.EncodeToString([]byte(Password))
	return w
}

// Service is a running `backhaul run` with all that belongs to it.
type Service struct {
	*Client
	Sim *simulator.Simulator
	Env []string
	Run *Process
}

// StartService starts the service against a nats-server and a simulated vendor with faults.
func StartService(t *testing.T, cfg simulator.Config, faults ...simulator.Fault) *Service {
	t.Helper()
	return StartServiceIn(t, nil, cfg, faults...)
}

// StartServiceIn is StartService with more settings in the environment.
func StartServiceIn(t *testing.T, env []string, cfg simulator.Config, faults ...simulator.Fault) *Service {
	t.Helper()
	cfg.World = World()
	sim, endpoint := simulatortest.Start(t, cfg)
	sim.Script(faults...)
	url := NATSServer(t)
	s := &Service{Client: Connect(t, url), Sim: sim, Env: append(ServiceEnv(url, endpoint), env...)}
	s.StartRun(t)
	return s
}

// StartRun starts `backhaul run`, once more if it runs already.
func (s *Service) StartRun(t *testing.T) {
	t.Helper()
	s.Run = Start(t, s.Env, "backhaul", "run")
	s.Run.WaitFor(t, "reading requests")
}

// Terminal returns the one terminal event of a request of billing.
func (s *Service) Terminal(key string) (subject string, event map[string]any) {
	s.T.Helper()
	return s.TerminalOf("billing", key)
}

// TerminalOf returns the one terminal event of a request.
func (s *Service) TerminalOf(source, key string) (subject string, event map[string]any) {
	s.T.Helper()
	var found []string
	for _, msg := range s.Stored(publisher.EventsStream, "backup.event.*."+source+"."+key) {
		if strings.Contains(msg.Subject(), "job-started") || strings.Contains(msg.Subject(), "job-failed") {
			found = append(found, msg.Subject())
			if err := json.Unmarshal(msg.Data(), &event); err != nil {
				s.T.Fatal(err)
			}
		}
	}
	if len(found) != 1 {
		s.T.Fatalf("terminal events of %s: %v, want one", key, found)
	}
	return found[0], event
}

// OneJob checks that the vendor has exactly one job for the request, and that it
// is the one that was announced.
func (s *Service) OneJob(id string) map[string]any {
	s.T.Helper()
	subject, event := s.Terminal(id)
	if want := "backup.event.job-started.billing." + id; subject != want {
		s.T.Fatalf("terminal event on %s (%v), want %s", subject, event, want)
	}
	jobs := s.Sim.Account().JobsByMarker["backhaul:billing/"+id]
	if len(jobs) != 1 || event["jobId"] != jobs[0] {
		s.T.Fatalf("announced job %v, jobs at the vendor %v: want one and the same", event["jobId"], jobs)
	}
	return event
}

// EmbeddedURL returns the address that a process logged for its server.
func EmbeddedURL(t *testing.T, p *Process) string {
	t.Helper()
	return Logged(t, p.Output.String(), "nats")
}

// ServiceEnv returns the environment of `backhaul run` against a server and a vendor.
func ServiceEnv(natsURL, endpoint string) []string {
	return []string{
		"BACKHAUL_NATS_URL=" + natsURL, "BACKHAUL_VENDOR_ENDPOINT=" + endpoint,
		"BACKHAUL_VENDOR_USERNAME=backhaul", "BACKHAUL_VENDOR_PASSWORD=" + Password,
		"BACKHAUL_VENDOR_TIMEOUT=5s", "BACKHAUL_VENDOR_VISIBILITY_WINDOW=2s",
		"BACKHAUL_ADMIN_ADDR=127.0.0.1:0", // there are others on this machine
	}
}

// StartEmbedded starts a service with an embedded NATS server.
func StartEmbedded(t *testing.T, cfg simulator.Config, env ...string) *Service {
	t.Helper()
	cfg.World = World()
	sim, endpoint := simulatortest.Start(t, cfg)
	s := &Service{Sim: sim, Env: append(ServiceEnv("", endpoint),
		append(env, "BACKHAUL_NATS_LISTEN=127.0.0.1:0", "BACKHAUL_STORE_DIR="+t.TempDir())...)}
	s.StartRun(t)
	s.Client = Connect(t, EmbeddedURL(t, s.Run))
	return s
}

// Metric returns the value of one series at the service's /metrics.
func Metric(t *testing.T, s *Service, series string) float64 {
	t.Helper()
	status, text := Probe(t, AdminURL(t, s.Run)+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, text)
	}
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (.*)$`).FindStringSubmatch(text)
	if line == nil {
		t.Fatalf("/metrics has no %s", series)
	}
	value, err := strconv.ParseFloat(line[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// BillingPolicy allows billing what [SampleRequest] asks for, and no other source anything.
const BillingPolicy = `sources:
  billing:
    allow:
      - clientName: [s-adhoc-object-storage]
        subclientName: [stestgroup, "load-*"]
        storagePolicyName: ["", default-plan]
        onDemandInputFile: ["", /sk/]
`

// SetAckWait changes the ack wait as an operator may: setup does not change it back.
func SetAckWait(t *testing.T, js jetstream.JetStream, wait time.Duration) {
	t.Helper()
	queue, err := js.Consumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := queue.CachedInfo().Config
	cfg.AckWait = wait
	if _, err := js.UpdateConsumer(t.Context(), publisher.RequestsStream, cfg); err != nil {
		t.Fatal(err)
	}
}
