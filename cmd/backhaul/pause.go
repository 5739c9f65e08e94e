package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
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
	addOperatorFlags(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
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
	addOperatorFlags(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
	return cmd
}

func runPause(cmd *cobra.Command, _ []string) error {
	output, err := outputOf(cmd)
	if err != nil {
		return err
	}
	by, err := byOf(cmd)
	if err != nil {
		return err
	}
	d, _ := cmd.Flags().GetDuration("for")
	if d < time.Second || d > queue.LongestPause {
		return &usageError{fmt.Errorf("--for is %s, must be 1s to %s", d, queue.LongestPause)}
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
	p, err := queue.Pause(ctx, js, pub, d, by)
	switch {
	case err != nil:
		return explain(err)
	case output == outputJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(p)
	case p.Kept:
		fmt.Fprintf(cmd.OutOrStdout(), "paused already until %s, which is longer: left as it is\n", p.Until.Format(time.RFC3339))
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "paused until %s\n", p.Until.Format(time.RFC3339))
	}
	return nil
}

func runResume(cmd *cobra.Command, _ []string) error {
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
	from, err := queue.Resume(ctx, js, pub, by)
	switch {
	case err != nil:
		return explain(err)
	case output == outputJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
			WasPaused bool      `json:"wasPaused"`
			From      time.Time `json:"from,omitzero"`
		}{!from.IsZero(), from})
	case from.IsZero():
		fmt.Fprintln(cmd.OutOrStdout(), "not paused")
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "requests are delivered from %s on, or later if the vendor asked to be left alone\n", from.Format(time.RFC3339))
	}
	return nil
}
