package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/secretstest"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

const password = "geheim-Ü-7f3a"

var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`127\.0\.0\.1(:\d+)?`), "HOST"},
	{regexp.MustCompile(`\d+ bytes`), "N bytes"},
	{regexp.MustCompile(`nats-server [0-9.]+`), "nats-server N"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\S+Z`), "TIME"},
}

// text is the findings as lines, without what differs from run to run.
func text(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s | %s | %s\n", f.Level, f.Check, f.What)
		if f.Level != OK && f.Level != Note && f.Fix == "" {
			fmt.Fprintf(&b, "  it does not say how to fix it\n")
		}
	}
	lines := b.String()
	for _, c := range changing {
		lines = c.pattern.ReplaceAllString(lines, c.with)
	}
	return lines
}

func want(t *testing.T, findings []Finding, lines ...string) {
	t.Helper()
	if got, want := strings.TrimSpace(text(findings)), strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// only is the findings of some checks.
func only(findings []Finding, checks ...string) (some []Finding) {
	for _, f := range findings {
		for _, check := range checks {
			if strings.HasPrefix(f.Check, check) {
				some = append(some, f)
				break
			}
		}
	}
	return some
}

func TestNATSAsShipped(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	findings := NATS(t.Context(), nc, natstest.JetStream(t, nc))
	want(t, findings,
		"ok | nats server | nats://HOST, nats-server N, max_payload 1048576",
		"note | nats sync_interval | cannot be seen by a client",
		"ok | jetstream | enabled, 5 streams, N bytes stored",
		"ok | storage | the server stores messages",
		"ok | stream BACKUP_DLQ | as shipped",
		"ok | stream BACKUP_EVENTS | as shipped",
		"ok | stream BACKUP_REQUESTS | as shipped",
		"ok | consumer BACKUP_REQUESTS/backhaul | as shipped",
		"ok | ledger | the one that the service knows",
		"ok | following | the consumer is as shipped",
		"ok | nats clock | within 2s",
		"ok | nats permissions | this user may publish everything in its account; a user with fewer permissions is safer",
	)
	if Failed(findings) || OutOfReach(findings) {
		t.Error("what is in order failed")
	}
}

func TestNATSDrift(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
		if s != nil && s.Name == publisher.EventsStream {
			s.MaxAge, s.AllowDirect = time.Hour, true
		}
		if c != nil {
			c.AckWait = time.Minute
		}
	}).Connect(t)
	js := natstest.JetStream(t, nc)
	if _, err := js.PauseConsumer(t.Context(), publisher.RequestsStream, publisher.RequestsConsumer, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	findings := NATS(t.Context(), nc, js)
	want(t, only(findings, "stream BACKUP_EVENTS", "consumer"),
		"error | stream BACKUP_EVENTS | max_age is 1h0m0s, must be 2160h0m0s",
		"error | stream BACKUP_EVENTS | allow_direct is true, must be false",
		"note | consumer BACKUP_REQUESTS/backhaul | ack_wait is 1m0s, is shipped as 2s",
	)
	if paused := only(findings, "queue"); len(paused) != 1 || paused[0].Level != Note || !strings.Contains(paused[0].What, "paused for") {
		t.Errorf("a paused queue: %+v", paused)
	}
	if !Failed(findings) {
		t.Error("drift that breaks a guarantee is no error")
	}
}

// A stream that refuses messages, or soon will, is named.
func TestNATSFullStreams(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if s != nil && (s.Name == publisher.EventsStream || s.Name == publisher.DeadLetterStream) {
			s.MaxMsgs, s.Discard = 10, jetstream.DiscardNew
		}
	}).Connect(t)
	js := natstest.JetStream(t, nc)
	for subject, n := range map[string]int{"backup.event.operator.pause": 10, "backup.dlq.billing": 9} {
		for range n {
			if _, err := js.Publish(t.Context(), subject, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := text(only(NATS(t.Context(), nc, js), "stream"))
	for _, line := range []string{
		"error | stream BACKUP_EVENTS | is full and refuses messages: 10 of max_msgs 10",
		"warning | stream BACKUP_DLQ | is nearly full: 9 of max_msgs 10",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

// Those of the trigger are looked at where there is one.
func TestNATSOfTheTrigger(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	look := func(lines ...string) {
		t.Helper()
		want(t, only(NATS(t.Context(), nc, js), "trigger", "stream STORAGE", "consumer STORAGE"), lines...)
	}
	look()
	natstest.ProvisionTrigger(t, nc)
	look("ok | stream STORAGE_EVENTS | as shipped", "ok | stream STORAGE_WINDOWS | as shipped", "ok | consumer STORAGE_EVENTS/trigger | as shipped")
	info := natstest.Stream(t, js, publisher.StorageStream)
	cfg := info.CachedInfo().Config
	cfg.Discard, cfg.MaxMsgs = jetstream.DiscardOld, 7
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), publisher.WindowsStream); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), publisher.StorageStream, publisher.StorageConsumer); err != nil {
		t.Fatal(err)
	}
	look("error | stream STORAGE_EVENTS | discard is DiscardOld, must be DiscardNew", "note | stream STORAGE_EVENTS | max_msgs is 7, is shipped as -1",
		"error | stream STORAGE_WINDOWS | does not exist", "error | consumer STORAGE_EVENTS/trigger | does not exist")
}

// Without the follower's consumer jobs are started all the same.
func TestNATSFollowing(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	durable, err := js.Consumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := durable.CachedInfo().Config
	cfg.MaxDeliver, cfg.AckWait = 5, time.Minute
	if _, err := js.UpdateConsumer(t.Context(), publisher.EventsStream, cfg); err != nil {
		t.Fatal(err)
	}
	want(t, only(NATS(t.Context(), nc, js), "following"),
		"warning | following | consumer BACKUP_EVENTS/follower: max_deliver is 5, must be -1",
		"note | following | consumer BACKUP_EVENTS/follower: ack_wait is 1m0s, is shipped as 30m0s")
	if err := js.DeleteConsumer(t.Context(), publisher.EventsStream, publisher.FollowerConsumer); err != nil {
		t.Fatal(err)
	}
	want(t, only(NATS(t.Context(), nc, js), "following"),
		"warning | following | consumer BACKUP_EVENTS/follower does not exist: started jobs are not followed to their end")
}

func TestNATSWithoutStreams(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	js := natstest.JetStream(t, nc)
	findings := NATS(t.Context(), nc, js)
	want(t, only(findings, "stream", "consumer"),
		"error | stream BACKUP_DLQ | does not exist",
		"error | stream BACKUP_EVENTS | does not exist",
		"error | stream BACKUP_REQUESTS | does not exist",
		"error | consumer BACKUP_REQUESTS/backhaul | does not exist",
	)
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("the check has made %s", name)
	}
	if past := LastJob(t.Context(), js); past != nil {
		t.Errorf("a job of nobody: %+v", past)
	}
	if unmatched := LastMismatch(t.Context(), js); unmatched != nil {
		t.Errorf("a request of nobody: %+v", unmatched)
	}
}

// configured runs a server with a configuration file's text.
func configured(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "host: 127.0.0.1\nport: -1\n%s", strings.ReplaceAll(text, "STORE", t.TempDir())), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	srv, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return srv.ClientURL()
}

func connect(t *testing.T, url, user string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserInfo(user, "p"), nats.CustomInboxPrefix("_INBOX_"+user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, natstest.JetStream(t, nc)
}

// run is what a service needs at least.
const run = `"backup.event.>", "backup.dlq.*", "$JS.ACK.BACKUP_REQUESTS.backhaul.>",
	"$JS.API.CONSUMER.INFO.BACKUP_REQUESTS.backhaul", "$JS.API.CONSUMER.MSG.NEXT.BACKUP_REQUESTS.backhaul",
	"$JS.API.STREAM.INFO.BACKUP_REQUESTS", "$JS.API.STREAM.INFO.BACKUP_EVENTS", "$JS.API.STREAM.INFO.BACKUP_DLQ",
	"$JS.API.STREAM.MSG.GET.BACKUP_REQUESTS", "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS"`

func TestNATSPermissions(t *testing.T) {
	t.Parallel()
	url := configured(t, `jetstream { store_dir: "STORE" }
accounts { B { jetstream: enabled, users: [
  { user: admin, password: p }
  { user: told, password: p, permissions: { publish: { allow: [ `+run+`, "$SYS.REQ.USER.INFO" ] }, subscribe: "_INBOX_told.>" } }
  { user: mute, password: p, permissions: { publish: { allow: [ `+run+` ] }, subscribe: "_INBOX_mute.>" } }
  { user: poor, password: p, permissions: { publish: { allow: [ "$SYS.REQ.USER.INFO", "$JS.API.>" ], deny: "$JS.API.CONSUMER.>" }, subscribe: "_INBOX_poor.>" } }
] } }`)
	admin, _ := connect(t, url, "admin")
	natstest.Provision(t, admin)

	nc, js := connect(t, url, "told")
	want(t, only(NATS(t.Context(), nc, js), "jetstream", "stream", "consumer", "nats permissions"),
		"note | jetstream | the limits of the account cannot be known: this user may not ask for $JS.API.INFO",
		"ok | stream BACKUP_DLQ | as shipped",
		"ok | stream BACKUP_EVENTS | as shipped",
		"ok | stream BACKUP_REQUESTS | as shipped",
		"ok | consumer BACKUP_REQUESTS/backhaul | as shipped",
		"warning | nats permissions | this user may not publish on backup.mark: a ledger that is lost while no replica runs is not noticed",
		"warning | nats permissions | this user may not publish on $JS.API.STREAM.INFO.BACKUP_MARK: a ledger that is lost while no replica runs is not noticed",
		"warning | nats permissions | this user may not publish on $JS.API.STREAM.MSG.GET.BACKUP_MARK: a ledger that is lost while no replica runs is not noticed",
		"warning | nats permissions | this user may not publish on $JS.API.CONSUMER.INFO.BACKUP_EVENTS.follower: started jobs are not followed to their end",
		"warning | nats permissions | this user may not publish on $JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.follower: started jobs are not followed to their end",
		"warning | nats permissions | this user may not publish on $JS.API.CONSUMER.RESET.BACKUP_EVENTS.follower: started jobs are not followed to their end",
		"warning | nats permissions | this user may not publish on $JS.ACK.BACKUP_EVENTS.follower.>: started jobs are not followed to their end",
		"warning | nats permissions | this user may not publish on backup.follower.state: `backhaul status` does not show the jobs that are followed",
		"warning | nats permissions | this user may not publish on $JS.API.STREAM.INFO.BACKUP_PROTECTION: with objectives, every event is read at each start",
		"warning | nats permissions | this user may not publish on backup.protection.*: with objectives, every event is read at each start",
		"warning | nats permissions | this user may not publish on $JS.API.DIRECT.GET.BACKUP_PROTECTION.backup.protection.*: with objectives, every event is read at each start",
		"warning | nats permissions | this user may not publish on $JS.API.CONSUMER.PAUSE.BACKUP_REQUESTS.backhaul: each replica meets the vendor's pause by itself",
		"warning | nats permissions | this user may not publish on $JS.API.STREAM.MSG.DELETE.BACKUP_REQUESTS: a request that the server forgot stays in the stream after its outcome",
		"warning | nats permissions | this user may not publish on $JS.API.STREAM.MSG.DELETE.BACKUP_DLQ: dead letters cannot be dropped from the page",
	)
	if f := only(NATS(t.Context(), nc, js), "trigger"); len(f) != 1 || f[0].Level != Note || !strings.Contains(f[0].What, publisher.StorageStream) {
		t.Errorf("a trigger that may not be looked at: %s", text(f))
	}
	nc, js = connect(t, url, "mute")
	want(t, only(NATS(t.Context(), nc, js), "nats permissions"),
		"note | nats permissions | cannot be known: this user may not ask for $SYS.REQ.USER.INFO")
	nc, js = connect(t, url, "poor")
	findings := NATS(t.Context(), nc, js)
	if errs := only(findings, "nats permissions"); len(errs) != 13 || errs[0].Level != Error || !strings.Contains(errs[0].What, "backup.event.>") {
		t.Errorf("a user who may do little: %s", text(errs))
	}
	if streams := only(findings, "streams"); len(streams) != 1 || streams[0].Level != Error || !strings.Contains(streams[0].What, "not permitted") {
		t.Errorf("a consumer that may not be looked at: %s", text(findings))
	}
	// Nothing was published to find this out.
	if info, err := natstest.JetStream(t, admin).Stream(t.Context(), publisher.EventsStream); err != nil || info.CachedInfo().State.Msgs != 0 {
		t.Errorf("%v, or an event was published", err)
	}
}

func TestWithoutJetStream(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]string{
		"the server":  `authorization { user: u, password: p }`,
		"the account": `jetstream { store_dir: "STORE" }, accounts { A { users: [ { user: u, password: p } ] }, B { jetstream: enabled } }`,
	} {
		nc, js := connect(t, configured(t, conf), "u")
		for _, f := range only(NATS(t.Context(), nc, js), "jetstream", "streams") {
			if f.Level != Error || !strings.HasPrefix(f.Fix, "enable JetStream: ") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][2]int{"2.15.2": {2, 15}, "2.9.0-beta.1": {2, 9}, "3.0": {3, 0}, "": {0, 0}, "dev": {0, 0}} {
		if major, minor := versionOf(version); [2]int{major, minor} != want {
			t.Errorf("%q is %d.%d", version, major, minor)
		}
	}
}

func client(t *testing.T, endpoint, secret string) *vendorapi.Client {
	t.Helper()
	c, err := vendorapi.New(vendorapi.Config{Endpoint: endpoint, Timeout: 5 * time.Second, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return vendorapi.Secret(secret), nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(t.Context()) })
	return c
}

func TestVendorInOrder(t *testing.T) {
	t.Parallel()
	sim, endpoint := simulatortest.Start(t, simulator.Config{})
	c := client(t, endpoint, "simulator")
	way := []string{
		"ok | vendor DNS | HOST is HOST", "ok | vendor TCP | connected to HOST", "ok | vendor HTTP | GET http://HOST/webconsole/api: 200",
		"ok | vendor clock | within 2s", "ok | vendor login | accepted",
		"ok | vendor job list | can be read: a job whose answer was lost can be found",
	}
	want(t, Vendor(t.Context(), c, nil, nil), append(way,
		"note | vendor job description | cannot be known before a job was started",
		"note | vendor permission to start jobs | cannot be known without starting a job")...)
	if a := sim.Account(); a.CreateTaskCalls != 0 || a.Logins != 1 {
		t.Errorf("%d calls of CreateTask and %d logins", a.CreateTaskCalls, a.Logins)
	}

	key := publisher.NewKey("billing", "inv-7")
	job, err := c.CreateTask(t.Context(), vendorapi.Task{Marker: key.Marker(), BackupRequest: schemas.BackupRequest{
		ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage", BackupsetName: "defaultBackupSet", SubclientName: "stestgroup",
		AppName: schemas.DefaultAppName, BackupLevel: schemas.LevelIncremental,
	}})
	if err != nil {
		t.Fatal(err)
	}
	past := &Past{Key: key, Event: &schemas.JobStarted{JobID: job.ID, StartedAt: time.Now()}}
	want(t, Vendor(t.Context(), c, past, nil), append(way,
		"ok | vendor job description | job 5976 shows the one that it was started with",
		"ok | vendor permission to start jobs | job 5976 was started at TIME")...)
	sim.ScriptFor("TaskDetails", simulator.Fault{Kind: simulator.Status, Status: 404})
	if f := pastJob(t.Context(), client(t, endpoint, "simulator"), past); f.Level != Warning || !strings.Contains(f.What, "is not shown") || !strings.Contains(f.Fix, "view task details") {
		t.Errorf("a hidden description: %+v", f)
	}
	gone := &Past{Key: key, Event: &schemas.JobStarted{JobID: "77", StartedAt: time.Now()}}
	if f := pastJob(t.Context(), c, gone); f.Level != Note || !strings.Contains(f.What, "the vendor does not list job 77 any more") || strings.Contains(f.Fix, "view task details") {
		t.Errorf("a job that the vendor does not know: %+v", f)
	}
	past.Key.Name = "inv-8"
	if f := pastJob(t.Context(), c, past); f.Level != Warning || !strings.Contains(f.What, "another") {
		t.Errorf("another description: %+v", f)
	}
}

// A request whose names match nothing is shown, with the clients that the vendor has.
func TestVendor_namesItsClients(t *testing.T) {
	t.Parallel()
	_, endpoint := simulatortest.Start(t, simulator.Config{})
	c := client(t, endpoint, "simulator")
	failed := func(clientName, group string, ago time.Duration) *Mismatch {
		return &Mismatch{Key: publisher.NewKey("billing", "inv-8"), Event: &schemas.JobFailed{
			Naming: schemas.Naming{ClientName: clientName, SubclientName: group}, FailedAt: time.Now().Add(-ago),
		}}
	}
	started := func(group string, ago time.Duration) *Past {
		return &Past{Key: publisher.NewKey("billing", "inv-9"), Event: &schemas.JobStarted{
			JobID: "1", Naming: schemas.Naming{ClientName: "NoSuch", SubclientName: group}, StartedAt: time.Now().Add(-ago),
		}}
	}
	const clients, group = "the vendor has the clients s-adhoc-object-storage", "the vendor has the client: see the name of the content group"
	for name, test := range map[string]struct {
		past      *Past
		unmatched *Mismatch
		fix       string // "" for no finding
	}{
		"no client":                 {nil, failed("nosuch", "g", time.Minute), clients},
		"no content group":          {nil, failed("S-Adhoc-Object-Storage", "g", time.Minute), group},
		"none failed":               {},
		"long ago":                  {nil, failed("nosuch", "g", hidden+time.Hour), ""},
		"started before":            {started("g", time.Hour), failed("nosuch", "g", time.Minute), clients},
		"another one started since": {started("h", time.Second), failed("nosuch", "g", time.Minute), clients},
		"started since":             {started("G", time.Second), failed("nosuch", "g", time.Minute), ""},
	} {
		var fix string
		for _, f := range Vendor(t.Context(), c, test.past, test.unmatched) {
			if f.Check == "vendor names" {
				fix = f.Fix
				if f.Level != Note || !strings.Contains(f.What, test.unmatched.Event.ClientName+"/g, which the last failed request named: billing/inv-8") {
					t.Errorf("%s: %+v", name, f)
				}
			}
		}
		if (test.fix == "") != (fix == "") || !strings.HasPrefix(fix, test.fix) {
			t.Errorf("%s: %q, want %q", name, fix, test.fix)
		}
	}
}

func TestVendorInTrouble(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	_ = listener.Close()
	forbidden := simulator.Fault{Kind: simulator.Status, Status: 401, Body: `{"errorMessage":"Access denied","errorCode":5}`}
	past := &Past{Key: publisher.NewKey("a", "b"), Event: &schemas.JobStarted{JobID: "77", StartedAt: time.Now()}}
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	missing := simulator.Fault{Kind: simulator.Status, Status: http.StatusNotFound}
	for name, test := range map[string]struct {
		endpoint string
		password string
		script   map[string][]simulator.Fault
		check    string // of the worst finding
		level    Level
		what     string
		away     bool
	}{
		"no such name":   {"https://vendor.invalid/api", "simulator", nil, "vendor DNS", Error, "vendor.invalid", true},
		"nobody there":   {nobody, "simulator", nil, "vendor TCP", Error, "refused", true},
		"no TLS":         {strings.Replace(plain.URL, "http:", "https:", 1) + "/api", "simulator", nil, "vendor TLS", Error, "answers without TLS", true},
		"wrong password": {"", password, nil, "vendor login", Error, "login refused", false},
		"login crashes":  {"", "simulator", map[string][]simulator.Fault{"Login": {{Kind: simulator.Crash}}}, "vendor login", Error, "Login", true},
		"login limited":  {"", "simulator", map[string][]simulator.Fault{"Login": {{Kind: simulator.TooManyRequests}}}, "vendor login", Warning, "throttled", false},
		"no job list":    {"", "simulator", map[string][]simulator.Fault{"JobList": {forbidden, forbidden, forbidden}, "Jobs": {forbidden, forbidden, forbidden}}, "vendor job list", Error, "401", false},
		"no GET Job":     {"", "simulator", map[string][]simulator.Fault{"JobList": {missing, missing}}, "vendor job list", Warning, "GET Job is not answered", false},
		"list crashes":   {"", "simulator", map[string][]simulator.Fault{"JobList": {{Kind: simulator.Crash}}}, "vendor job list", Warning, "500", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, endpoint := simulatortest.Start(t, simulator.Config{})
			for where, faults := range test.script {
				sim.ScriptFor(where, faults...)
			}
			if test.endpoint != "" {
				endpoint = test.endpoint
			}
			findings := Vendor(t.Context(), client(t, endpoint, test.password), past, nil)
			var found *Finding
			for i, f := range findings {
				if f.Level == test.level {
					found = &findings[i]
					break
				}
			}
			if found == nil || found.Check != test.check || !strings.Contains(found.What, test.what) || found.Fix == "" || found.Unreachable != test.away {
				t.Errorf("got\n%s", text(findings))
			}
			if test.what == "refused" && found != nil && !strings.HasPrefix(found.Fix, "nothing listens there") {
				t.Errorf("the way out of a refused connection: %s", found.Fix)
			}
			if test.what == "answers without TLS" && found != nil && !strings.HasPrefix(found.Fix, "the port of BACKHAUL_VENDOR_ENDPOINT has no TLS") {
				t.Errorf("the way out of a port without TLS: %s", found.Fix)
			}
			if Failed(findings) != (test.level == Error) || OutOfReach(findings) != test.away {
				t.Errorf("failed: %v, out of reach: %v", Failed(findings), OutOfReach(findings))
			}
			secretstest.NotShown(t, append(sim.Secrets(), password), findings)
		})
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	for d, level := range map[time.Duration]Level{0: OK, time.Second: OK, -time.Second: OK, 5 * time.Second: Note, -5 * time.Second: Note, time.Hour: Warning, -time.Hour: Warning} {
		if f := skewFinding("clock", d); f.Level != level {
			t.Errorf("%s: %+v", d, f)
		}
	}
	if f := skewFinding("clock", -time.Hour); !strings.Contains(f.What, "1h0m0s behind") {
		t.Errorf("%+v", f)
	}
	if f := Unreachable("x", errors.New("gone"), "look"); !f.Unreachable || f.Level != Error {
		t.Errorf("%+v", f)
	}
}

// The findings of `check` about a lost ledger.
func TestNATSLedger(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	events := natstest.Stream(t, js, publisher.EventsStream)
	mark := publisher.MarkOf(events.CachedInfo())
	mark.Last = 806
	if _, err := pub.RecordMark(t.Context(), 0, mark); err != nil {
		t.Fatal(err)
	}
	findings := NATS(t.Context(), nc, js)
	want(t, only(findings, "ledger"), "error | ledger | not the one that the service knows: stream BACKUP_EVENTS ends at sequence 0 and was seen up to 806; nothing is claimed")
	if err := js.DeleteStream(t.Context(), publisher.MarkStream); err != nil {
		t.Fatal(err)
	}
	want(t, only(NATS(t.Context(), nc, js), "ledger"), "warning | ledger | stream BACKUP_MARK does not exist: a ledger that is lost while no replica runs is not noticed")
}

// A ledger that was deleted is not a missing mark, and setup alone is not the way out.
func TestNATSLedger_saysThatTheEventsAreGone(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	js := natstest.JetStream(t, nc)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	if findings := only(NATS(t.Context(), nc, js), "ledger"); len(findings) != 0 {
		t.Errorf("a ledger that was never written: %s", text(findings))
	}
	if _, err := pub.RecordMark(t.Context(), 1, publisher.Mark{Created: time.Now(), Last: 806}); err != nil {
		t.Fatal(err)
	}
	gone := func() {
		t.Helper()
		findings := NATS(t.Context(), nc, js)
		ledger := only(findings, "ledger")
		want(t, ledger, "error | ledger | stream BACKUP_EVENTS is gone; nothing is claimed")
		const fix = "restore a snapshot if there is one, run `backhaul setup`, then `backhaul recover` (deploy/RUNBOOK.md, BackhaulLedgerNotKnown)"
		if len(ledger) == 1 && ledger[0].Fix != fix {
			t.Errorf("fix %q, want %q", ledger[0].Fix, fix)
		}
		if events := only(findings, "stream BACKUP_EVENTS"); len(events) != 1 || events[0].Fix != "there was a ledger: do as `ledger` says" {
			t.Errorf("%+v", events)
		}
	}
	gone()
	if err := js.DeleteStream(t.Context(), publisher.MarkStream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), publisher.RequestSubject("billing", publisher.Normal), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	gone()
}

// A user that may not make a stream learns who does.
func TestNATSWithoutStreams_saysThatThisUserMayNotMakeThem(t *testing.T) {
	t.Parallel()
	url := configured(t, `jetstream { store_dir: "STORE" }
accounts { B { jetstream: enabled, users: [
  { user: told, password: p, permissions: { publish: { allow: [ `+run+`, "$SYS.REQ.USER.INFO" ] }, subscribe: "_INBOX_told.>" } }
] } }`)
	nc, js := connect(t, url, "told")
	missing := only(NATS(t.Context(), nc, js), "stream BACKUP", "consumer BACKUP")
	if len(missing) != 4 {
		t.Errorf("%d findings, want 4:\n%s", len(missing), text(missing))
	}
	for _, f := range missing {
		if f.Fix != "run `backhaul setup` as the provisioner of deploy/nats/roles.conf: this user may not make it" {
			t.Errorf("%s: fix %q", f.Check, f.Fix)
		}
	}
}

// A stream of somebody else that has subjects of ours is named: setup could not make ours.
func TestNATS_namesStreamsWithOurSubjects(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	js := natstest.JetStream(t, nc)
	for name, subject := range map[string]string{"ORDERS": "backup.request.billing", "AUDIT": "backup.event.>", "ODD": publisher.MarkSubject} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	findings := NATS(t.Context(), nc, js)
	want(t, only(findings, "stream", "ledger"),
		"error | stream BACKUP_DLQ | does not exist",
		"error | stream BACKUP_EVENTS | does not exist and cannot be made: stream AUDIT has its subject backup.event.> already",
		"error | stream BACKUP_REQUESTS | does not exist and cannot be made: stream ORDERS has its subject backup.request.* already",
		"warning | ledger | stream BACKUP_MARK does not exist and cannot be made: stream ODD has its subject "+publisher.MarkSubject+" already; a ledger that is lost while no replica runs is not noticed",
	)
	const fix = "take the subject from ORDERS (`nats stream edit ORDERS`), or let ORDERS source BACKUP_REQUESTS"
	if requests := only(findings, "stream BACKUP_REQUESTS"); len(requests) != 1 || requests[0].Fix != fix {
		t.Errorf("%+v, want the fix %q", requests, fix)
	}
}
