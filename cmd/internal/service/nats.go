package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/serverurl"
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

// aside is a connection that is made while other things are started. Its methods must not be called
// by several goroutines at a time.
type aside struct {
	made chan struct{}
	nc   *nats.Conn
	err  error
}

// joinAside begins to connect as [Join] does, to the server at natsURL if the settings name none.
func joinAside(ctx context.Context, cfg config.NATS, natsURL, name string, log zerolog.Logger) *aside {
	if cfg.URL == "" {
		cfg.URL = natsURL
	}
	a := &aside{made: make(chan struct{})}
	go func() {
		defer close(a.made)
		a.nc, a.err = Join(ctx, cfg, name, log)
	}()
	return a
}

// wait returns the connection.
func (a *aside) wait() (*nats.Conn, error) {
	<-a.made
	return a.nc, a.err
}

// close closes the connection.
func (a *aside) close() {
	if nc, err := a.wait(); err == nil {
		nc.Close()
	}
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

// prepare makes or checks the streams, and then calls work.
func prepare(ctx context.Context, nc *nats.Conn, cfg config.NATS, withBudget bool, log zerolog.Logger, work func() error) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	actions, err := provision.Apply(ctx, js, natsconn.Replicas(nc, cfg.Replicas), cfg.Provision)
	logCreated(log, actions)
	if err != nil {
		return err
	}
	var applying sync.WaitGroup
	if cfg.Provision {
		applying.Go(func() { prepareOptional(ctx, nc, js, cfg, withBudget, log) })
	}
	err = work()
	applying.Wait()
	return err
}

// prepareOptional makes or checks the streams that the service starts without: an older role may not
// look at them or make them.
func prepareOptional(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, cfg config.NATS, withBudget bool, log zerolog.Logger) {
	replicas := natsconn.Replicas(nc, cfg.Replicas)
	optional := []struct {
		level   zerolog.Level
		without string
		apply   func(context.Context) ([]provision.Action, error)
	}{
		{zerolog.WarnLevel, "cannot make the stream in which what is known of the ledger is kept", func(ctx context.Context) ([]provision.Action, error) {
			return provision.ApplyMark(ctx, js, replicas)
		}},
		// The follower says so as long as it lasts.
		{zerolog.WarnLevel, "cannot make the consumer of the jobs that are followed", func(ctx context.Context) ([]provision.Action, error) {
			return provision.ApplyFollow(ctx, js)
		}},
		// Every event is read instead.
		{zerolog.DebugLevel, "cannot make the stream of the digests of events", func(ctx context.Context) ([]provision.Action, error) {
			return provision.ApplyDigests(ctx, js, replicas)
		}},
		// The budget says so, and grants nothing.
		{zerolog.ErrorLevel, "cannot make the stream of the budget of writing calls", func(ctx context.Context) ([]provision.Action, error) {
			if !withBudget {
				return nil, nil
			}
			return provision.ApplyBudget(ctx, js, replicas)
		}},
	}
	short, cancel := context.WithTimeout(ctx, optionalPatience)
	defer cancel()
	var applying sync.WaitGroup
	for _, o := range optional {
		applying.Go(func() {
			actions, err := o.apply(short)
			logCreated(log, actions)
			if err != nil {
				log.WithLevel(o.level).Err(err).Msg(o.without)
			}
		})
	}
	applying.Wait()
}

// optionalPatience bounds the wait for a stream that the service starts without.
const optionalPatience = 2 * time.Second

func logCreated(log zerolog.Logger, actions []provision.Action) {
	for _, action := range actions {
		if action.Created {
			log.Info().Str("name", action.Name).Msg("created")
		}
	}
}
