package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/console/page"
	"backhaul/cmd/internal/logins"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/cmd/internal/telemetry"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

func newRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start backups for requests as they come",
		Long: `Reads requests from backup.request.<source>, starts their jobs and publishes
their events. Without --nats it runs a JetStream server of its own, which other
programs on this machine can use; with --nats it joins yours. Any number of
replicas may run. SIGTERM and SIGINT drain: what is under way is finished. SIGHUP
reads the policy file again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reload := hangups()
			cfg, log, err := load(cmd)
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				// What lives is little, what each request needs for a moment is much: for 5 MiB
				// more the collector takes half the time.
				debug.SetGCPercent(200)
			}
			return serve(cmd.Context(), cfg, log, reload, func(string) { warnWithoutPolicy(cfg.Work, log) })
		},
	}
	asService(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupVendor, config.GroupWork, config.GroupAdmin, config.GroupProfiles, config.GroupLog)
	return cmd
}

// shutdownTimeout bounds what is done at the vendor after the drain.
const shutdownTimeout = 5 * time.Second

// warnOfOpenFiles says which files with secrets every user of the machine may read. In a
// container of Kubernetes that is how secrets are mounted by default, and there are no
// other users.
func warnOfOpenFiles(cfg *config.Config, log zerolog.Logger) {
	level := zerolog.WarnLevel
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		level = zerolog.InfoLevel
	}
	for _, file := range cfg.OpenFiles() {
		log.WithLevel(level).Str("file", file).Msg("every user of this machine may read this file with a secret: chmod o-r")
	}
}

// serve runs the service until ctx ends. It is one straight line on purpose:
// what it starts it stops in reverse. reload asks for the policy file to be read
// again, nil if nobody does. ready is called with the URL of the NATS
// server once requests are being read.
func serve(ctx context.Context, cfg *config.Config, log zerolog.Logger, reload <-chan os.Signal, ready func(natsURL string)) error {
	if err := cfg.CheckRun(); err != nil {
		return err
	}
	policyFile, err := openPolicy(cfg.Work, log)
	if err != nil {
		return err
	}
	warnOfOpenFiles(cfg, log)
	admin, err := console.Start(ctx, cfg.Admin, log)
	if err != nil {
		return err
	}
	defer admin.Stop()
	owner, metrics := ownerName(), telemetry.NewMetrics(buildInfo())
	mountTelemetry(admin, cfg.Admin, metrics)
	traces := telemetry.StartTraces(ctx, buildInfo(), owner, metrics, log)
	defer traces.Stop()
	observer := &telemetry.Vendor{Metrics: metrics, Traces: traces, Log: log}
	clientConfig := cfg.Vendor.Client(cfg.Work.MaxInFlight)
	clientConfig.Observer = observer
	store := &logins.Store{Log: log}
	clientConfig.Auth.Logins, clientConfig.Auth.Process = store, owner
	client, err := vendorapi.New(clientConfig)
	if err != nil {
		return &config.Error{Problems: []string{err.Error()}}
	}
	defer func() {
		logout, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		client.Close(logout)
	}()
	vendor := &watchedVendor{observer: observer, Vendor: &vendorapi.Retrier{Client: client, Policy: vendorapi.Policy{
		Budget: cfg.Vendor.RetryBudget, AttemptTimeout: cfg.Vendor.Timeout, RoomWait: consumer.RoomWait, LookAfter: cfg.Vendor.LookAfter,
	}}}

	nc, url, embedded, err := connect(ctx, cfg.NATS, log)
	if err != nil {
		return err
	}
	if embedded != nil {
		defer embedded.Stop()
	}
	defer nc.Close()
	if err := store.Use(nc); err != nil {
		return err
	}
	permissions := natsconn.WatchPermissions(nc, log)

	work := cfg.Consumer(owner)
	work.Observer = telemetry.Consumer{Metrics: metrics, Traces: traces}
	checks := []console.Check{
		{Name: "nats", Probe: permissions.Trouble},
		{Name: "vendor", Probe: vendor.trouble, Condition: true},
	}
	if embedded != nil {
		checks = append(checks, console.Check{Name: "embedded nats", Probe: embedded.Trouble})
	}
	if policyFile != nil {
		unfollow, err := enforce(ctx, policyFile, nc, &work, reload)
		if err != nil {
			return err
		}
		defer unfollow()
		checks = append(checks, console.Check{Name: "policy", Probe: policyFile.Trouble, Condition: true})
	} else {
		defer refuseReloads(reload, "there is no policy file (BACKHAUL_POLICY_FILE), and other settings are read at the start", log)()
	}
	var worker *consumer.Consumer
	if err := onceAnswered(ctx, nc, admin, log, func(ctx context.Context) (err error) {
		if err := prepare(ctx, nc, cfg.NATS, log); err != nil {
			return err
		}
		worker, err = consumer.New(ctx, work, nc, vendor, log)
		return err
	}); err != nil {
		return errors.Join(err, permissions.Trouble())
	}
	if err := metrics.WatchQueue(nc); err != nil {
		return err
	}
	checks = append(checks, console.Check{Name: "ledger", Probe: worker.Ledger, Condition: true})
	metrics.WatchProcess(client, worker.Ready, vendor.trouble)
	checks = append(checks,
		console.Check{Name: "ledger writes", Probe: worker.Writable},
		console.Check{Name: "dead letters", Probe: worker.DeadLetters, Condition: true},
		console.Check{Name: "doubt", Probe: worker.Unclear, Condition: true},
	)
	admin.Watch(append([]console.Check{{Name: "requests", Probe: worker.Ready}}, checks...)...)
	stopPage, err := showPage(ctx, admin, cfg, url, owner, page.Vendor{Trouble: vendor.trouble, Hold: func() vendorapi.Hold {
		_, hold := client.Room(1)
		return hold
	}}, log)
	if err != nil {
		return err
	}
	defer stopPage()
	log.Info().Str("owner", owner).Str("nats", url).Str("vendor", cfg.Vendor.Endpoint).Str("admin", admin.URL()).
		Int("maxInFlight", cfg.Work.MaxInFlight).Msg("reading requests")
	defer supervise(ctx, admin, "reading requests", log)()
	ready(url)
	worker.Run(ctx)
	log.Info().Msg("drained")
	return nil
}

// connect joins a server, or starts one, which is embedded.
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
	actions, err := provision.Apply(ctx, js, replicas(nc, cfg), cfg.Provision)
	logCreated(log, actions)
	if err != nil || !cfg.Provision {
		return err
	}
	short, cancel := context.WithTimeout(ctx, markPatience)
	defer cancel()
	actions, err = provision.ApplyMark(short, js, replicas(nc, cfg))
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

// replicas of new streams: three where there can be three.
func replicas(nc *nats.Conn, cfg config.NATS) int {
	switch {
	case cfg.Replicas > 0:
		return cfg.Replicas
	case nc.ConnectedClusterName() != "":
		return 3
	default:
		return 1
	}
}

// ownerName tells people whose a claim is.
func ownerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
