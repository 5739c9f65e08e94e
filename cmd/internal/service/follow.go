package service

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer/follower"
)

// follow follows started jobs until stop is called. It returns nil for what is off.
func follow(ctx context.Context, cfg *config.Config, owner string, nc *nats.Conn, vendor *watchedVendor, observer telemetry.Follower, log zerolog.Logger) (worker *follower.Follower, stop func(), err error) {
	if !cfg.Follow.On {
		return nil, func() {}, nil
	}
	options := cfg.Follower(owner)
	options.Observer = observer
	options.SpareWrite = func() bool {
		// A tenant with a limit needs its writing calls for jobs.
		if cfg.Vendor.WritesPerHour > 0 || cfg.Vendor.StartsPerHour > 0 || cfg.Vendor.StartsPerSecond > 0 {
			return false
		}
		capacity, _ := vendor.client.Capacity(1)
		return capacity > 0
	}
	worker, err = follower.New(options, nc, vendor.client, log)
	if err != nil {
		return nil, nil, err
	}
	observer.Metrics.WatchFollower(worker.State)
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() { worker.Run(ctx) })
	return worker, func() {
		cancel()
		following.Wait()
	}, nil
}

// followChecks returns what /readyz says about following, nothing where it is off.
func followChecks(worker *follower.Follower) []console.Check {
	if worker == nil {
		return nil
	}
	return []console.Check{{Name: "following", Probe: worker.Ready, Condition: true}}
}
