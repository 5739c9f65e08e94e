package service

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/admission"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/policy"
	"backhaul/consumer"
	"backhaul/consumer/follower"
	"backhaul/consumer/turn"
	"backhaul/schemas"
)

// OpenPolicy reads the policy file of the settings. It returns nil without one. A policy with rules
// for content groups is refused unless following is set: their jobs must be followed.
func OpenPolicy(cfg config.Work, following bool, log zerolog.Logger) (*admission.File, error) {
	if cfg.PolicyFile == "" {
		return nil, nil
	}
	var fits func(*policy.Policy) error
	if !following {
		fits = (*policy.Policy).NeedsFollowing
	}
	file, err := admission.Open(cfg.PolicyFile, fits, log)
	if err != nil {
		return nil, config.FileError(err)
	}
	return file, nil
}

// gateTimeout bounds what a stop spends on the consumers that count requests.
const gateTimeout = 2 * time.Second

// enforce makes the consumer ask the policy, and follows the file until stop is called,
// also while the work is drained. reload asks for the file to be read at once.
func enforce(file *admission.File, nc *nats.Conn, work *consumer.Config, reload <-chan os.Signal) (stop func(context.Context) error, err error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	gate := admission.NewGate(file, js)
	work.Policy = gate
	work.Rule = func(r *schemas.BackupRequest) turn.Rule {
		rule := gate.Rule(r)
		if rule.Applies() && follower.Possible(nc.ConnectedServerVersion()) != nil {
			return turn.Rule{} // an end would never be seen; the follower says so
		}
		return rule
	}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { file.Follow(ctx, reload) })
	return func(ctx context.Context) error {
		cancel()
		following.Wait()
		gate.Close(ctx)
		return nil
	}, nil
}
