package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/admission"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/service"
	"backhaul/cmd/internal/show"
	"backhaul/consumer"
	"backhaul/publisher"
	"backhaul/schemas"
)

func newRecoverCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Make restored or lost streams safe to work on",
		Long: `Streams that were restored from a snapshot have forgotten what was done after it,
and working on them would start the same jobs again. This puts every waiting
request that the ledger does not know to be claimed in doubt: its job is looked
for at the vendor, since the ledger's last event, before anything is sent.

It is also the way out when BACKUP_EVENTS is not the ledger that the service knows: made
again, damaged, or edited so that it forgot. Each waiting request is then in doubt since it
was stored. In the end the ledger is accepted as it is; replicas that run claim again. A
limit of BACKUP_EVENTS that removes events is refused: set it back to -1 first.

After a disaster: stop every "backhaul run", restore BACKUP_EVENTS and BACKUP_REQUESTS, have
publishers send again what they sent since the snapshot, run this, then start the
replicas. It may be run again. A request that the vendor does not show waits for
the visibility window before it is sent. The policy of BACKHAUL_POLICY_FILE is asked,
its limits per hour are not.

"backhaul trigger" is a publisher as well: where its stream has notifications, one
must run and have read them all. See deploy/SCALING.md.`,
		Example: `  backhaul recover --nats nats://nats.example.com:4222`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runRecover(cmd, output) },
	}
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &output)
	return cmd
}

func runRecover(cmd *cobra.Command, output string) error {
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	policy, err := rulesOf(cfg.Work)
	if err != nil {
		return err
	}
	ctx, explain := ask(cmd.Context(), nc)
	if err := nobodyWorks(ctx, js); err != nil {
		return explain(err)
	}
	if err := triggerHasSent(ctx, js); err != nil {
		return explain(err)
	}
	found, err := consumer.Recover(ctx, nc, policy)
	if err != nil {
		return explain(err)
	}
	if output == outputJSON {
		return printJSON(cmd.OutOrStdout(), found)
	}
	if found.Forgot != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "the ledger is accepted as it is: %s\n", found.Forgot)
	}
	since := "they were stored: the ledger has no event"
	switch {
	case found.Forgot != "":
		since = "they were stored"
	case !found.Since.IsZero():
		since = stamp(found.Since)
	}
	fmt.Fprintf(cmd.OutOrStdout(), `waiting: %s
  %d put in doubt: their jobs are looked for, since %s
  %d are known: they go on or have their outcome
  %d are invalid or denied by the policy
`, show.Count(found.Waiting, "request"), found.Doubted, since, found.Known, found.Refused)
	return nil
}

// nobodyWorks refuses a queue that a replica is asking for work: what it does is
// newer than what was restored.
func nobodyWorks(ctx context.Context, js jetstream.JetStream) error {
	state, err := queue.Look(ctx, js)
	if err != nil {
		return err
	}
	if state.Pulls > 0 {
		return errors.New("a replica is reading requests; stop every `backhaul run` first, and restore the streams again if it has worked on them")
	}
	return nil
}

// triggerHasSent refuses while the trigger may send a request again that the ledger has
// forgotten: it does so for decided windows whose notifications it finds, when it
// reads these for the first time. Then their job would be started again.
func triggerHasSent(ctx context.Context, js jetstream.JetStream) error {
	const looks = 5 // notifications come and go meanwhile
	var s *triggerStatus
	for range looks {
		var err error
		s, err = lookAtTrigger(ctx, js, time.Now())
		switch {
		case err != nil:
			return err
		case s == nil, s.Error == "" && s.Waiting == 0 && s.InFlight == 0:
			return nil
		case s.Error != "":
			return fmt.Errorf("whether `backhaul trigger` has sent its requests again is %s; grant what deploy/nats/roles.conf has, or run this as another user", s.Error)
		case s.Reader == nil:
			return fmt.Errorf("%d notifications wait for `backhaul trigger`, which may send requests again: start it, then run this again", s.Waiting+s.InFlight)
		case s.Waiting == 0 && uint64(s.Reader.Notifications) >= s.InFlight:
			return nil
		}
	}
	return fmt.Errorf("`backhaul trigger` is still reading: %d notifications wait, %d are in flight, of which it has read %d: run this again when none waits", s.Waiting, s.InFlight, s.Reader.Notifications)
}

// rulesOf returns the policy without its limits per hour, nil if there is none.
func rulesOf(cfg config.Work) (consumer.Policy, error) {
	file, err := service.OpenPolicy(cfg, true, zerolog.Nop())
	if err != nil || file == nil {
		return nil, err
	}
	return rules{file}, nil
}

type rules struct{ file *admission.File }

// Allows implements [consumer.Policy].
func (r rules) Allows(_ context.Context, key publisher.Key, request *schemas.BackupRequest, _ time.Time) error {
	if allowed, _ := r.file.Policy().Allows(key.Source, request); !allowed {
		return &consumer.DeniedError{Reason: "the policy denies it"}
	}
	return nil
}
