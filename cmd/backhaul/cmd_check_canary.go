package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/canary"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/doctor"
	"backhaul/cmd/internal/show"
	"backhaul/vendorapi"
)

// canaryFlags are those of `backhaul check --canary`.
type canaryFlags struct {
	target  string
	timeout time.Duration
	yes     bool
}

func addCanaryFlags(cmd *cobra.Command, f *canaryFlags) {
	cmd.Flags().StringVar(&f.target, "canary", "", "start one real job of `CLIENT/GROUP` and observe it")
	cmd.Flags().DurationVar(&f.timeout, "canary-timeout", 30*time.Minute, "how long the job is observed; it goes on after that")
	addYesFlag(cmd, &f.yes)
}

// canaryCheck is the canary of a command, nil without one.
type canaryCheck struct{ canary.Canary }

// canary returns the canary that the flags ask for, nil if they do not.
func (f canaryFlags) canary() (*canaryCheck, error) {
	if f.target == "" {
		return nil, nil
	}
	client, group, _ := strings.Cut(f.target, "/")
	switch {
	case client == "" || group == "":
		return nil, &usageError{fmt.Errorf("--canary %q must be CLIENT/GROUP, the names of a client and of one of its content groups", f.target)}
	case f.timeout <= 0:
		return nil, &usageError{errors.New("--canary-timeout must be above 0")}
	}
	return &canaryCheck{canary.Canary{Task: canary.NewTask(client, group), Timeout: f.timeout, Limits: new(canary.Limits)}}, nil
}

// configure takes what the canary needs from the settings.
func (c *canaryCheck) configure(cfg *config.Config) error {
	if c == nil {
		return nil
	}
	if cfg.Vendor.WritesPerHour > 0 && cfg.NATS.URL == "" {
		return &config.Error{Problems: []string{"BACKHAUL_NATS_URL: is needed for --canary with BACKHAUL_WRITES_PER_HOUR: the calls are taken from the budget that all replicas share"}}
	}
	c.Window, c.InDoubt = cfg.Vendor.VisibilityWindow, cfg.Work.InDoubt
	return nil
}

// answered returns the observer of answers, nil without a canary.
func (c *canaryCheck) answered() func(vendorapi.AnswerHead) {
	if c == nil {
		return nil
	}
	return c.Limits.Answered
}

// runCanary asks, starts the job and prints what was learned.
func runCanary(cmd *cobra.Command, output string, yes bool, c *canaryCheck, client *vendorapi.Client) error {
	question := fmt.Sprintf("This starts a real backup (%s) of %s of %s. Start it?", c.Task.BackupLevel, c.Task.SubclientName, c.Task.ClientName)
	if err := confirm(cmd, yes, question); err != nil {
		return err
	}
	c.Vendor = client
	c.Say = func(line string) { fmt.Fprintf(cmd.ErrOrStderr(), "canary: %s\n", show.Line(line)) }
	r := c.Run(cmd.Context())
	if err := printFindings(cmd.OutOrStdout(), output, r.Findings); err != nil {
		return err
	}
	switch {
	case cmd.Context().Err() != nil:
		return context.Cause(cmd.Context())
	case doctor.Failed(r.Findings):
		return errSaid
	}
	return nil
}
