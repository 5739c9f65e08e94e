package roles_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/admission"
	"backhaul/cmd/internal/provision"
	"backhaul/consumer"
	"backhaul/consumer/budget"
	"backhaul/consumer/follower"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
	"backhaul/vendorapi/simulator/simulatortest"
)

// sample returns the request of the vendor's documentation.
func sample(id string) schemas.BackupRequest {
	m, err := schemas.DecodeRequest(nil, fmt.Appendf(nil,
		`{"requestId":%q,"clientName":"s-adhoc-object-storage","subclientName":"stestgroup","storagePolicyName":"default-plan"}`, id))
	if err != nil {
		panic(err)
	}
	return m.Request
}

// request publishes a request as its source.
func (g *guarded) request(source, id string) {
	g.t.Helper()
	pub, err := publisher.New(g.as(source))
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := pub.Request(g.within(), source, sample(id)); err != nil {
		g.t.Fatal(err)
	}
}

// service returns a simulated vendor and a function that runs the service as the user
// backhaul, with a policy that limits requests per hour.
func (g *guarded) service(ctx context.Context, sim simulator.Config) (*simulator.Simulator, func() error) {
	g.t.Helper()
	const password = "roles-7f3a"
	sim.World = simulator.DefaultWorld()
	sim.World.Users[0].Password = base64.StdEncoding.EncodeToString([]byte(password))
	vendor, endpoint := simulatortest.Start(g.t, sim)
	allowance := budget.New(budget.Config{Owner: "roles", PerHour: 1000, Timeout: 5 * time.Second})
	client, err := vendorapi.New(vendorapi.Config{Endpoint: endpoint, Pace: vendorapi.Pace{Budget: allowance}, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul", Password: func() (vendorapi.Secret, error) { return password, nil },
	}})
	if err != nil {
		g.t.Fatal(err)
	}
	path := filepath.Join(g.t.TempDir(), "policy.yaml")
	write(g.t, filepath.Dir(path), "policy.yaml", `sources:
  "*":
    requestsPerHour: 100
    allow: [{clientName: ["*"], subclientName: ["*"], storagePolicyName: ["*"]}]
`)
	file, err := admission.Open(path, nil, zerolog.Nop())
	if err != nil {
		g.t.Fatal(err)
	}
	nc, js := g.as("backhaul"), g.jetstream("backhaul")
	return vendor, func() error {
		if _, err := provision.Apply(ctx, js, 1, false); err != nil {
			return err
		}
		if err := allowance.Use(nc); err != nil {
			return err
		}
		jobs, err := follower.New(follower.Config{IntervalMin: 200 * time.Millisecond, IntervalMax: 200 * time.Millisecond, ReadsPerHour: 100_000}, nc, client, zerolog.Nop())
		if err != nil {
			return err
		}
		var following sync.WaitGroup
		defer following.Wait()
		following.Go(func() { jobs.Run(ctx) })
		following.Go(func() { allowance.Run(ctx) })
		worker, err := consumer.New(ctx, consumer.Config{
			Owner: "roles", MaxInFlight: 2, AttemptTimeout: 5 * time.Second, VisibilityWindow: 2 * time.Second, DrainTimeout: 5 * time.Second,
			SweepInterval: 200 * time.Millisecond, Policy: admission.NewGate(file, js),
		}, nc, &vendorapi.Retrier{Client: client, Policy: vendorapi.Policy{Budget: 10 * time.Second, AttemptTimeout: 5 * time.Second}}, zerolog.Nop())
		if err != nil {
			return err
		}
		worker.Run(ctx)
		return nil
	}
}

// everything runs the service through events that need all of its permissions: a pause, a
// duplicate, a dead letter, a request that the server no longer delivers. It returns when
// all requests have their outcome, or when stop returns true.
func (g *guarded) everything(stop func() bool) *simulator.Simulator {
	g.t.Helper()
	g.setUp()
	g.request("billing", "forgotten")
	reset := fmt.Sprintf("$JS.API.CONSUMER.RESET.%s.%s", publisher.RequestsStream, publisher.RequestsConsumer)
	answer, err := g.as("admin").RequestWithContext(g.within(), reset, []byte(`{"seq":2}`))
	if err != nil || strings.Contains(string(answer.Data), `"error"`) {
		g.t.Fatalf("reset the consumer: %v", err)
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	vendor, run := g.service(ctx, simulator.Config{JobDuration: 2 * time.Second})
	vendor.Script(simulator.Fault{Kind: simulator.TooManyRequests, For: 2500 * time.Millisecond})
	ended := make(chan error, 1)
	go func() { ended <- run() }()
	settled := func() {
		g.t.Helper()
		waittest.Eventually(g.t, "end of the work", func() bool { return stop() || g.messages(publisher.RequestsStream) == 0 })
	}
	waittest.Eventually(g.t, "first call", func() bool { return stop() || vendor.Account().CreateTaskCalls > 0 })
	g.request("billing", "one")
	g.request("crm", "two")
	settled()
	// While the pause that the vendor asked for lasts, requests are picked, and not pulled and
	// acknowledged.
	waittest.Eventually(g.t, "a pull after the pause", func() bool {
		v, err := budget.Read(g.within(), g.jetstream("admin"))
		durable, queueErr := g.jetstream("admin").Consumer(g.within(), publisher.RequestsStream, publisher.RequestsConsumer)
		return stop() || err == nil && queueErr == nil && v.ClosedUntil.IsZero() && v.Left > 0 && durable.CachedInfo().NumWaiting > 0
	})
	billing := g.jetstream("billing")
	for _, body := range []string{`{"clientName":"c"}`, string(sample("one").JSON())} { // an invalid request and a duplicate
		if _, err := billing.PublishMsg(g.within(), &nats.Msg{Subject: "backup.request.billing", Data: []byte(body)}); err != nil {
			g.t.Fatal(err)
		}
	}
	settled()
	// Each job is followed to its end.
	waittest.Eventually(g.t, "end of the jobs", func() bool { return stop() || g.followed() == 0 })
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) && !stop() {
		g.t.Error(err)
	}
	return vendor
}

// followed returns how many messages of started jobs are not acknowledged.
func (g *guarded) followed() int {
	g.t.Helper()
	durable, err := g.jetstream("admin").Consumer(g.within(), publisher.EventsStream, publisher.FollowerConsumer)
	if err != nil {
		g.t.Fatal(err)
	}
	info := durable.CachedInfo()
	return info.NumAckPending + int(info.NumPending) //nolint:gosec // a handful
}

func never() bool { return false }

// The service does all of its work with the permissions of the shipped files.
func TestService_WorksWithItsRole(t *testing.T) {
	t.Parallel()
	for _, conf := range []string{oneAccount, separate} {
		t.Run(conf, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, conf)
			vendor := g.everything(never)
			g.nothingDenied()
			for _, key := range []string{"billing/forgotten", "billing/one", "crm/two"} {
				if jobs := vendor.Account().JobsByMarker["backhaul:"+key]; len(jobs) != 1 {
					t.Errorf("%s: jobs %v, want one", key, jobs)
				}
			}
			if n := g.messages(publisher.DeadLetterStream); n != 1 {
				t.Errorf("%d dead letters, want one", n)
			}
		})
	}
}

// allowed matches the subjects that the service may publish on, and thePage those of them
// that only the console page needs.
var (
	allowed = regexp.MustCompile(`(?s)\nBACKHAUL_ROLE \{.*?allow: \[(.*?)\]`)
	thePage = regexp.MustCompile(`(?s)# The console page[.,].*`)
)

// The service needs each of its permissions except those of the page: without any one line
// the server denies it something.
func TestService_NeedsEveryLineOfItsRole(t *testing.T) {
	t.Parallel()
	var roles string
	startGuarded(t, oneAccount, func(name, text string) string {
		if name == "roles.conf" {
			roles = text
		}
		return text
	})
	var lines []string
	for _, quoted := range regexp.MustCompile(`"[^"]+"`).FindAllString(thePage.ReplaceAllString(allowed.FindStringSubmatch(roles)[1], ""), -1) {
		lines = append(lines, strings.Trim(quoted, `"`))
	}
	if len(lines) < 15 {
		t.Fatalf("found only %d lines: %v", len(lines), lines)
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			newAcks := strings.HasPrefix(line, "$JS.ACK.*.*.")
			g := startGuarded(t, oneAccount, func(name, text string) string {
				if name == oneAccount && newAcks {
					return text + "\nfeature_flags { js_ack_fc_v2: true }\n"
				}
				role := allowed.FindStringSubmatch(text)
				if role == nil {
					return text
				}
				less := strings.Replace(thePage.ReplaceAllString(role[1], ""), `"`+line+`"`, "", 1)
				return strings.Replace(text, role[1], less, 1)
			})
			matches := subjectPattern(line)
			missed := func() bool {
				return slices.ContainsFunc(g.wasDenied("backhaul"), func(text string) bool {
					subject := regexp.MustCompile(`(?i)for publish to "([^"]+)"`).FindStringSubmatch(text)
					return subject != nil && matches.MatchString(subject[1])
				})
			}
			g.everything(missed)
			if !missed() {
				t.Errorf("the service works without %s", line)
			}
		})
	}
}

// The service works with a role of an earlier version, which has no line for BACKUP_MARK and for
// digests of the events.
func TestService_WorksWithAnEarlierRole(t *testing.T) {
	t.Parallel()
	g := startGuarded(t, oneAccount, func(_, text string) string {
		return regexp.MustCompile(`"(\$JS\.API\.STREAM\.(INFO|MSG\.GET)\.BACKUP_MARK|backup\.mark|\$JS\.API\.DIRECT\.GET\.BACKUP_PROTECTION\.backup\.protection\.\*|backup\.protection\.\*)"`).ReplaceAllString(text, "")
	})
	vendor := g.everything(never)
	for _, key := range []string{"billing/forgotten", "billing/one", "crm/two"} {
		if jobs := vendor.Account().JobsByMarker["backhaul:"+key]; len(jobs) != 1 {
			t.Errorf("%s: jobs %v, want one", key, jobs)
		}
	}
}

// subjectPattern returns an expression that matches the subjects of a permission.
func subjectPattern(permission string) *regexp.Regexp {
	pattern := strings.NewReplacer(`\*`, `[^.]+`, `>`, `.+`).Replace(regexp.QuoteMeta(permission))
	return regexp.MustCompile("^" + pattern + "$")
}
