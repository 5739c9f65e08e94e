package main

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/deadletter"
)

// showPage puts the operators' page on the admin listener. It is there for as
// long as the process drains, until stop.
func showPage(ctx context.Context, admin *console.Console, cfg config.Admin, nc *nats.Conn, owner string, vendor page.Vendor, log zerolog.Logger) (stop func(), err error) {
	if cfg.Off() {
		return func() {}, nil
	}
	known, err := state.New(nc)
	if err != nil {
		return nil, err
	}
	letters, err := deadletter.New(nc)
	if err != nil {
		return nil, err
	}
	queue, err := page.NewServerQueue(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	shown, err := page.New(ctx, page.Config{
		Version: readVersion().Version, Owner: owner, CommandCenter: cfg.CommandCenterURL,
		Token: cfg.AdminToken(), Exposed: admin.Exposed(), State: known, Vendor: vendor, Letters: letters, Queue: queue,
	}, log)
	if err != nil {
		cancel()
		return nil, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { known.Run(ctx) })
	admin.Handle("/", shown)
	if admin.Exposed() {
		log.Warn().Str("addr", cfg.Addr).Msg("the console page can be read by everybody who reaches this address")
	}
	return func() {
		cancel()
		reading.Wait()
	}, nil
}
