package main

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/provision"
)

func newSetupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make the streams and consumers that are missing, check the others",
		Long: `Makes what deploy/streams defines and what is missing on the server, and says
where an existing stream differs in a way that breaks a guarantee. It never
changes or deletes anything.`,
		Args: cobra.NoArgs,
		RunE: runSetup,
	}
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
	cfg, log, err := load(cmd)
	if err != nil {
		return err
	}
	if cfg.NATS.URL == "" {
		return needsNATS("setup")
	}
	nc, err := natsconn.Connect(cmd.Context(), cfg.NATS, "backhaul setup", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	actions, err := provision.Apply(cmd.Context(), js, replicas(nc, cfg.NATS), true)
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

// needsNATS says that a command that talks to a running server got none.
func needsNATS(command string) error {
	return &config.Error{Problems: []string{fmt.Sprintf(
		"`backhaul %s` needs a server: set --nats or BACKHAUL_NATS_URL, for example nats://127.0.0.1:4222", command)}}
}
