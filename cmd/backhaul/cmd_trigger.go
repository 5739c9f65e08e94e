package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/doctor"
	"backhaul/cmd/internal/routes"
	"backhaul/cmd/internal/service"
	"backhaul/consumer/trigger"
	"backhaul/consumer/trigger/objectstore"
)

func newTriggerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trigger",
		Short: "Turn changes in object storage into backup requests",
		Long: `Reads the notifications of object stores from storage.event.>, collects the changes
of each content group in a window, and publishes one request for each window.
Routes say which changes start a backup of which content group;
deploy/routes.example.yaml is one file of them. Any number of replicas may run: one
reads, the others stand by. SIGTERM and SIGINT stop it; what it has collected stays
in the stream. The routes file is read again when it changes, and at once on SIGHUP;
windows stay open, and a file with a problem changes nothing. explain and check need
no server.

Its listener, by default on 127.0.0.1:9091, answers /livez, /readyz and /metrics; the console page, which shows its
windows as well, is that of "backhaul run".`,
		Example: `  backhaul trigger --nats nats://127.0.0.1:4222 --routes routes.yaml`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTrigger(cmd) },
	}
	asService(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupTrigger, config.GroupStore, config.GroupAdmin, config.GroupProfiles, config.GroupLog)
	flagOf(cmd, "admin-addr").DefValue = config.TriggerAdminAddr
	hideFlags(cmd, "nats-listen", "store-dir", "admin-command-center-url") // of run
	cmd.AddCommand(newTriggerExplainCommand(), newTriggerCheckCommand(), newTriggerReplayCommand(), newTriggerUnroutedCommand())
	return cmd
}

func runTrigger(cmd *cobra.Command) error {
	if os.Getenv("GOGC") == "" {
		// It keeps much and computes little: a backlog is the peak of its memory.
		debug.SetGCPercent(40)
	}
	reload := hangups()
	cfg, log, err := load(cmd)
	if err != nil {
		return err
	}
	cfg.AdminByDefault(config.TriggerAdminAddr)
	if cfg.Trigger.Routes == "" {
		return errNoRoutes()
	}
	file, err := routes.Open(cfg.Trigger.Routes, cfg.Follow.On, log)
	if err != nil {
		return config.FileError(err)
	}
	return service.Trigger(cmd.Context(), service.Options{Config: cfg, Log: log, Build: buildInfo(), Reload: reload}, file)
}

func errNoRoutes() error {
	return &config.Error{Problems: []string{"no routes: set --routes or BACKHAUL_TRIGGER_ROUTES; deploy/routes.example.yaml shows how they look"}}
}

func newTriggerCheckCommand() *cobra.Command {
	var output string
	var offline bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a routes file, and try the object store",
		Long: `Reports everything that is wrong with the routes: what cannot be loaded, routes that
no change can reach, directives that hide data or that the vendor could not read.
If a route has a directive and BACKHAUL_TRIGGER_S3_ENDPOINT is set, a small object
(backhaul-check.txt) is written below the prefix of each directive, which starts
nothing; --offline leaves that out.
The exit code is 0 if there are at most warnings, 1 if a part of the file cannot
have any effect, and 2 if the file cannot be loaded.`,
		Example: `  backhaul trigger check --routes routes.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unexpected %q; name the file with --routes", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runTriggerCheck(cmd, output, offline) },
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "do not try the object store")
	addTriggerFlags(cmd, &output, config.GroupStore)
	return cmd
}

func addTriggerFlags(cmd *cobra.Command, output *string, more ...config.Group) {
	config.AddFlags(cmd.Flags(), append(more, config.GroupTrigger, config.GroupLog)...)
	addOutputFlag(cmd, output)
}

// loadRoutes reads the file that the settings name. What is wrong with it is an
// error of the configuration.
func loadRoutes(cmd *cobra.Command) (*trigger.Routes, error) {
	cfg, _, err := load(cmd)
	if err != nil {
		return nil, err
	}
	if cfg.Trigger.Routes == "" {
		return nil, errNoRoutes()
	}
	rs, err := routes.Load(cfg.Trigger.Routes)
	if err != nil {
		return nil, config.FileError(err)
	}
	return rs, nil
}

// checkFollowed returns an error if a route needs jobs to be followed, and the settings say that
// they are not.
func checkFollowed(cmd *cobra.Command, rs *trigger.Routes) error {
	cfg, _, err := load(cmd)
	if err != nil || cfg.Follow.On {
		return err
	}
	if err := routes.NeedFollowing(rs); err != nil {
		return config.FileError(err)
	}
	return nil
}

func runTriggerCheck(cmd *cobra.Command, output string, offline bool) error {
	rs, err := loadRoutes(cmd)
	if err == nil {
		err = checkFollowed(cmd, rs)
	}
	if err != nil {
		return sayProblems(cmd, output, err)
	}
	var tried []doctor.Finding
	if !offline {
		cfg, _, err := load(cmd)
		if err != nil {
			return err
		}
		if tried, err = tryDirectives(cmd.Context(), cfg, rs); err != nil {
			return sayProblems(cmd, output, err)
		}
	}
	w, faults := cmd.OutOrStdout(), 0
	findings := routes.Check(rs)
	for _, f := range findings {
		severity := "warning"
		if f.Fault {
			severity = "fault"
			faults++
		}
		if output == outputJSON {
			line := struct {
				File     string `json:"file"`
				Line     int    `json:"line"`
				Severity string `json:"severity"`
				Text     string `json:"text"`
			}{rs.File, f.Line, severity, f.Text}
			if err := printJSON(w, line); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s:%d: %s: %s\n", rs.File, f.Line, severity, f.Text)
	}
	if faults > 0 {
		return errSaid
	}
	if output == outputTable {
		if err := printRoutes(cmd, rs); err != nil {
			return err
		}
	}
	if len(tried) > 0 {
		if err := printFindings(w, output, tried); err != nil {
			return err
		}
	}
	if doctor.Failed(tried) {
		return errSaid
	}
	return nil
}

// tryDirectives tries the object store of the settings, if a route has a directive and a store is set.
func tryDirectives(ctx context.Context, cfg *config.Config, rs *trigger.Routes) ([]doctor.Finding, error) {
	if !rs.HasDirectives() || cfg.Trigger.S3.Endpoint == "" {
		return nil, nil
	}
	if err := cfg.CheckStore(); err != nil {
		return nil, err
	}
	store, err := objectstore.New(cfg.Trigger.S3.Store())
	if err != nil {
		return nil, &config.Error{Problems: []string{err.Error()}}
	}
	return doctor.Store(ctx, store, rs), nil
}

// printRoutes shows the routes as they were understood, defaults filled in.
func printRoutes(cmd *cobra.Command, rs *trigger.Routes) error {
	t := newTable(cmd.OutOrStdout())
	t.row("LINE", "ROUTE", "CHANGES", "CONTENT GROUP", "LEVEL", "WINDOW", "DIRECTIVE")
	for _, r := range rs.All() {
		line := strconv.Itoa(r.Line)
		if r.Ignore {
			t.row(line, r.Name, r.Changes(), "ignored", "-", "-", "-")
			continue
		}
		directive := "-"
		if r.Directive != nil {
			directive = "/" + r.Directive.Container + "/" + r.Directive.Prefix
		}
		window := fmt.Sprintf("%s, at most %s, %d paths", short(r.Window.Quiet), short(r.Window.Max), r.Window.MaxPaths)
		if r.Rule.Queue {
			window += ", waits for a job that runs"
		}
		if r.Rule.MinInterval > 0 {
			window += ", at least " + short(r.Rule.MinInterval) + " between jobs"
		}
		if r.Blackout.Any() {
			window += ", not in " + r.Blackout.String()
		}
		t.row(line, r.Name, r.Changes(), r.Group().String(), r.Request.BackupLevel, window, directive)
	}
	return t.flush()
}
