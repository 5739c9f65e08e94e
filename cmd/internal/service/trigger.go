package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/doctor"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/routes"
	"backhaul/cmd/internal/serverurl"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/objectstore"
)

// Trigger turns the notifications of object stores into requests until ctx ends. It follows the
// file of the routes. o.Reload asks for the file to be read at once.
func Trigger(ctx context.Context, o Options, file *routes.File) error {
	cfg, log, rs := o.Config, o.Log, file.Content()
	stops := &stops{log: log}
	defer stops.run()
	if err := cfg.CheckTrigger(rs.HasDirectives()); err != nil {
		return err
	}
	store, err := directiveStore(cfg.Trigger.S3, rs)
	if err != nil {
		return err
	}
	warnOfRoutes(rs, log)
	warnOfOpenFiles(cfg, log)
	admin, err := console.Start(ctx, cfg.Admin.Listen(), log)
	if err != nil {
		return err
	}
	stops.add("admin listener", admin.Stop)
	metrics := telemetry.NewTrigger(o.Build)
	mountTelemetry(admin, cfg.Admin, metrics)

	nc, err := Join(ctx, cfg.NATS, "backhaul trigger", log)
	if err != nil {
		return err
	}
	stops.add("NATS connection", nc.Close)
	permissions := natsconn.WatchPermissions(nc, log)
	var worker *trigger.Trigger
	var checks []console.Check
	cfgWorker := trigger.Config{Owner: Owner(), Observer: metrics, Conditions: func() []trigger.Condition { return conditionsOf(checks) }}
	if err := onceAnswered(ctx, nc, admin, log, func(ctx context.Context) (err error) {
		if err := prepareTrigger(ctx, nc, cfg.NATS, log); err != nil {
			return err
		}
		worker, err = trigger.New(ctx, cfgWorker, nc, rs, store, log)
		return err
	}); err != nil {
		return permissions.AddTo(err)
	}
	if err := metrics.Watch(nc, worker.State, worker.Ready); err != nil {
		return err
	}
	checks = triggerChecks(worker, permissions, file)
	admin.Watch(checks...)
	metrics.WatchConditions(probes(checks))
	log.Info().Str("source", rs.Source).Str("file", rs.File).Int("routes", len(rs.All())).
		Str("nats", serverurl.Mask(cfg.NATS.URL)).Str("admin", admin.URL()).Msg("reading notifications")
	stops.add("attempts at the object store", tryStore(store, rs, worker, log))
	stops.add("routes file", followRoutes(file, worker, o.Reload, log))
	stops.add("supervision", supervise(ctx, admin, "reading notifications", log))
	if o.Ready != nil {
		o.Ready(Addresses{NATS: serverurl.Mask(cfg.NATS.URL), Page: admin.URL()})
	}
	worker.Run(ctx)
	log.Info().Msg("drained")
	return nil
}

// triggerChecks returns what /readyz answers from.
func triggerChecks(worker *trigger.Trigger, permissions *natsconn.Permissions, file *routes.File) []console.Check {
	return []console.Check{
		{Name: "notifications", Probe: worker.Ready},
		{Name: "nats", Probe: permissions.Trouble},
		{Name: "writes", Probe: worker.Writable},
		{Name: "dead letters", Probe: worker.DeadLetters, Condition: true},
		{Name: "directives", Probe: worker.StoreTrouble, Condition: true},
		{Name: "content groups", Probe: worker.HoldTrouble, Condition: true},
		{Name: "routes", Probe: file.Trouble, Condition: true},
	}
}

// conditionsOf returns the checks that fail, for the status that any process shows.
func conditionsOf(checks []console.Check) []trigger.Condition {
	var failing []trigger.Condition
	for _, check := range checks {
		if err := check.Probe(); err != nil {
			failing = append(failing, trigger.Condition{Name: check.Name, Text: err.Error()})
		}
	}
	return failing
}

// directiveStore returns the store of directive files. Without settings of one, it returns nil
// if no route has a directive.
func directiveStore(s3 config.S3, rs *trigger.Routes) (trigger.Store, error) {
	if !rs.HasDirectives() && s3.Endpoint == "" {
		return nil, nil
	}
	store, err := objectstore.New(s3.Store())
	if err != nil {
		return nil, &config.Error{Problems: []string{err.Error()}}
	}
	return store, nil
}

// tryStore writes to the place of each directive in the background, so that what is missing is known
// at the start and not at the first change. It returns how to stop.
func tryStore(store trigger.Store, rs *trigger.Routes, worker *trigger.Trigger, log zerolog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var trying sync.WaitGroup
	if rs.HasDirectives() {
		trying.Go(func() {
			for _, f := range doctor.Store(ctx, store, rs) {
				if f.Level != doctor.Error {
					continue
				}
				worker.NoteStore(errors.New(f.What))
				log.Warn().Str("toDo", f.Fix).Msg(f.What)
			}
		})
	}
	return func() {
		cancel()
		trying.Wait()
	}
}

// warnOfRoutes logs what a part of the routes file cannot do.
func warnOfRoutes(rs *trigger.Routes, log zerolog.Logger) {
	for _, f := range routes.Check(rs) {
		log.Warn().Str("file", rs.File).Int("line", f.Line).Bool("fault", f.Fault).Msg(f.Text)
	}
}

// followRoutes gives the worker the routes of a changed file until stop is called.
func followRoutes(file *routes.File, worker *trigger.Trigger, reload <-chan os.Signal, log zerolog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		file.Follow(ctx, reload, func(rs *trigger.Routes) error {
			if err := worker.SetRoutes(rs); err != nil {
				return err
			}
			warnOfRoutes(rs, log)
			return nil
		})
	})
	return func() {
		cancel()
		following.Wait()
	}
}

// prepareTrigger makes or checks the streams. A user that may not make any is not
// asked to look at the service's either.
func prepareTrigger(ctx context.Context, nc *nats.Conn, cfg config.NATS, log zerolog.Logger) error {
	if cfg.Provision {
		if err := prepare(ctx, nc, cfg, false, log, func() error { return nil }); err != nil {
			return notProvisioner(ctx, err)
		}
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	actions, err := provision.ApplyTrigger(ctx, js, natsconn.Replicas(nc, cfg.Replicas), cfg.Provision)
	logCreated(log, actions)
	return err
}

// notProvisioner adds the way out to the error of a user that may not look at the service's
// streams or make them. A refusal is the cause that ends ctx.
func notProvisioner(ctx context.Context, err error) error {
	if refused := context.Cause(ctx); errors.Is(refused, nats.ErrPermissionViolation) {
		err = refused
	}
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return fmt.Errorf("%w; set --provision=false, or run `backhaul setup --trigger` as the provisioner", err)
}
