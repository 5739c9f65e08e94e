package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/serverurl"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer/archiver"
	"backhaul/publisher"
)

// Archive keeps events in an archive until ctx ends. newStream permits to go on with another stream
// than the one that the archive has.
func Archive(ctx context.Context, o Options, newStream bool) error {
	cfg, log := o.Config, o.Log
	stops := &stops{log: log}
	defer stops.run()
	stops.add("refusal of reloads", new(reloads).start(o.Reload, "settings are read at the start; restart the archiver", log))
	if err := cfg.CheckArchive(); err != nil {
		return err
	}
	open, store, err := openArchive(cfg.Archive)
	if err != nil {
		return &config.Error{Problems: []string{err.Error()}}
	}
	warnOfOpenFiles(cfg, log)
	admin, err := console.Start(ctx, cfg.Admin.Listen(), log)
	if err != nil {
		return err
	}
	stops.add("admin listener", admin.Stop)
	metrics := telemetry.NewArchiver(o.Build)
	mountTelemetry(admin, cfg.Admin, metrics)

	nc, err := Join(ctx, cfg.NATS, "backhaul archive", log)
	if err != nil {
		return err
	}
	stops.add("NATS connection", nc.Close)
	permissions := natsconn.WatchPermissions(nc, log)
	if err := onceAnswered(ctx, nc, admin, log, func(ctx context.Context) error {
		return prepareArchive(ctx, nc, cfg.NATS, log)
	}); err != nil {
		return permissions.AddTo(err)
	}
	worker, err := archiver.New(archiver.Config{
		Open: open, Every: cfg.Archive.Every, SealEvery: cfg.Archive.SealEvery, NewStream: newStream, Observer: metrics,
	}, nc, log)
	if err != nil {
		return err
	}
	metrics.Watch(nc, worker.State, worker.Ready)
	checks := []console.Check{
		{Name: "events", Probe: worker.Ready},
		{Name: "nats", Probe: permissions.Trouble},
		{Name: "checkpoints", Probe: worker.Sealing, Condition: true},
	}
	admin.Watch(checks...)
	metrics.WatchConditions(probes(checks))
	log.Info().Str("archive", store.String()).Str("nats", serverurl.Mask(cfg.NATS.URL)).Str("admin", admin.URL()).Msg("keeping events")
	stops.add("supervision", supervise(ctx, admin, "keeping events", log))
	if o.Ready != nil {
		o.Ready(Addresses{NATS: serverurl.Mask(cfg.NATS.URL), Page: admin.URL()})
	}
	worker.Run(ctx)
	log.Info().Msg("drained")
	return nil
}

// openArchive returns how to open the archive of the settings. The key is read each time.
func openArchive(cfg config.Archive) (func(context.Context) (archiver.Log, error), archive.Store, error) {
	store, err := cfg.Store()
	if err != nil {
		return nil, nil, err
	}
	open := func(ctx context.Context) (archiver.Log, error) {
		signer, err := cfg.Signer()
		if err != nil {
			return nil, err
		}
		log, err := archive.Open(ctx, store, signer, cfg.Options())
		if errors.Is(err, archive.ErrOther) {
			return nil, fmt.Errorf("%w: %w", archiver.ErrOther, err)
		}
		if err != nil {
			return nil, err
		}
		return log, nil
	}
	return open, store, nil
}

// prepareArchive makes or checks the consumer.
func prepareArchive(ctx context.Context, nc *nats.Conn, cfg config.NATS, log zerolog.Logger) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	actions, err := provision.ApplyArchive(ctx, js, cfg.Provision)
	logCreated(log, actions)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("there is no stream %s to archive: `backhaul setup --archive` makes it, or name another server with --nats: %w", publisher.EventsStream, err)
	}
	return err
}
