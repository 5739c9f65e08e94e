package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/httplimit"
	"backhaul/vendorapi/recording"
	"backhaul/vendorapi/simulator"
)

// simulatorFlags are those of `backhaul simulator`; most of them are its configuration.
type simulatorFlags struct {
	simulator.Config
	listen, world, faults, script, conflict string
	lives, lifeScript, recording            string
}

func newSimulatorCommand() *cobra.Command {
	var f simulatorFlags
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Run a simulated Commvault to develop and test against",
		Long: `Serves Commvault's job API at http://ADDRESS/webconsole/api and
/commandcenter/api, with jobs that live in memory. The default world has the user
backhaul (password simulator), the client s-adhoc-object-storage with the content
groups stestgroup and load-*, and the plan default-plan; --world replaces it.

Faults are kind=probability, kind=duration, or kind=probability:duration, for
CreateTask or, as Endpoint/kind=…, for another endpoint. A script has faults for
the next calls, one each: kind or kind:duration. Reads/kind=… is for every call
by GET. What was seen is at /simulator/account; POST /simulator/faults,
/simulator/script, /simulator/blackout (on, off) and /simulator/reset change a
running simulator.

A job runs for --job-duration and completes, unless it has another life: steps,
an end and what happens later, separated by commas.
  step   queued, waiting, pending, running, suspended, interrupted, hidden (no
         job request knows the job), other(STATUS), each with :TIME or :forever
         and a reason in parentheses: pending:2m(13:30 No contact); as(Full)
         runs another level than was asked
  end    completed, completed-with-warnings, completed-with-errors, committed,
         failed, failed-to-start(14), killed(USER REASON), no-run, empty
         (Completed, moved nothing), ended(STATUS); none: the last step stays
  later  hidden:TIME, aged:TIME, pruned:TIME, resubmitted (under a new job id)
--life gives a share of the jobs a life, as [[CLIENT/]SUBCLIENT/]LIFE=SHARE, and
--next-lives the next jobs, one each; both separate by semicolons. POST
/simulator/lives and /simulator/next-lives do the same later, /simulator/life?job=ID
changes one active job, and /simulator/clock moves the clock on by a duration.

` + behaviours(),
		Example: `  backhaul simulator --listen 127.0.0.1:8081
  backhaul simulator --fault cut-after-start=0.05,503=0.05,slow=0.1:3s --seed 7
  backhaul simulator --script cut-after-start,none,Jobs/502
  backhaul simulator --life 'failed=0.05;load-*/pending:2m,killed(ann not needed)=0.1'
  backhaul simulator --recording tenant.jsonl
  curl -d 'pending:1m,failed' http://127.0.0.1:8081/simulator/next-lives
  curl -d 10m http://127.0.0.1:8081/simulator/clock
  curl -d trickle=0.1 http://127.0.0.1:8081/simulator/faults
  curl http://127.0.0.1:8081/simulator/account`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSimulator(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8081", "`address`")
	flags.StringVar(&f.world, "world", "", "JSON `file` with clients, plans and users")
	flags.StringVar(&f.faults, "fault", "", "faults by probability or duration")
	flags.StringVar(&f.script, "script", "", "faults for the next calls, one each")
	flags.Int64Var(&f.Seed, "seed", 0, "of the probabilities")
	flags.BoolVar(&f.Gateway, "gateway", false, "log in as the SaaS gateway does: data.authToken, used as Bearer")
	flags.IntVar(&f.Servers, "servers", 1, "web servers behind a load balancer; each knows only the tokens that it issued")
	flags.BoolVar(&f.Sticky, "sticky", false, "a load balancer that keeps a caller on one server by a cookie")
	flags.DurationVar(&f.TokenIdle, "token-idle", 30*time.Minute, "how long a login may stay unused")
	flags.IntVar(&f.RateLimit.Writes, "writes", 0, "calls by POST that a tenant has in a rate period; 0 means no limit")
	flags.IntVar(&f.RateLimit.Reads, "reads", 0, "calls by GET that a tenant has in a rate period; 0 means no limit")
	flags.DurationVar(&f.RateLimit.Period, "rate-period", time.Hour, "of --writes and --reads")
	flags.DurationVar(&f.VisibleAfter, "visible-after", 0, "how long a started job is not to be seen")
	flags.BoolVar(&f.HideDescriptions, "hide-descriptions", false, "task details without job descriptions")
	flags.BoolVar(&f.Blackout, "blackout", false, "jobs stay queued")
	flags.StringVar(&f.conflict, "conflict", simulator.ConflictQueue.String(), "a second backup of a content group: `queue|refuse|ignore`")
	flags.DurationVar(&f.JobDuration, "job-duration", 2*time.Second, "how long a job runs, and a step of a life without a time takes")
	flags.StringVar(&f.lives, "life", "", "lives of jobs by share")
	flags.StringVar(&f.lifeScript, "next-lives", "", "lives of the next jobs, one each")
	flags.DurationVar(&f.ActionTime, "action-time", 0, "how long a job is Suspend Pending or Kill Pending")
	flags.BoolVar(&f.OldRelease, "old-release", false, "job answers without end time and transfer figures")
	flags.BoolVar(&f.ForgetReasons, "forget-reasons", false, "summaries of ended jobs without pending reasons")
	flags.StringVar(&f.recording, "recording", "", "answer as a vendor did in the `file` of `backhaul check --canary … --record`")
	config.AddFlags(flags, config.GroupLog)
	return cmd
}

// behaviours is the list of what is simulated, for the help text.
func behaviours() string {
	var b strings.Builder
	b.WriteString("What is simulated, and on what basis:\n")
	for _, behaviour := range simulator.Behaviours() {
		fmt.Fprintf(&b, "  %-28s %-10s  %s\n", behaviour.Name, behaviour.Basis, behaviour.Text)
	}
	return b.String()
}

func runSimulator(cmd *cobra.Command, f simulatorFlags) error {
	_, log, err := load(cmd)
	if err != nil {
		return err
	}
	for _, other := range []string{"visible-after", "life", "next-lives", "fault", "script"} {
		if f.recording != "" && cmd.Flags().Changed(other) {
			return &usageError{fmt.Errorf("--%s cannot be given with --recording, which sets it", other)}
		}
	}
	cfg, err := f.config()
	if err != nil {
		return &usageError{err}
	}
	faults, err := simulator.ParseFaults(f.faults)
	if err != nil {
		return &usageError{fmt.Errorf("--fault: %w", err)}
	}
	script, err := simulator.ParseScript(f.script)
	if err != nil {
		return &usageError{fmt.Errorf("--script: %w", err)}
	}
	next, err := simulator.ParseLifeScript(f.lifeScript)
	if err != nil {
		return &usageError{fmt.Errorf("--next-lives: %w", err)}
	}
	sim := simulator.New(cfg)
	if f.recording == "" {
		sim.SetFaults(faults)
	}
	sim.ScriptLives(next...)
	for endpoint, next := range script {
		sim.ScriptFor(endpoint, next...)
	}
	url, stop, err := serveSimulator(cmd.Context(), sim, f.listen, log)
	if err != nil {
		return fmt.Errorf("%w (--listen)", err)
	}
	log.Info().Str("endpoint", url).Msg("simulating Commvault")
	<-cmd.Context().Done()
	stop()
	logAccount(log, sim.Account())
	return nil
}

func logAccount(log zerolog.Logger, a simulator.Account) {
	log.Info().Int("createTaskCalls", a.CreateTaskCalls).Int("jobsStarted", a.JobsStarted).
		Int("logins", a.Logins).Int("retryAfterViolations", a.RetryAfterViolations).Msg("simulator stopped")
}

// config returns the configuration, with the world of its file.
func (f simulatorFlags) config() (cfg simulator.Config, err error) {
	cfg = f.Config
	if cfg.Conflict, err = simulator.ParseConflict(f.conflict); err != nil {
		return cfg, fmt.Errorf("--conflict: %w", err)
	}
	if cfg.Lives, err = simulator.ParseLives(f.lives); err != nil {
		return cfg, fmt.Errorf("--life: %w", err)
	}
	if cfg.Recording, err = readRecording(f.recording); err != nil {
		return cfg, err
	}
	if f.world == "" {
		return cfg, nil
	}
	file, err := os.Open(f.world)
	if err != nil {
		return cfg, fmt.Errorf("--world: %w", err)
	}
	defer func() { _ = file.Close() }()
	if cfg.World, err = simulator.LoadWorld(file); err != nil {
		return cfg, fmt.Errorf("--world %s: %w", f.world, err)
	}
	return cfg, nil
}

// readRecording reads the file of --recording, nil without one.
func readRecording(name string) (*recording.Recording, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--recording: %w", err)
	}
	defer func() { _ = file.Close() }()
	rec, err := simulator.ReadRecording(file)
	if err != nil {
		return nil, fmt.Errorf("--recording %s: %w", name, err)
	}
	return rec, nil
}

// simulatorConnections bounds the simulator's connections: a service has one for
// each request in flight.
const simulatorConnections = 4096

// serveSimulator serves until stop is called. url is the endpoint for a client.
func serveSimulator(ctx context.Context, sim *simulator.Simulator, address string, log zerolog.Logger) (url string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("simulator: %w", err)
	}
	server := &http.Server{Handler: sim, ConnState: sim.ConnState, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	httplimit.Apply(server, simulatorConnections, log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	stop = func() {
		_ = server.Close() // a handler may be hanging on purpose
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "backhaul: simulator:", err)
		}
	}
	return "http://" + listener.Addr().String() + "/webconsole/api", stop, nil
}
