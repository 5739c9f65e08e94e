package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
	"backhaul/consumer"
)

// setupFlags are those of `backhaul setup`.
type setupFlags struct {
	parts  provision.Parts
	wait   time.Duration
	output string
}

func newSetupCommand() *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make the streams and consumers that are missing, check the others",
		Long: `Makes what deploy/streams defines and what is missing on the server, and says
where an existing stream differs in a way that breaks a guarantee, or takes no
requests with a priority. It never changes or deletes anything. With --trigger also
the stream and consumer of object-store notifications, which "backhaul trigger"
reads, with --archive the consumer of events that "backhaul archive" reads.

The events stream is shipped with 90 days. Where all of it is archived,
--events-max-age makes it keep less, which saves the server memory: as long as an
id may come again, a request may wait and a job is followed, at the least. Leave
time for an archiver that is away.

With --wait it tries again while NATS is out of reach or its cluster is not
complete, as in a job that starts together with the servers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSetup(cmd, f) },
	}
	cmd.Flags().BoolVar(&f.parts.Trigger, "trigger", false, "also what backhaul trigger needs")
	cmd.Flags().BoolVar(&f.parts.Archive, "archive", false, "also what backhaul archive needs")
	cmd.Flags().DurationVar(&f.parts.EventsMaxAge, "events-max-age", 0, "how long a new events stream keeps events, such as 336h where they are archived; 0 means as shipped")
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "how long to try again")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupLog)
	hideFlags(cmd, "nats-listen", "store-dir", "provision") // of an embedded server
	addOutputFlag(cmd, &f.output)
	return cmd
}

func runSetup(cmd *cobra.Command, f setupFlags) (err error) {
	if f.parts.EventsMaxAge != 0 {
		cfg, _, err := load(cmd)
		if err != nil {
			return err
		}
		if err := checkEventsMaxAge(f.parts.EventsMaxAge, cfg); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(f.wait)
	var actions []provision.Action
	for {
		if actions, err = setUp(cmd, f.parts); err == nil || !mayPass(cmd.Context(), err) || time.Until(deadline) < setupPause {
			break
		}
		select {
		case <-time.After(setupPause):
		case <-cmd.Context().Done():
			return err
		}
	}
	for _, action := range actions {
		if f.output == outputJSON {
			err = errors.Join(err, printJSON(cmd.OutOrStdout(), action))
			continue
		}
		state := "exists "
		if action.Created {
			state = "created"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", state, action.Name)
		if action.Note != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "         %s\n", action.Note)
		}
	}
	return err
}

// checkEventsMaxAge refuses a time after which the ledger would forget what it must still know.
func checkEventsMaxAge(age time.Duration, cfg *config.Config) error {
	for _, least := range []struct {
		what string
		age  time.Duration
	}{
		{"the time in which a request id can come again", consumer.ShortestAge},
		{"BACKHAUL_GIVE_UP_AFTER, for which a request may wait", cfg.Work.GiveUpAfter},
		{"BACKHAUL_FOLLOW_FOR, for which a started job is followed", cfg.Follow.For},
	} {
		if age < least.age {
			return &usageError{fmt.Errorf("--events-max-age is %s, must be at least %s: %s", age, least.age, least.what)}
		}
	}
	return nil
}

// setupPause is between two tries of --wait.
const setupPause = 500 * time.Millisecond

func setUp(cmd *cobra.Command, parts provision.Parts) ([]provision.Action, error) {
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ctx, explain := ask(cmd.Context(), nc)
	actions, err := provision.Setup(ctx, js, natsconn.Replicas(nc, cfg.NATS.Replicas), parts)
	return actions, explain(err)
}

// mayPass reports whether another try can succeed: settings and streams that
// are wrong stay so, and a permission is not given by waiting.
func mayPass(ctx context.Context, err error) bool {
	_, drift := errors.AsType[*provision.DriftError](err)
	_, overlap := errors.AsType[*provision.OverlapError](err)
	return ctx.Err() == nil && !ofSettings(err) && !drift && !overlap && !errors.Is(err, nats.ErrAuthorization) && !errors.Is(err, nats.ErrPermissionViolation)
}
