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
	"backhaul/cmd/internal/timespan"
	"backhaul/publisher"
)

// queueFlags are those of the commands that pause and resume the queue.
type queueFlags struct {
	length timespan.Value // of the pause
	scopeFlags
	operatorFlags
	output string
}

func newPauseCommand() *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Keep every replica from starting backups, for a while",
		Long: `Pauses the queue on the server: no replica gets requests until the pause ends, by
itself or by ` + "`backhaul resume`" + `. Requests go on being accepted, and those in flight are
finished. A pause that lasts longer already is not made shorter.

With --source, --client or --group only the requests wait that have every name that is
given; all others go on. Replicas know of it within a second, and then send nothing more
for the scope: a request in doubt is looked up, and waits if it has no job. A request that
waits is not counted as failed; its notAfter and its age end it nevertheless (EXPIRED).
Several scopes can be paused at once.`,
		Example: `  backhaul pause --nats nats://127.0.0.1:4222 --for 2h --reason "vendor maintenance"
  backhaul pause --source billing --for 30m --reason "wrong batch, CHG-17"
  backhaul pause --client s-adhoc-object-storage --group stestgroup --for 2d --reason "bucket is moved"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPause(cmd, f) },
	}
	f.length = timespan.Value(time.Hour)
	cmd.Flags().Var(&f.length, "for", "how long, such as 30m, 2h or 2d, at most 7d; pause again to make it longer")
	addQueueFlags(cmd, &f)
	return cmd
}

func addQueueFlags(cmd *cobra.Command, f *queueFlags) {
	addScopeFlags(cmd, &f.scopeFlags)
	addOperatorFlags(cmd, &f.operatorFlags)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &f.output)
}

func runPause(cmd *cobra.Command, f queueFlags) error {
	d := time.Duration(f.length)
	if d < time.Second || d > queue.LongestPause {
		return &usageError{fmt.Errorf("--for is %s, must be 1s to %s", timespan.Format(d), timespan.Format(queue.LongestPause))}
	}
	s, scoped, err := f.scope()
	if err != nil {
		return err
	}
	if scoped {
		return pauseScope(cmd, f, s, d)
	}
	return onQueue(cmd, f, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		p, err := queue.Pause(ctx, js, pub, d, by)
		if p.Kept {
			return p, fmt.Sprintf("paused already until %s, which is longer: left as it is", stamp(p.Until)), err
		}
		return p, "paused until " + stamp(p.Until) + "; requests in flight are finished", err
	})
}

// onQueue lets an operator do something with the queue, and prints the answer in
// either form.
func onQueue(cmd *cobra.Command, f queueFlags, do func(context.Context, jetstream.JetStream, *publisher.Publisher, operator.By) (answer any, text string, err error)) error {
	by, err := f.by()
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
	if f.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
