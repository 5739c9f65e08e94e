package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/replica"
)

func newHealthcheckCommand() *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running replica whether it is ready",
		Long: `Asks /readyz, or with --live /livez, of the admin listener that the settings of
` + "`backhaul run`" + ` name. It is for supervisors that can only run a command, such as
Docker. The exit code is 0 for yes and 1 for no, and also 1 without an answer.

Have a supervisor that restarts what is unhealthy ask with --live: a restart helps
no replica that waits for NATS.`,
		Example: `  backhaul healthcheck
  backhaul healthcheck --live --admin-addr 127.0.0.1:9091`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runHealthcheck(cmd, live) },
	}
	cmd.Flags().BoolVar(&live, "live", false, "only whether the process answers")
	config.AddFlags(cmd.Flags(), config.GroupAdmin, config.GroupLog)
	return cmd
}

func runHealthcheck(cmd *cobra.Command, live bool) error {
	cfg, _, err := load(cmd)
	if err != nil {
		return err
	}
	if cfg.Admin.Off() {
		return &config.Error{Problems: []string{"the admin listener is off: set BACKHAUL_ADMIN_ADDR or --admin-addr"}}
	}
	address, err := replica.Address(cfg.Admin.Addr)
	if err != nil {
		return &config.Error{Problems: []string{fmt.Sprintf("BACKHAUL_ADMIN_ADDR: %v", err)}}
	}
	page := "/readyz"
	if live {
		page = "/livez"
	}
	status, body, err := replica.Get(cmd.Context(), address, page)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", address, err)
	}
	answer := strings.TrimSpace(string(body))
	if status != http.StatusOK {
		return fmt.Errorf("%s: %s", address, answer)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), answer)
	return err
}
