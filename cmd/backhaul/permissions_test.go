package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

const permissionsFile = "../../deploy/nats/permissions.conf"

// guard is a separate nats-server with the shipped users, and their seeds.
type guard struct {
	address string
	seeds   string // a directory with <user>.nk
}

// guardedServer runs one whose role of the service lacks some lines.
func guardedServer(t *testing.T, without ...string) guard {
	t.Helper()
	dir := t.TempDir()
	var keys strings.Builder
	conf, err := os.ReadFile(permissionsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\$[A-Z]+_KEY`).FindAllString(string(conf), -1) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		seed, _ := pair.Seed()
		public, _ := pair.PublicKey()
		fmt.Fprintf(&keys, "%s: %s\n", name[1:], public)
		putFile(t, filepath.Join(dir, strings.ToLower(strings.TrimSuffix(name[1:], "_KEY"))+".nk"), string(seed))
	}
	roles, err := os.ReadFile(filepath.Join(filepath.Dir(permissionsFile), "roles.conf"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(roles)
	role := regexp.MustCompile(`(?s)\nBACKHAUL_ROLE \{.*?\n\}`).FindString(text)
	less := role
	for _, subject := range without {
		if !strings.Contains(role, `"`+subject+`"`) {
			t.Fatalf("the role has no %s", subject)
		}
		less = strings.Replace(less, `"`+subject+`"`, `"nothing"`, 1)
	}
	putFile(t, filepath.Join(dir, "roles.conf"), strings.Replace(text, role, less, 1))
	putFile(t, filepath.Join(dir, "keys.conf"), keys.String())
	putFile(t, filepath.Join(dir, "permissions.conf"), string(conf))
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	p := start(t, []string{fmt.Sprintf("NATS_STORE_DIR=%q", t.TempDir())},
		"nats-server", "-c", filepath.Join(dir, "permissions.conf"), "-a", "127.0.0.1", "-p", port)
	p.waitFor(t, "Server is ready")
	return guard{address: address, seeds: dir}
}

func putFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g guard) seed(user string) string { return filepath.Join(g.seeds, user+".nk") }

// as is the environment of a user of the shipped permissions.
func (g guard) as(user string) []string {
	return []string{"BACKHAUL_NATS_URL=nats://" + g.address, "BACKHAUL_NATS_NKEY=" + g.seed(user), "BACKHAUL_NATS_INBOX_PREFIX=_INBOX_" + user}
}

// guarded is a service with the shipped users, and billing's connection.
func guarded(t *testing.T, without ...string) *service {
	t.Helper()
	g := guardedServer(t, without...)
	if code, out, stderr := once(t, g.as("provisioner"), "", "setup"); code != exitDone || strings.Count(out, "created") != 5 {
		t.Fatalf("setup: exit code %d, %s%s", code, out, stderr)
	}
	sim, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	who, err := nats.NkeyOptionFromSeed(g.seed("billing"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+g.address, who, nats.CustomInboxPrefix("_INBOX_billing"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &service{
		plainClient: &plainClient{t: t, nc: nc, js: js}, sim: sim,
		env: append(serviceEnv("", endpoint), append(g.as("backhaul"), "BACKHAUL_NATS_PROVISION=false")...),
	}
}

// The service does all of its work with no more than the shipped permissions.
func TestRunWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.startRun(t)
	waitForStatus(t, adminURL(t, s.run)+"/readyz", http.StatusOK)
	s.sim.Script(
		simulator.Fault{Kind: simulator.TooManyRequests, For: 8e9}, // is passed on: PAUSE
		simulator.Fault{Kind: simulator.CutAfterStart},             // is looked for
		simulator.Fault{Kind: simulator.None},
	)
	s.publish("backup.request.billing", nil, sampleRequest("least-1"))
	s.run.waitFor(t, "paused for all replicas")
	s.publish("backup.request.billing", nil, sampleRequest("least-2"))
	s.publish("backup.request.billing", nil, sampleRequest("least-2"))                                                          // a duplicate: MSG.GET
	s.publish("backup.request.billing", nil, []byte(`{"requestId":"least-3","clientName":"c"}`))                                // a dead letter
	s.publish("backup.request.billing", nil, []byte(`{"clientName":"s-adhoc-object-storage","subclientName":"no-such-group"}`)) // refused
	s.run.waitFor(t, `"requestId":"least-1"`)
	eventually(t, "four outcomes", func() bool {
		log := s.run.output.String()
		return strings.Count(log, `"message":"job-started"`) == 2 && strings.Count(log, `"message":"job-failed"`) == 2
	})
	if code := s.run.stop(t); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(s.run.output.String(), "does not permit") {
		t.Error("something was not permitted")
	}
	for _, id := range []string{"least-1", "least-2"} {
		if jobs := s.sim.Account().JobsByMarker["backhaul:billing/"+id]; len(jobs) != 1 {
			t.Errorf("%s: jobs %v, want one", id, jobs)
		}
	}
}

// What is not permitted is said once, with what to grant, and makes the process
// unready if it cannot work without.
func TestWhatIsNotPermittedIsLoud(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		without string
		grant   string
		level   string
	}{
		"events":       {"backup.event.>", "publish on backup.event.>", "error"},
		"dead letters": {"backup.dlq.*", "publish on backup.dlq.>", "error"},
		"acks":         {"$JS.ACK.BACKUP_REQUESTS.backhaul.>", "publish on $JS.ACK.BACKUP_REQUESTS.backhaul.>", "error"},
		"pulls":        {"$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", "publish on $JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul", "error"},
		"a pause":      {"$JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", "publish on $JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul", "warn"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := guarded(t, c.without)
			s.startRun(t)
			admin := adminURL(t, s.run)
			s.sim.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 8e9})
			s.publish("backup.request.billing", nil, []byte(`{"clientName":"c"}`))
			s.publish("backup.request.billing", nil, sampleRequest("denied-1"))
			s.run.waitFor(t, `"grant":"`+c.grant+`"`)
			if c.level == "error" {
				eventually(t, "an answer that names the permission", func() bool {
					status, text := probe(t, admin+"/readyz")
					return status == http.StatusServiceUnavailable && strings.Contains(text, "nats: not permitted by NATS; grant "+c.grant)
				})
			} else if _, text := probe(t, admin+"/readyz?verbose"); strings.Contains(text, "not permitted") {
				t.Errorf("an optional permission makes it unready: %s", text)
			}
			s.run.signal(t, 15)
			s.run.exitCode()
			if lines := strings.Count(s.run.output.String(), "does not permit"); lines != 1 || !strings.Contains(s.run.output.String(), `{"level":"`+c.level+`","error":"nats: permissions violation`) {
				t.Errorf("%d lines about it, want one of level %s", lines, c.level)
			}
		})
	}
}

// A user who may not look at the streams learns what is missing, not that the
// server is slow.
func TestNotPermittedToLookAtTheStreams(t *testing.T) {
	t.Parallel()
	s := guarded(t, "$JS.API.STREAM.INFO.BACKUP_EVENTS")
	code, _, stderr := once(t, s.env, "", "run")
	if code != exitFailed || !strings.Contains(stderr, "grant publish on $JS.API.STREAM.INFO.BACKUP_EVENTS") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// With --provision=false nothing is made, and what is missing is named.
func TestWithoutProvisioning(t *testing.T) {
	t.Parallel()
	g := guardedServer(t)
	_, endpoint := simulatortest.Start(t, simulator.Config{World: world()})
	env := append(serviceEnv("", endpoint), g.as("backhaul")...)
	code, _, stderr := once(t, env, "", "run", "--provision=false")
	if code != exitFailed || !strings.Contains(stderr, "does not exist; run `backhaul setup`") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
