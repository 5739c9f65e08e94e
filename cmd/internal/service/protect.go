package service

import (
	"context"
	"os"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/livefile"
	"backhaul/cmd/internal/objectives"
	"backhaul/cmd/internal/protection/watch"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer/follower"
)

// objectivesFile is a file of objectives that is followed.
type objectivesFile = livefile.File[*objectives.Objectives]

var objectivesKind = livefile.Kind[*objectives.Objectives]{
	Name: "objectives", Stay: "stay in force", Check: "backhaul protection check", Read: objectives.Read, Parse: objectives.Parse,
	Describe: func(line *zerolog.Event, o *objectives.Objectives) *zerolog.Event {
		return line.Int("objectives", len(o.All()))
	},
}

// openObjectives reads the file of objectives of the settings. It returns nil without one.
func openObjectives(cfg config.Protection, log zerolog.Logger) (*objectivesFile, error) {
	if cfg.ObjectivesFile == "" {
		return nil, nil
	}
	file, err := livefile.Open(objectivesKind, cfg.ObjectivesFile, log)
	if err != nil {
		return nil, config.FileError(err)
	}
	return file, nil
}

// protect watches the protection of content groups, for the page, and publishes it if there are
// objectives. It returns nil if neither is wanted.
//
// It has a connection of its own, as the page has: it reads a lot, and what it may not read must
// not make the service unready.
func protect(ctx context.Context, o Options, own *aside, file *objectivesFile, following *follower.Follower, metrics *telemetry.Metrics, reload <-chan os.Signal) (w *watch.Watch, stop func(), err error) {
	if file == nil && o.Config.Admin.Off() {
		return nil, func() {}, nil
	}
	nc, err := own.wait()
	if err != nil {
		return nil, nil, err
	}
	w, err = newWatch(nc, file, following, metrics, o.Log)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	if file != nil {
		running.Go(func() { file.Follow(ctx, reload, nil) })
	}
	return w, func() {
		cancel()
		running.Wait()
	}, nil
}

func newWatch(nc *nats.Conn, file *objectivesFile, following *follower.Follower, metrics *telemetry.Metrics, log zerolog.Logger) (*watch.Watch, error) {
	cfg := watch.Config{Published: metrics.ProtectionPublished}
	if file != nil {
		cfg.Objectives = func() watch.Objectives { return file.Content() }
		cfg.Publishes = func() bool { return following.State().Reading }
	}
	w, err := watch.New(nc, cfg, log)
	if err == nil && file != nil {
		metrics.WatchProtection(w.Look)
	}
	return w, err
}

// protectChecks returns what /readyz says about the protection of content groups, nothing
// without objectives.
func protectChecks(file *objectivesFile, w *watch.Watch) []console.Check {
	if file == nil {
		return nil
	}
	return []console.Check{
		{Name: "objectives", Probe: file.Trouble, Condition: true},
		{Name: "protection", Probe: w.Trouble, Condition: true},
	}
}
