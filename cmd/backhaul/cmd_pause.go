package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/publisher"
)

func newPauseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Keep every replica from starting backups, for a while",
		Long: `Pauses the queue on the server: no replica gets requests until the pause ends, by
itself or by ` + "`backhaul resume`" + `. Requests go on being accepted, and those in hand are
finished. A pause that lasts longer already is not made shorter.`,
		Example: `  backhaul pause --nats nats://127.0.0.1:4222 --for 2h --reason "vendor maintenance"`,
		Args:    cobra.NoArgs,
		RunE:    runPause,
	}
	cmd.Flags().Duration("for", time.Hour, fmt.Sprintf("how long, at most %s; pause again to make it longer", queue.LongestPause))
	addQueueFlags(cmd)
	return cmd
}

func newResumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause",
		Long: `Lets the replicas have requests again, a few seconds from now. If the vendor asked
one of them to be left alone, they get none before that is over.`,
		Args: cobra.NoArgs,
		RunE: runResume,
	}
	addQueueFlags(cmd)
	return cmd
}

func addQueueFlags(cmd *cobra.Command) {
	addOperatorFlags(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
}

func runPause(cmd *cobra.Command, _ []string) error {
	d, _ := cmd.Flags().GetDuration("for")
	if d < time.Second || d > queue.LongestPause {
		return &usageError{fmt.Errorf("--for is %s, must be 1s to %s", d, queue.LongestPause)}
	}
	return onQueue(cmd, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		p, err := queue.Pause(ctx, js, pub, d, by)
		if p.Kept {
			return p, fmt.Sprintf("paused already until %s, which is longer: left as it is", stamp(p.Until)), err
		}
		return p, "paused until " + stamp(p.Until), err
	})
}

func runResume(cmd *cobra.Command, _ []string) error {
	return onQueue(cmd, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		from, err := queue.Resume(ctx, js, pub, by)
		answer := struct {
			WasPaused bool      `json:"wasPaused"`
			From      time.Time `json:"from,omitzero"`
		}{!from.IsZero(), from}
		if from.IsZero() {
			return answer, "not paused", err
		}
		return answer, fmt.Sprintf("requests are delivered from %s on, or later if the vendor asked to be left alone", stamp(from)), err
	})
}

// onQueue lets an operator do something with the queue, and prints the answer in
// either form.
func onQueue(cmd *cobra.Command, do func(context.Context, jetstream.JetStream, *publisher.Publisher, operator.By) (answer any, text string, err error)) error {
	output, err := outputOf(cmd)
	if err != nil {
		return err
	}
	by, err := byOf(cmd)
	if err != nil {
		return err
	}
	nc, js, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	ctx, explain := ask(cmd.Context(), nc)
	answer, text, err := do(ctx, js, pub, by)
	if err != nil {
		return explain(err)
	}
	if output == outputJSON {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
