package service

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/publisher"
)

// connect connects to a server, or starts an embedded one.
func connect(ctx context.Context, cfg config.NATS, log zerolog.Logger) (nc *nats.Conn, url string, embedded *natsconn.Embedded, err error) {
	if cfg.URL != "" {
		nc, err := natsconn.Connect(ctx, cfg, "backhaul", log)
		if err != nil {
			return nil, "", nil, err
		}
		return nc, config.Masked(cfg.URL), nil, nil
	}
	embedded, err = natsconn.StartEmbedded(cfg.Embedded, log)
	if err != nil {
		return nil, "", nil, err
	}
	nc, err = embedded.Connect("backhaul", log)
	if err != nil {
		embedded.Stop()
		return nil, "", nil, err
	}
	return nc, embedded.URL(), embedded, nil
}

// startPatience is how long JetStream may take to answer a service that starts:
// time for a cluster to elect its leaders, and less than systemd gives a start.
const startPatience = time.Minute

// onceAnswered asks JetStream for what a service needs before it can work, and
// again while it does not answer. The process is alive meanwhile, and not ready.
func onceAnswered(ctx context.Context, nc *nats.Conn, admin *console.Console, log zerolog.Logger, ask func(context.Context) error) error {
	return natsconn.Patiently(ctx, nc, startPatience, ask, func(err error) {
		admin.Watch(console.Check{Name: "start", Probe: func() error {
			return fmt.Errorf("starting: JetStream does not answer yet: %w", err)
		}})
		log.Warn().Err(err).Dur("patienceMs", startPatience).Msg("JetStream does not answer yet, asking again")
	})
}

// prepare makes or checks the streams.
func prepare(ctx context.Context, nc *nats.Conn, cfg config.NATS, log zerolog.Logger) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	actions, err := provision.Apply(ctx, js, natsconn.Replicas(nc, cfg), cfg.Provision)
	logCreated(log, actions)
	if err != nil || !cfg.Provision {
		return err
	}
	short, cancel := context.WithTimeout(ctx, markPatience)
	defer cancel()
	actions, err = provision.ApplyMark(short, js, natsconn.Replicas(nc, cfg))
	logCreated(log, actions)
	if err != nil { // an older role may not make it; the service works without
		log.Warn().Err(err).Str("stream", publisher.MarkStream).Msg("cannot make the stream in which what is known of the ledger is kept")
	}
	return nil
}

// markPatience bounds the wait for a stream that is not necessary.
const markPatience = 2 * time.Second

func logCreated(log zerolog.Logger, actions []provision.Action) {
	for _, action := range actions {
		if action.Created {
			log.Info().Str("name", action.Name).Msg("created")
		}
	}
}
