package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/service"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi/simulator"
)

func newDemoCommand() *cobra.Command {
	var keepRunning bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole way of a request, with nothing but this program",
		Long: `Starts a JetStream server, a simulated Commvault and the service in this one
process, publishes the sample request of the vendor's page and one that the
vendor refuses, prints their events and ends.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, keepRunning) },
	}
	cmd.Flags().BoolVar(&keepRunning, "keep-running", false, "go on until interrupted, with the console page")
	config.AddFlags(cmd.Flags(), config.GroupLog)
	return cmd
}

// demoSource is who asks in the demonstration.
const demoSource = "billing"

// demoRequests are the vendor page's sample request, and the same for a content
// group that does not exist.
var demoRequests = []string{
	`{"requestId":"inv-2026-11-23-0007","clientName":"s-adhoc-object-storage","subclientName":"stestgroup",` +
		`"storagePolicyName":"default-plan","onDemandInputFile":"/sk/s-directive-file-blob.txt","labels":{"ticket":"CHG-17"}}`,
	`{"requestId":"inv-2026-11-23-0008","clientName":"s-adhoc-object-storage","subclientName":"no-such-group"}`,
}

const demoTimeout = 30 * time.Second

func runDemo(cmd *cobra.Command, keepRunning bool) error {
	cfg, log, err := load(cmd)
	if err != nil {
		return err
	}
	if !flagOf(cmd, "log-level").Changed {
		log = log.Level(zerolog.ErrorLevel) // one request is refused on purpose
	}
	store, err := os.MkdirTemp("", "backhaul-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(store) }()
	endpoint, stopSimulator, err := serveSimulator(cmd.Context(), simulator.New(simulator.Config{JobDuration: time.Second}), "127.0.0.1:0", log)
	if err != nil {
		return err
	}
	defer stopSimulator()
	cfg, err = demoConfig(cfg, endpoint, store, keepRunning)
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	addresses := make(chan service.Addresses, 1)
	served := make(chan error, 1)
	go func() {
		served <- service.Run(ctx, service.Options{Config: cfg, Log: log, Build: buildInfo(), Ready: func(at service.Addresses) { addresses <- at }})
	}()
	select {
	case err := <-served:
		return err
	case at := <-addresses:
		if err = demonstrate(cmd, at.NATS, endpoint); err == nil && keepRunning {
			stay(cmd.Context(), cmd.OutOrStdout(), at)
		}
	}
	stop()
	return errors.Join(err, <-served)
}

// demoConfig is a configuration that depends on nothing outside.
func demoConfig(cfg *config.Config, endpoint, store string, page bool) (*config.Config, error) {
	admin := "off"
	if page {
		admin = "127.0.0.1:0"
	}
	cmd := newRunCommand()
	for flag, value := range map[string]string{
		"nats": "", "nats-listen": "127.0.0.1:0", "store-dir": store, "provision": "true",
		"vendor-endpoint": endpoint, "vendor-auth": "login", "vendor-username": "backhaul",
		"admin-addr": admin, "follow-interval-min": "200ms", "follow-interval-max": "1s", "follow-reads-per-hour": "100000",
		"log-level": cfg.Log.Level, "log-format": cfg.Log.Format,
	} {
		if err := cmd.Flags().Set(flag, value); err != nil {
			return nil, err
		}
	}
	return config.Load(cmd.Flags(), []string{"BACKHAUL_VENDOR_PASSWORD=simulator"})
}

func demonstrate(cmd *cobra.Command, url, endpoint string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), demoTimeout)
	defer cancel()
	out := cmd.OutOrStdout()
	nc, err := nats.Connect(url, nats.Name("backhaul demo"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "NATS JetStream   %s\nCommvault        %s (simulated)\n\n", url, endpoint)

	for _, payload := range demoRequests {
		// Plain JSON on a subject is all that it takes; no code of ours is needed.
		subject := publisher.RequestSubject(demoSource, publisher.Normal)
		fmt.Fprintf(out, "→ %s\n  %s\n", subject, payload)
		if _, err := js.Publish(ctx, subject, []byte(payload)); err != nil {
			return err
		}
		if err := narrateOutcome(ctx, out, js, payload); err != nil {
			return fmt.Errorf("the demonstration did not come to its end: %w", err)
		}
	}
	return nil
}

// narrateOutcome prints the events of a request up to the end of its job, or up to its
// failure.
func narrateOutcome(ctx context.Context, out io.Writer, js jetstream.JetStream, payload string) error {
	m, err := schemas.DecodeRequest(nil, []byte(payload))
	if err != nil {
		return err
	}
	key := publisher.NewKey(demoSource, m.Request.RequestID)
	story := eventlog.Query{Filters: []string{key.Filter(), key.JobsFilter()}, Follow: true}
	return eventlog.Read(ctx, js, story, func(e eventlog.Event) error {
		narrate(out, e)
		if e.Kind == schemas.KindJobFailed || e.Kind == schemas.KindJobFinished {
			fmt.Fprintln(out)
			return eventlog.ErrStop
		}
		return nil
	})
}

// narrate prints one event for people.
func narrate(out io.Writer, e eventlog.Event) {
	names := e.Data.Names()
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "  %-14s %s\n", name, strings.TrimSpace(value))
		}
	}
	if job, ok := e.Data.(schemas.JobEvent); ok {
		fmt.Fprintf(out, "← %s\n", e.Key.JobSubject(e.Kind, job.Job()))
		for _, j := range history.Jobs(nil).After(job) {
			line("outcome", string(j.Outcome))
			line("moved", j.SizesText())
		}
		return
	}
	fmt.Fprintf(out, "← %s\n", e.Key.Subject(e.Kind))
	if !e.Kind.Terminal() {
		return
	}
	r := history.ResultOf(e.Data)
	line("jobId", r.JobID)
	line("taskId", r.TaskID)
	line("errorCode", r.CodeText())
	line("errorMessage", r.Message)
	line("requestId", names.RequestID)
	line("clientName", names.ClientName)
	line("subclientName", names.SubclientName)
	for name, value := range names.Labels {
		line("label", name+"="+value)
	}
}

func stay(ctx context.Context, out io.Writer, at service.Addresses) {
	fmt.Fprintf(out, "Still running; Ctrl-C ends. The console page is at\n"+
		"  %s\n"+
		"In another terminal, for example:\n"+
		"  backhaul events --nats %s --follow\n"+
		"  backhaul request --nats %s --client-name s-adhoc-object-storage --subclient-name stestgroup --wait\n", at.Page, at.NATS, at.NATS)
	<-ctx.Done()
}
