package service

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/jobact"
	"backhaul/cmd/internal/natsconn"
)

// showPage puts the operators' page on the admin listener. It is there for as
// long as the process drains, until stop.
//
// The page has a connection of its own: what it may not read, or reads a lot of,
// must not make the service unready or slow. The trigger is asked on it as well.
func showPage(ctx context.Context, admin *console.Console, o Options, own *aside, owner string, vendor jobact.Vendor, asking *triggerWatch, shows page.Config) (stop func(), err error) {
	cfg, log := o.Config, o.Log
	if cfg.Admin.Off() {
		return func() {}, nil
	}
	nc, err := own.wait()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var reading sync.WaitGroup
	stop = func() {
		cancel()
		reading.Wait()
	}
	shows.Version, shows.Owner, shows.Exposed = o.Build.Version, owner, admin.Exposed()
	shown, known, err := newPage(ctx, nc, cfg.Admin, vendor, shows, log)
	if err != nil {
		stop()
		return nil, err
	}
	reading.Go(func() { known.Run(ctx) })
	reading.Go(func() { asking.run(ctx, js) })
	admin.Handle("/", shown)
	if admin.Exposed() {
		log.Warn().Str("addr", cfg.Admin.Addr).Msg("the console page can be read by everybody who reaches this address")
	}
	return stop, nil
}

// newPage returns the page and the state that it shows.
func newPage(ctx context.Context, nc *nats.Conn, admin config.Admin, vendor jobact.Vendor, cfg page.Config, log zerolog.Logger) (*page.Page, *state.State, error) {
	known, err := state.New(nc)
	if err != nil {
		return nil, nil, err
	}
	deadLetters, err := deadletter.New(nc)
	if err != nil {
		return nil, nil, err
	}
	queue, err := page.NewServerQueue(nc)
	if err != nil {
		return nil, nil, err
	}
	jobs, err := jobact.New(nc, vendor)
	if err != nil {
		return nil, nil, err
	}
	cfg.Jobs, cfg.Missing, cfg.Explain = jobs, natsconn.NewGrants(nc).Missing, natsconn.WatchPermissions(nc, log).Explain
	cfg.State, cfg.Letters, cfg.Queue, cfg.Canceller = known, deadLetters, queue, cancel.New(nc)
	cfg.CommandCenter, cfg.Token = admin.CommandCenterURL, admin.AdminToken()
	shown, err := page.New(ctx, cfg, log)
	return shown, known, err
}
