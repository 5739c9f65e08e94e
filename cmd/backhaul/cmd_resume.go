package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer"
	"backhaul/publisher"
)

func newResumeCommand() *cobra.Command {
	var (
		f     queueFlags
		force bool
	)
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a pause",
		Long: `Ends a pause that an operator has made: the replicas have requests again, a few seconds
from now. If the vendor asked one of them to wait (HTTP 429, or 503 with Retry-After), they
get none before that time.

A pause that no operator on record has made is left as it is, because the vendor asked for
it, or another tool did it. It ends by itself. With --force it ends nevertheless: the vendor
is then called earlier than it asked, unless a replica runs that knows of its answer and
pauses the queue again.

With --source, --client or --group it ends the pause of the scope that was paused by the
same names, by every operator, and names them. Other scopes that its requests may be in stay
paused, and are named, too. "backhaul status" lists the scopes that are paused.`,
		Example: `  backhaul resume --nats nats://127.0.0.1:4222 --reason "maintenance is over"
  backhaul resume --source billing --reason "batch is corrected"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runResume(cmd, f, force) },
	}
	addQueueFlags(cmd, &f)
	cmd.Flags().BoolVar(&force, "force", false, "end a pause that the vendor asked for, or that another tool has made, too")
	return cmd
}

func runResume(cmd *cobra.Command, f queueFlags, force bool) error {
	s, scoped, err := f.scope()
	if err != nil {
		return err
	}
	if scoped && force {
		return &usageError{errors.New("--force is for the pause of the whole queue: that of a scope is always an operator's")}
	}
	if scoped {
		return resumeScope(cmd, f, s)
	}
	return onQueue(cmd, f, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		r, err := queue.Resume(ctx, js, pub, by, force)
		if _, ok := errors.AsType[*queue.NotByOperatorError](err); ok {
			return nil, "", fmt.Errorf("nothing was done: %w. --force ends it now: the vendor may then be called earlier than it asked", err)
		}
		answer := struct {
			WasPaused  bool                 `json:"wasPaused"`
			From       time.Time            `json:"from,omitzero"`
			VendorWait *consumer.VendorWait `json:"vendorWait,omitempty"`
		}{!r.From.IsZero(), r.From, r.VendorWait}
		text := "not paused"
		switch {
		case r.VendorWait != nil:
			text = fmt.Sprintf("the operators' pause is over; the vendor asked to wait, so requests are delivered from %s on. With --force they are delivered earlier", stamp(r.From))
		case answer.WasPaused:
			text = fmt.Sprintf("requests are delivered from %s on, or later if the vendor throttles calls. One that was postponed after an error keeps its time, which `backhaul status REQUEST` shows", stamp(r.From))
		}
		return answer, text, err
	})
}
