package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/migrate"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/serverurl"
	"backhaul/cmd/internal/show"
)

func newMigrateCommand() *cobra.Command {
	var store, output string
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move requests and ledger from an embedded server to your NATS",
		Long: `Moves the streams of an embedded server's store directory to the server of
--nats or --nats-context, with every message's sequence, time, headers and
payload, and with what the consumers have done; those of "backhaul trigger" too,
if it was used. Stop "backhaul run" and "backhaul trigger" first; it is refused
while a server uses the directory. The streams must not exist at the other
end. A move that was interrupted is run again.

Afterwards the directory is marked: no embedded server works on it any more, so
that no request is done twice. Nothing is deleted. A stream keeps its settings:
"backhaul setup" says when it takes no requests with a priority.

The user needs publish permission on $JS.API.STREAM.INFO.*,
$JS.API.STREAM.RESTORE.* and $JS.SNAPSHOT.RESTORE.>.`,
		Example: `  backhaul migrate --from-store ./backhaul-data --nats nats://nats.example.com:4222
  backhaul run --nats nats://nats.example.com:4222`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMigrate(cmd, store, output) },
	}
	cmd.Flags().StringVar(&store, "from-store", "", "`directory` of the embedded server's streams")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupLog)
	hideFlags(cmd, "nats-listen", "store-dir", "provision")
	addOutputFlag(cmd, &output)
	return cmd
}

func runMigrate(cmd *cobra.Command, dir, output string) error {
	if dir == "" {
		return &usageError{errors.New("--from-store must name the directory of the embedded server")}
	}
	nc, _, cfg, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	log := newLogger(cmd.ErrOrStderr(), cfg.Log)
	store, err := natsconn.OpenStore(dir, log)
	if err != nil {
		return err
	}
	defer store.Stop()
	from, err := store.Connect(cmd.CommandPath(), log)
	if err != nil {
		return err
	}
	defer from.Close()
	return migrate.Run(cmd.Context(), migrate.Plan{
		From: from, To: nc, Replicas: natsconn.Replicas(nc, cfg.NATS.Replicas),
		Moved: func() error { return store.MarkMoved(serverurl.Mask(cfg.NATS.URL), time.Now()) },
		Done: func(r migrate.Result) {
			if output == outputJSON {
				_ = printJSON(cmd.OutOrStdout(), r) // a broken pipe ends the program anyway
				return
			}
			verb := "moved        "
			if !r.Moved {
				verb = "already there"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s: %s, last sequence %d\n", verb, r.Stream, show.Count(r.Messages, "message"), r.LastSequence)
		},
	})
}
