package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/protection/report"
	"backhaul/publisher"
)

// reportPeriod is how long a report goes back without --from.
const reportPeriod = 30 * 24 * time.Hour

// reportFlags are those of `backhaul protection report`.
type reportFlags struct {
	from, to time.Time
	groupFlags
	output string
}

func newProtectionReportCommand() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Report how the objectives were kept, with the events that prove it",
		Long: `For each content group that an objective fits: the share of the time within its
objective, and each breach with its times, its reason, and the events that prove it
(sequence in BACKUP_EVENTS and CloudEvents id). The objectives are those of the file
now; a group counts from its first change or event on record. Events that have
expired are named by their sequence only: take reports before the stream's max_age.`,
		Example: `  backhaul protection report --nats nats://127.0.0.1:4222 --objectives-file objectives.yaml --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --output html > november.html`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runProtectionReport(cmd, f) },
	}
	addMoment(cmd, &f.from, "from", "`time` (2026-11-23T10:00:00Z) or age (720h) to begin with; 30 days before the end if left out")
	addMoment(cmd, &f.to, "to", "`time` or age to end with; now if left out")
	addGroupFlags(cmd, &f.groupFlags)
	f.output = reportCSV
	cmd.Flags().VarP((*reportOutput)(&f.output), "output", "o", "`csv|json|html`")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupProtection, config.GroupLog)
	return cmd
}

// Ways to print a report.
const (
	reportCSV  = "csv"
	reportHTML = "html"
)

// reportOutput is the value of --output of a report.
type reportOutput string

func (v *reportOutput) String() string { return string(*v) }
func (v *reportOutput) Type() string   { return "string" }

func (v *reportOutput) Set(text string) error {
	if all := []string{reportCSV, outputJSON, reportHTML}; !slices.Contains(all, text) {
		return fmt.Errorf("must be one of %s", strings.Join(all, ", "))
	}
	*v = reportOutput(text)
	return nil
}

func runProtectionReport(cmd *cobra.Command, f reportFlags) error {
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	if cfg.Protection.ObjectivesFile == "" {
		return errNoObjectives()
	}
	all, err := loadObjectives(cfg.Protection.ObjectivesFile)
	if err != nil {
		return err
	}
	ctx, explain := ask(cmd.Context(), nc)
	defer frugally()()
	fold, now, err := protection.Load(ctx, js)
	if err != nil {
		return explain(err)
	}
	from, to := f.from, f.to
	if to.IsZero() || to.After(now) { // what comes is not known
		to = now
	}
	if from.IsZero() {
		from = to.Add(-reportPeriod)
	}
	if !from.Before(to) {
		return &usageError{errors.New("--from must be before --to, and before now")}
	}
	made, err := report.Make(ctx, fold, all, from, to, f.selects, lookupEvents(js))
	if err != nil {
		return explain(err)
	}
	made.Made = now.UTC()
	sayUnused(cmd, made.Unused)
	return printProtectionReport(cmd.OutOrStdout(), f.output, made)
}

func errNoObjectives() error {
	return &config.Error{Problems: []string{"no objectives file: set --objectives-file or BACKHAUL_OBJECTIVES_FILE; deploy/objectives.example.yaml shows one"}}
}

// lookupEvents asks for the stream when the first event is looked up: a report without breaches
// needs none.
func lookupEvents(js jetstream.JetStream) report.Lookup {
	var lookup report.Lookup
	return func(ctx context.Context, sequence uint64) (report.Event, error) {
		if lookup == nil {
			stream, err := js.Stream(ctx, publisher.EventsStream)
			if err != nil {
				return report.Event{}, err
			}
			lookup = report.FromStream(stream)
		}
		return lookup(ctx, sequence)
	}
}

func printProtectionReport(w io.Writer, output string, made *report.Report) error {
	out := bufio.NewWriter(w)
	var err error
	switch output {
	case outputJSON:
		err = printJSON(out, made)
	case reportHTML:
		err = made.HTML(out)
	default:
		err = made.CSV(out)
	}
	return errors.Join(err, out.Flush())
}
