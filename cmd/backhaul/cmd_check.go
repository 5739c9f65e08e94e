package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/doctor"
	"backhaul/cmd/internal/logins"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/replica"
	"backhaul/cmd/internal/routes"
	"backhaul/cmd/internal/service"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

func newCheckCommand() *cobra.Command {
	var f canaryFlags
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check NATS, the streams and the vendor, and suggest fixes",
		Long: `Looks at all that ` + "`backhaul run`" + ` depends on, with the same settings. It makes and
changes nothing (the ledger's mark is written again as it is, to see whether the server
stores messages) and starts no job; at the vendor it logs in and out again and reads
a page of jobs. If the settings name routes with directives, it writes a small object
below the prefix of each (backhaul-check.txt). Like a replica it notes a refused login on the events stream, and does
not send that password again for a while: the vendor locks accounts. It also asks
the replica at BACKHAUL_ADMIN_ADDR, if one answers there, for its conditions.

With --canary it then asks whether to start one real job, an incremental backup of a
content group, and observes it: how long until it is listed, whether its description is
shown, how jobs are listed, what the answers say about limits, and the statuses up to
the end. It suggests BACKHAUL_VENDOR_VISIBILITY_WINDOW and BACKHAUL_IN_DOUBT. A job
whose answer is lost is searched and not started again. No job is started after an error
of the check. An interrupt leaves the job running and prints its id. The calls count in
BACKHAUL_WRITES_PER_HOUR. The job belongs to no request: no event is written.
With --record it writes the answers' statuses, formats, errors and limits and the job's
statuses to a new file, without ids, tokens, passwords and what looks like a name. Read it
before you pass it on.

Exit codes: 0 no error, 1 an error, 2 configuration, 3 NATS or the
vendor out of reach. Notes and warnings are not errors.`,
		Args: cobra.NoArgs,
		Example: `  backhaul check
  backhaul check --canary s-adhoc-object-storage/stestgroup
  backhaul check --canary s-adhoc-object-storage/stestgroup --record tenant.jsonl`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd, output, f) },
	}
	addCanaryFlags(cmd, &f)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupVendor, config.GroupTrigger, config.GroupStore, config.GroupLog)
	addOutputFlag(cmd, &output)
	return cmd
}

func runCheck(cmd *cobra.Command, output string, f canaryFlags) (err error) {
	c, err := f.canary()
	if err != nil {
		return err
	}
	cfg, log, err := load(cmd)
	if err != nil {
		return err
	}
	if err := cfg.CheckRun(); err != nil {
		return err
	}
	if err := c.configure(cfg); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, c.endRecording(cmd.ErrOrStderr())) }()
	store := &logins.Store{Log: log}
	clientConfig := cfg.Vendor.Client(1)
	if cfg.NATS.URL != "" {
		clientConfig.Auth.Logins = store
	}
	clientConfig.Auth.Process = "backhaul check on " + service.Owner()
	allowance := service.NewBudget(cfg, clientConfig.Auth.Process, true, log)
	if allowance != nil && cfg.NATS.URL != "" {
		clientConfig.Pace.Budget = allowance
	}
	clientConfig.Answered = c.answered()
	client, err := vendorapi.New(clientConfig)
	if err != nil {
		return &config.Error{Problems: []string{err.Error()}}
	}
	defer service.Logout(cmd.Context(), client)
	nc, findings, err := checkServer(cmd.Context(), cfg.NATS, log)
	if err != nil {
		return err
	}
	var past *doctor.Past
	var unmatched *doctor.Mismatch
	var ledger time.Time // when it was made, zero if it is not to be seen
	if nc != nil {
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		findings = doctor.NATS(cmd.Context(), nc, js)
		if events, err := lookAt(cmd.Context(), js, func(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
			return js.Stream(ctx, publisher.EventsStream)
		}); err == nil {
			ledger = events.CachedInfo().Created
		}
		past, unmatched = doctor.LastJob(cmd.Context(), js), doctor.LastMismatch(cmd.Context(), js)
		if err := store.Use(nc); err != nil {
			return err
		}
		if allowance != nil {
			findings = append(findings, doctor.Budget(cmd.Context(), nc, js)...)
			if err := allowance.Use(nc); err != nil {
				return err
			}
			defer allowance.Settle(cmd.Context())
		}
	}
	findings = append(findings, doctor.Vendor(cmd.Context(), client, past, unmatched)...)
	stored, err := checkRoutes(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	findings = append(findings, stored...)
	asked := replica.Ask(cmd.Context(), cfg.Admin.Listen())
	if !ledger.IsZero() {
		asked = asked.On(ledger)
	}
	findings = append(findings, asked.Findings()...)
	if err := printFindings(cmd.OutOrStdout(), output, findings); err != nil {
		return err
	}
	switch {
	case cmd.Context().Err() != nil:
		return context.Cause(cmd.Context())
	case doctor.OutOfReach(findings):
		return errSaidUnreachable
	case doctor.Failed(findings):
		return errSaid
	case c != nil:
		return runCanary(cmd, output, f.yes, c, client)
	}
	return nil
}

// checkRoutes tries the object store of the routes, if the settings name any.
func checkRoutes(ctx context.Context, cfg *config.Config) ([]doctor.Finding, error) {
	if cfg.Trigger.Routes == "" {
		return nil, nil
	}
	rs, err := routes.Load(cfg.Trigger.Routes)
	if err != nil {
		return nil, config.FileError(err)
	}
	return tryDirectives(ctx, cfg, rs)
}

// errSaidUnreachable ends a command that has printed already what is out of reach.
var errSaidUnreachable = fmt.Errorf("%w: out of reach", errSaid)

// checkServer connects to the server of the settings. The connection is nil, with a
// finding, if there is no server to check.
func checkServer(ctx context.Context, cfg config.NATS, log zerolog.Logger) (*nats.Conn, []doctor.Finding, error) {
	const check = "nats"
	if cfg.URL == "" {
		return nil, []doctor.Finding{{Check: check, Level: doctor.Note,
			What: "no server is set: `backhaul run` starts one of its own, which is not checked",
			Fix:  "give --nats nats://127.0.0.1:4222 to check the embedded server of a running `backhaul run`"}}, nil
	}
	nc, err := service.Join(ctx, cfg, "backhaul check", log)
	if unreachable, ok := errors.AsType[*natsconn.UnreachableError](err); ok {
		fix := "see whether the server runs, the URL and the firewall"
		if unreachable.Refused() {
			fix = "set credentials that the server accepts: BACKHAUL_NATS_CREDS, BACKHAUL_NATS_NKEY, BACKHAUL_NATS_USER or BACKHAUL_NATS_TOKEN"
		}
		return nil, []doctor.Finding{doctor.Unreachable(check, unreachable, fix)}, nil
	}
	if inbox, ok := errors.AsType[*natsconn.InboxError](err); ok {
		return nil, []doctor.Finding{{Check: check, Level: doctor.Error, What: inbox.Error(), Fix: inbox.Fix()}}, nil
	}
	return nc, nil, err
}

func printFindings(w io.Writer, output string, findings []doctor.Finding) error {
	if output == outputJSON {
		for _, f := range findings {
			if err := printJSON(w, f); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w)
	counts := make(map[doctor.Level]int)
	for _, f := range findings {
		counts[f.Level]++
		t.row(string(f.Level), f.Check, f.What)
		if f.Fix != "" && f.Level != doctor.OK {
			t.row("", "", "→ "+f.Fix)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d ok, %s, %s, %s\n", counts[doctor.OK],
		show.Count(counts[doctor.Note], "note"), show.Count(counts[doctor.Warning], "warning"), show.Count(counts[doctor.Error], "error"))
	return err
}
