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
	"backhaul/cmd/internal/serverurl"
	"backhaul/publisher"
)

// Join connects to the server of the settings. name is how the server lists the connection.
// The error is a [*config.Error], or one of [natsconn.Connect].
func Join(ctx context.Context, cfg config.NATS, name string, log zerolog.Logger) (*nats.Conn, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	options := natsconn.Options{
		URL:         cfg.URL,
		Auth:        natsconn.Auth{Creds: cfg.Auth.Creds, NKey: cfg.Auth.NKey, User: cfg.Auth.User, Password: cfg.Auth.Password.Read, JWT: cfg.Auth.JWT, Seed: cfg.Auth.Seed.Read, Origin: cfg.Auth.Origin},
		TLS:         natsconn.TLS(cfg.TLS),
		InboxPrefix: cfg.InboxPrefix,
	}
	if cfg.Auth.Token.Given() {
		options.Auth.Token = cfg.Auth.Token.Read
	}
	return natsconn.Connect(ctx, options, name, log)
}

// connect connects to a server, or starts an embedded one.
func connect(ctx context.Context, cfg config.NATS, log zerolog.Logger) (nc *nats.Conn, url string, embedded *natsconn.Embedded, err error) {
	if cfg.URL != "" {
		nc, err := Join(ctx, cfg, "backhaul", log)
		if err != nil {
			return nil, "", nil, err
		}
		return nc, serverurl.Mask(cfg.URL), nil, nil
	}
	embedded, err = natsconn.StartEmbedded(natsconn.EmbeddedOptions(cfg.Embedded), log)
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
func prepare(ctx context.Context, nc *nats.Conn, cfg config.NATS, withBudget bool, log zerolog.Logger) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	actions, err := provision.Apply(ctx, js, natsconn.Replicas(nc, cfg.Replicas), cfg.Provision)
	logCreated(log, actions)
	if err != nil || !cfg.Provision {
		return err
	}
	short, cancel := context.WithTimeout(ctx, markPatience)
	defer cancel()
	actions, err = provision.ApplyMark(short, js, natsconn.Replicas(nc, cfg.Replicas))
	logCreated(log, actions)
	if err != nil { // an older role may not make it; the service works without
		log.Warn().Err(err).Str("stream", publisher.MarkStream).Msg("cannot make the stream in which what is known of the ledger is kept")
	}
	actions, err = provision.ApplyFollow(short, js)
	logCreated(log, actions)
	if err != nil { // the same; the follower says so as long as it lasts
		log.Warn().Err(err).Str("consumer", publisher.FollowerConsumer).Msg("cannot make the consumer of the jobs that are followed")
	}
	actions, err = provision.ApplyDigests(short, js, natsconn.Replicas(nc, cfg.Replicas))
	logCreated(log, actions)
	if err != nil { // every event is read instead
		log.Debug().Err(err).Str("stream", publisher.DigestStream).Msg("cannot make the stream of the digests of events")
	}
	if !withBudget {
		return nil
	}
	actions, err = provision.ApplyBudget(short, js, natsconn.Replicas(nc, cfg.Replicas))
	logCreated(log, actions)
	if err != nil { // the budget says so, and grants nothing
		log.Error().Err(err).Str("stream", publisher.BudgetStream).Msg("cannot make the stream of the budget of writing calls")
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
