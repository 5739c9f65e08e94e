package service

import (
	"context"
	"os"
	"slices"
	"time"

	"backhaul/cmd/internal/admission"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/logins"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer"
)

const (
	// logoutTimeout bounds the end of the session at the vendor.
	logoutTimeout = 5 * time.Second
	// embeddedTimeout bounds the stop of the embedded server, which writes to its disk.
	embeddedTimeout = 30 * time.Second
)

// Run reads requests and starts their jobs until ctx ends; what is in progress then is
// finished first.
func Run(ctx context.Context, o Options) error {
	cfg, log := o.Config, o.Log
	if err := cfg.CheckRun(); err != nil {
		return err
	}
	policyFile, err := OpenPolicy(cfg.Work, cfg.Follow.On, log)
	if err != nil {
		return err
	}
	objectives, err := openObjectives(cfg.Protection, log)
	if err != nil {
		return err
	}
	warnOfOpenFiles(cfg, log)
	stops := &stops{log: log}
	defer stops.run()
	admin, err := console.Start(ctx, cfg.Admin.Listen(), log)
	if err != nil {
		return err
	}
	stops.add("admin listener", admin.Stop)
	owner, metrics := Owner(), telemetry.NewMetrics(o.Build)
	mountTelemetry(admin, cfg.Admin, metrics)
	traces := telemetry.StartTraces(ctx, o.Build, owner, metrics, log)
	stops.add("traces", traces.Stop)

	store := &logins.Store{Log: log}
	allowance := NewBudget(cfg, owner, false, log)
	vendor, err := newVendor(cfg, owner, store, allowance, &telemetry.Vendor{Metrics: metrics, Traces: traces, Log: log})
	if err != nil {
		return err
	}
	stops.addWithin("vendor session", logoutTimeout, vendor.close)
	nc, url, embedded, err := connect(ctx, cfg.NATS, log)
	if err != nil {
		return err
	}
	if embedded != nil {
		stops.addWithin("embedded NATS server", embeddedTimeout, func(context.Context) error { embedded.Stop(); return nil })
	}
	stops.add("NATS connection", nc.Close)
	if err := store.Use(nc); err != nil {
		return err
	}
	if allowance != nil {
		if err := allowance.Use(nc); err != nil {
			return err
		}
	}
	permissions := natsconn.WatchPermissions(nc, log)
	// Each needs some answers of the server: they are made while the streams are looked at.
	var ofProtection, ofPage *aside
	if !cfg.Admin.Off() || objectives != nil {
		ofProtection = joinAside(ctx, cfg.NATS, url, "backhaul protection", log)
		stops.add("NATS connection of protection", ofProtection.close)
	}
	if !cfg.Admin.Off() {
		ofPage = joinAside(ctx, cfg.NATS, url, "backhaul console", log)
		stops.add("NATS connection of the console page", ofPage.close)
	}

	work := cfg.Consumer(owner)
	work.Observer = telemetry.Consumer{Metrics: metrics, Traces: traces}
	if allowance != nil {
		work.Starts = allowance
	}
	var reload reloads
	if policyFile != nil {
		unfollow, err := enforce(policyFile, nc, &work, reload.add())
		if err != nil {
			return err
		}
		stops.addWithin("policy", gateTimeout, unfollow)
	}
	var reloadObjectives <-chan os.Signal
	if objectives != nil {
		reloadObjectives = reload.add()
	}
	stops.add("reloads", reload.start(o.Reload, "there is no policy file (BACKHAUL_POLICY_FILE) and no file of objectives (BACKHAUL_OBJECTIVES_FILE), and other settings are read at the start", log))
	var worker *consumer.Consumer
	if err := onceAnswered(ctx, nc, admin, log, func(ctx context.Context) (err error) {
		return prepare(ctx, nc, cfg.NATS, allowance != nil, log, func() error {
			worker, err = consumer.New(ctx, work, nc, vendor, log)
			return err
		})
	}); err != nil {
		return permissions.AddTo(err)
	}
	if err := metrics.WatchQueue(nc); err != nil {
		return err
	}
	metrics.WatchProcess(vendor.client, worker.Ready, vendor.trouble)
	metrics.WatchScopes(worker.Paused)
	if allowance != nil {
		metrics.WatchBudget(allowance.View)
	}
	stops.addWithin("budget", budgetTimeout, runBudget(ctx, allowance))
	following, stopFollowing, err := follow(ctx, cfg, owner, nc, vendor, telemetry.Follower{Metrics: metrics, Traces: traces}, log)
	if err != nil {
		return err
	}
	stops.add("follower", stopFollowing)
	watched, stopWatch, err := protect(ctx, o, ofProtection, objectives, following, metrics, reloadObjectives)
	if err != nil {
		return err
	}
	stops.add("protection", stopWatch)
	checks := slices.Concat(runChecks(worker, permissions, vendor, embedded, policyFile), followChecks(following), budgetChecks(allowance), protectChecks(objectives, watched))
	asking := new(triggerWatch)
	if !cfg.Admin.Off() {
		checks = append(checks, asking.check())
	}
	admin.Watch(checks...)
	admin.Name(worker.LedgerMade)
	metrics.WatchConditions(probes(checks))
	stopPage, err := showPage(ctx, admin, o, ofPage, owner, vendor.client, asking, page.Config{Vendor: vendor.forPage(cfg.Vendor.Starts()), Checks: checks, Waits: worker.Waits, Paused: worker.Paused, Protection: watched})
	if err != nil {
		return err
	}
	stops.add("console page", stopPage)
	log.Info().Str("owner", owner).Str("nats", url).Str("vendor", cfg.Vendor.Endpoint).Str("admin", admin.URL()).
		Int("maxInFlight", cfg.Work.MaxInFlight).Msg("reading requests")
	stops.add("supervision", supervise(ctx, admin, "reading requests", log))
	if o.Ready != nil {
		o.Ready(Addresses{NATS: url, Page: admin.URL()})
	}
	worker.Run(ctx)
	log.Info().Msg("drained")
	return nil
}

// probes returns the checks by their names.
func probes(checks []console.Check) map[string]func() error {
	all := make(map[string]func() error)
	for _, check := range checks {
		all[check.Name] = check.Probe
	}
	return all
}

// runChecks returns what /readyz answers from, in the order that it is shown in.
func runChecks(worker *consumer.Consumer, permissions *natsconn.Permissions, vendor *watchedVendor, embedded *natsconn.Embedded, policy *admission.File) []console.Check {
	checks := []console.Check{
		{Name: "requests", Probe: worker.Ready, HoldsUp: true},
		{Name: "nats", Probe: permissions.Trouble, HoldsUp: true},
		{Name: "vendor", Probe: vendor.trouble, Note: vendor.waits, Until: vendor.next, Condition: true, HoldsUp: true},
	}
	if embedded != nil {
		checks = append(checks, console.Check{Name: "embedded nats", Probe: embedded.Trouble, HoldsUp: true})
	}
	if policy != nil {
		checks = append(checks, console.Check{Name: "policy", Probe: policy.Trouble, Condition: true})
	}
	return append(checks,
		console.Check{Name: "ledger", Probe: worker.Ledger, Condition: true, HoldsUp: true},
		console.Check{Name: "ledger writes", Probe: worker.Writable, HoldsUp: true},
		console.Check{Name: "dead letters", Probe: worker.DeadLetters, Condition: true},
		console.Check{Name: "doubt", Probe: worker.Unclear, Condition: true},
		console.Check{Name: "paused scopes", Probe: worker.Scopes, Note: worker.PausedNote, Condition: true},
	)
}
