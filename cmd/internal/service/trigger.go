package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/routes"
	"backhaul/cmd/internal/serverurl"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/objectstore"
)

// Trigger turns the notifications of object stores into requests until ctx ends.
// o.Reload is answered with a log line: routes and settings are read at the start.
func Trigger(ctx context.Context, o Options, rs *trigger.Routes) error {
	cfg, log := o.Config, o.Log
	stops := &stops{log: log}
	defer stops.run()
	stops.add("refusal of reloads", refuseReloads(o.Reload, "routes and settings are read at the start; restart the trigger", log))
	if err := cfg.CheckTrigger(rs.HasDirectives()); err != nil {
		return err
	}
	var store trigger.Store
	if rs.HasDirectives() {
		s3, err := objectstore.New(cfg.Trigger.S3.Store())
		if err != nil {
			return &config.Error{Problems: []string{err.Error()}}
		}
		store = s3
	}
	for _, f := range routes.Check(rs) {
		log.Warn().Str("file", rs.File).Int("line", f.Line).Bool("fault", f.Fault).Msg(f.Text)
	}
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
	if err := onceAnswered(ctx, nc, admin, log, func(ctx context.Context) (err error) {
		if err := prepareTrigger(ctx, nc, cfg.NATS, log); err != nil {
			return err
		}
		worker, err = trigger.New(ctx, trigger.Config{Observer: metrics}, nc, rs, store, log)
		return err
	}); err != nil {
		return permissions.AddTo(err)
	}
	if err := metrics.Watch(nc, worker.State, worker.Ready); err != nil {
		return err
	}
	checks := triggerChecks(worker, permissions)
	admin.Watch(checks...)
	metrics.WatchConditions(probes(checks))
	log.Info().Str("source", rs.Source).Str("file", rs.File).Int("routes", len(rs.All())).
		Str("nats", serverurl.Mask(cfg.NATS.URL)).Str("admin", admin.URL()).Msg("reading notifications")
	stops.add("supervision", supervise(ctx, admin, "reading notifications", log))
	if o.Ready != nil {
		o.Ready(serverurl.Mask(cfg.NATS.URL))
	}
	worker.Run(ctx)
	log.Info().Msg("drained")
	return nil
}

// triggerChecks returns what /readyz answers from.
func triggerChecks(worker *trigger.Trigger, permissions *natsconn.Permissions) []console.Check {
	return []console.Check{
		{Name: "notifications", Probe: worker.Ready},
		{Name: "nats", Probe: permissions.Trouble},
		{Name: "writes", Probe: worker.Writable},
		{Name: "dead letters", Probe: worker.DeadLetters, Condition: true},
		{Name: "directives", Probe: worker.StoreTrouble, Condition: true},
	}
}

// prepareTrigger makes or checks the streams. A user that may not make any is not
// asked to look at the service's either.
func prepareTrigger(ctx context.Context, nc *nats.Conn, cfg config.NATS, log zerolog.Logger) error {
	if cfg.Provision {
		if err := prepare(ctx, nc, cfg, log); err != nil {
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
