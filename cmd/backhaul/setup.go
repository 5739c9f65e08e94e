package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/provision"
)

func newSetupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make the streams and consumers that are missing, check the others",
		Long: `Makes what deploy/streams defines and what is missing on the server, and says
where an existing stream differs in a way that breaks a guarantee. It never
changes or deletes anything. With --trigger also the stream and consumer of
object-store notifications, which "backhaul trigger" reads.`,
		Args: cobra.NoArgs,
		RunE: runSetup,
	}
	cmd.Flags().Bool("trigger", false, "also what backhaul trigger needs")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupLog)
	for _, embeddedOnly := range []string{"nats-listen", "store-dir", "provision"} {
		_ = cmd.Flags().MarkHidden(embeddedOnly)
	}
	addOutputFlag(cmd)
	return cmd
}

func runSetup(cmd *cobra.Command, _ []string) error {
	output, err := outputOf(cmd)
	if err != nil {
		return err
	}
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	actions, err := provision.Apply(cmd.Context(), js, replicas(nc, cfg.NATS), true)
	if trigger, _ := cmd.Flags().GetBool("trigger"); trigger {
		more, moreErr := provision.ApplyTrigger(cmd.Context(), js, replicas(nc, cfg.NATS), true)
		actions, err = append(actions, more...), errors.Join(err, moreErr)
	}
	for _, action := range actions {
		if output == outputJSON {
			line, _ := json.Marshal(action)
			fmt.Fprintln(cmd.OutOrStdout(), string(line))
			continue
		}
		state := "exists "
		if action.Created {
			state = "created"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", state, action.Name)
	}
	return err
}
