package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/publisher"
)

func newResumeCommand() *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause",
		Long: `Lets the replicas have requests again, a few seconds from now. If the vendor asked
one of them to wait, they get none before that time.

With --source, --client or --group it ends the pause of the scope that was paused by the
same names. "backhaul status" lists the scopes that are paused.`,
		Example: `  backhaul resume --nats nats://127.0.0.1:4222 --reason "maintenance is over"
  backhaul resume --source billing --reason "batch is corrected"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runResume(cmd, f) },
	}
	addQueueFlags(cmd, &f)
	return cmd
}

func runResume(cmd *cobra.Command, f queueFlags) error {
	s, scoped, err := f.scope()
	if err != nil {
		return err
	}
	if scoped {
		return resumeScope(cmd, f, s)
	}
	return onQueue(cmd, f, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		from, err := queue.Resume(ctx, js, pub, by)
		answer := struct {
			WasPaused bool      `json:"wasPaused"`
			From      time.Time `json:"from,omitzero"`
		}{!from.IsZero(), from}
		if from.IsZero() {
			return answer, "not paused", err
		}
		return answer, fmt.Sprintf("requests are delivered from %s on, or later if the vendor throttles calls", stamp(from)), err
	})
}
