package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
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
	record  string
	yes     bool
}

func addCanaryFlags(cmd *cobra.Command, f *canaryFlags) {
	cmd.Flags().StringVar(&f.target, "canary", "", "start one real job of `CLIENT/GROUP` and observe it")
	cmd.Flags().DurationVar(&f.timeout, "canary-timeout", 30*time.Minute, "how long the job is observed; it goes on after that")
	cmd.Flags().StringVar(&f.record, "record", "", "write what the canary sees to a new `FILE`, for `backhaul simulator --recording`")
	addYesFlag(cmd, &f.yes)
}

// canaryCheck is the canary of a command, nil without one.
type canaryCheck struct {
	canary.Canary
	record string
	file   *os.File
}

// canary returns the canary that the flags ask for, nil if they do not.
func (f canaryFlags) canary() (*canaryCheck, error) {
	if f.target == "" {
		if f.record != "" {
			return nil, &usageError{errors.New("--record needs --canary: it records what a canary sees")}
		}
		return nil, nil
	}
	client, group, _ := strings.Cut(f.target, "/")
	switch {
	case client == "" || group == "":
		return nil, &usageError{fmt.Errorf("--canary %q must be CLIENT/GROUP, the names of a client and of one of its content groups", f.target)}
	case f.timeout <= 0:
		return nil, &usageError{errors.New("--canary-timeout must be above 0")}
	}
	return &canaryCheck{record: f.record, Canary: canary.Canary{Task: canary.NewTask(client, group), Timeout: f.timeout, Limits: new(canary.Limits)}}, nil
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
	if c.record == "" {
		return nil
	}
	var err error
	if c.file, err = os.OpenFile(c.record, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return &usageError{fmt.Errorf("--record: %w", err)}
	}
	if c.Recorder, err = canary.NewRecorder(c.file); err != nil {
		return &usageError{fmt.Errorf("--record: %w", err)}
	}
	c.Recorder.Names = append(userNames(cfg.Vendor.Username), c.Task.ClientName, c.Task.SubclientName)
	if endpoint, err := url.Parse(cfg.Vendor.Endpoint); err == nil {
		c.Recorder.Names = append(c.Recorder.Names, endpoint.Hostname())
	}
	return nil
}

// userNames returns the names by which the vendor may call a user: with a domain and without it.
func userNames(user string) []string {
	_, inDomain, _ := strings.Cut(user, `\`)
	local, _, _ := strings.Cut(cmp.Or(inDomain, user), "@")
	return []string{user, inDomain, local}
}

// endRecording closes the recording, and says what is in it. Without a canary it is removed.
func (c *canaryCheck) endRecording(w io.Writer) error {
	if c == nil || c.file == nil {
		return nil
	}
	lines, err := c.Recorder.End()
	err = errors.Join(err, c.file.Close())
	if c.Vendor == nil {
		return errors.Join(err, os.Remove(c.record))
	}
	if err != nil {
		return fmt.Errorf("--record %s: %w", c.record, err)
	}
	_, err = fmt.Fprintf(w, "%s has %s: read it before you pass it on, and play it with `backhaul simulator --recording %[1]s`\n", c.record, show.Count(lines, "line"))
	return err
}

// answered returns the observer of answers, nil without a canary.
func (c *canaryCheck) answered() func(vendorapi.Answer) {
	if c == nil {
		return nil
	}
	return func(a vendorapi.Answer) {
		c.Limits.Answered(a)
		if c.Recorder != nil {
			c.Recorder.Answered(a)
		}
	}
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
