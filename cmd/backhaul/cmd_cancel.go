package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/show"
	"backhaul/consumer"
	"backhaul/publisher"
)

// cancelFlags are those of `backhaul cancel`.
type cancelFlags struct {
	filter           cancel.Filter
	file, batch      string
	all, dryRun, yes bool
	operator         operatorFlags
	output           string
}

func newCancelCommand() *cobra.Command {
	var f cancelFlags
	cmd := &cobra.Command{
		Use:   "cancel [SOURCE/ID...]",
		Short: "Cancel requests that wait: no job is started for them",
		Long: `Ends requests for which nothing was sent, as job-failed with the code CANCELLED, your
name and the reason. No replica starts a job for them then, also if they were sent
twice or wait behind a pause. A request that was sent, or may have been, is refused,
and the refusal says what happens to it next. A job that was started goes on.

Requests are named, or selected by filters from those that wait; --file selects those
that ` + "`backhaul request --file`" + ` has sent, with the same --source and --batch. With
filters the number is shown and asked about; --dry-run shows what would be done. To
stop everything first: ` + "`backhaul pause`" + `.

The message stays in the queue until its next delivery, which keeps it as a dead letter.
The id is used up: to do it after all, replay the dead letter.

Exit codes: 0 all are cancelled, now or before; 1 some were refused.`,
		Example: `  backhaul cancel --nats nats://127.0.0.1:4222 billing/inv-7 --reason "sent by mistake, CHG-17"
  backhaul cancel --nats nats://127.0.0.1:4222 --source billing --label ticket=CHG-17 --dry-run
  backhaul cancel --nats nats://127.0.0.1:4222 --source billing --file requests.ndjson --reason "wrong file"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runCancel(cmd, args, f) },
	}
	flags := cmd.Flags()
	addSourceFilter(cmd, &f.filter.Source)
	addFilter(cmd, &f.filter.Client, "client-name", "only requests for this object storage `client`")
	addFilter(cmd, &f.filter.Subclient, "subclient-name", "only requests for this content `group`")
	addLabels(cmd, &f.filter.Labels, "only requests with this label, `name=value`; with several, those that have all")
	flags.StringVar(&f.file, "file", "", "only the requests of this `file`, - for standard input, which were sent with the source cli unless --source says another")
	flags.StringVar(&f.batch, "batch", "", "`name` that was given when the file was sent, by default the file's")
	flags.BoolVar(&f.all, "all", false, "select all requests that wait")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would be done")
	addYesFlag(cmd, &f.yes)
	addOperatorFlags(cmd, &f.operator)
	config.AddFlags(flags, config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &f.output)
	return cmd
}

func runCancel(cmd *cobra.Command, args []string, f cancelFlags) error {
	by, err := f.check(args)
	if err != nil {
		return err
	}
	if f.file != "" {
		if err := f.readFile(cmd); err != nil {
			return err
		}
	}
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, explain := ask(cmd.Context(), nc)
	c := canceller{cmd: cmd, flags: f, by: by, desk: cancel.New(nc), counts: make(map[cancel.Result]int)}
	if len(args) > 0 {
		err = c.named(ctx, js, args, cfg)
	} else {
		err = c.selected(ctx, js)
	}
	if lost, ok := errors.AsType[*consumer.LedgerError](err); ok {
		return fmt.Errorf("%w; nothing more is cancelled, because a request that was sent may be forgotten: run `backhaul recover` (deploy/RUNBOOK.md, BackhaulLedgerNotKnown)", lost)
	}
	return explain(err)
}

// check checks the flags and returns what goes on record. The error is a [*usageError].
func (f *cancelFlags) check(args []string) (operator.By, error) {
	filtered := !f.filter.IsZero() || f.file != ""
	switch {
	case len(args) > 0 && (filtered || f.all):
		return operator.By{}, &usageError{errors.New("requests that are named do not go with filters, --file or --all")}
	case f.batch != "" && f.file == "":
		return operator.By{}, errBatchAlone()
	case len(args) == 0 && !filtered && !f.all:
		return operator.By{}, &usageError{errors.New("which requests? Give SOURCE/ID, filters such as --source and --label, --file, or --all")}
	}
	for _, arg := range args {
		if source, id, ok := strings.Cut(arg, "/"); !ok || id == "" || publisher.CheckSource(source) != nil {
			return operator.By{}, &usageError{fmt.Errorf("%q is not a request: give SOURCE/ID, such as billing/inv-7", arg)}
		}
	}
	by, err := f.operator.by()
	if err != nil || f.dryRun {
		return by, err
	}
	if err := cancel.Check(by); err != nil {
		return by, &usageError{fmt.Errorf("--reason: %w", err)}
	}
	return by, nil
}

// readFile makes the filter select the requests of the file.
func (f *cancelFlags) readFile(cmd *cobra.Command) (err error) {
	f.filter.IDs, err = readFileIDs(cmd, f.file, f.batch, &f.filter.Source)
	return err
}

// canceller cancels requests one after the other and prints what came of each.
type canceller struct {
	cmd    *cobra.Command
	flags  cancelFlags
	by     operator.By
	desk   *cancel.Desk
	counts map[cancel.Result]int
	// cancelled are those that were cancelled now.
	cancelled []cancel.Request
}

// named cancels the requests that the arguments name.
func (c *canceller) named(ctx context.Context, js jetstream.JetStream, args []string, cfg *config.Config) error {
	for _, arg := range args {
		source, id, _ := strings.Cut(arg, "/")
		found, err := findRequest(ctx, js, source, id)
		if err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
		h, err := found.Read(ctx, js)
		if err != nil {
			return err
		}
		r := cancel.Request{Key: found.Key, RequestID: cmp.Or(h.RequestID, id)}
		if h.Queued == nil {
			c.print(r, doneBefore(h, cfg))
			continue
		}
		r.Sequence, r.Stored = h.Queued.Sequence, h.Queued.Since
		r.Client, r.Subclient = h.Queued.Request.ClientName, h.Queued.Request.SubclientName
		if err := c.one(ctx, r); err != nil {
			return err
		}
	}
	return c.end(ctx, js)
}

// doneBefore returns the outcome for a request that is not in the queue.
func doneBefore(h history.History, cfg *config.Config) cancel.Outcome {
	summary := h.Summary(history.Replicas{
		VisibilityWindow: cfg.Vendor.VisibilityWindow, FailInDoubt: cfg.Work.InDoubt == consumer.InDoubtFail, StartsPerHour: cfg.Vendor.Starts(),
	})
	if h.Status == history.Cancelled {
		return cancel.Outcome{Result: cancel.Before, Why: summary}
	}
	return cancel.Outcome{Result: cancel.Refused, Why: "it does not wait, it is " + summary}
}

// selected cancels the requests that the filter selects.
func (c *canceller) selected(ctx context.Context, js jetstream.JetStream) error {
	requests, err := c.desk.Select(ctx, c.flags.filter)
	if err != nil {
		return err
	}
	if len(c.flags.filter.IDs) > len(requests) {
		if err := c.reportMissing(ctx, js, requests); err != nil {
			return err
		}
	}
	if len(requests) == 0 {
		fmt.Fprintln(c.cmd.ErrOrStderr(), "no request that waits is selected")
		return nil
	}
	if !c.flags.dryRun {
		question := fmt.Sprintf("Cancel %s (%s)?", plural(len(requests), "request", "requests"), cancel.Counts(requests))
		if err := confirm(c.cmd, c.flags.yes, question); err != nil {
			return err
		}
	}
	for i, r := range requests {
		if err := c.one(ctx, r); err != nil {
			return fmt.Errorf("%s not reached: %w", plural(len(requests)-i, "request was", "requests were"), err)
		}
	}
	return c.end(ctx, js)
}

func (c *canceller) one(ctx context.Context, r cancel.Request) (err error) {
	var outcome cancel.Outcome
	if c.flags.dryRun {
		outcome, err = c.desk.Check(ctx, r)
	} else {
		outcome, err = c.desk.Cancel(ctx, r, c.by)
	}
	if err == nil {
		c.print(r, outcome)
	}
	return err
}

// cancelResult is what came of one request, as JSON.
type cancelResult struct {
	Source    string        `json:"source"`
	Key       string        `json:"key"`
	RequestID string        `json:"requestId,omitempty"`
	Sequence  uint64        `json:"sequence,omitempty"`
	Result    cancel.Result `json:"result"`
	Why       string        `json:"why,omitempty"`
}

func (c *canceller) print(r cancel.Request, o cancel.Outcome) {
	c.counts[o.Result]++
	if o.Result == cancel.Cancelled {
		c.cancelled = append(c.cancelled, r)
	}
	if c.flags.output == outputJSON {
		_ = printJSON(c.cmd.OutOrStdout(), cancelResult{r.Key.Source, r.Key.Name, r.RequestID, r.Sequence, o.Result, o.Why}) // a broken pipe ends the program anyway
		return
	}
	text := fmt.Sprintf("%s/%s  %s", r.Key.Source, cmp.Or(r.RequestID, r.Key.Name), o.Result)
	if o.Why != "" {
		text += ": " + o.Why
	}
	fmt.Fprintln(c.cmd.OutOrStdout(), show.Line(text))
}

// end sums up.
func (c *canceller) end(ctx context.Context, js jetstream.JetStream) error {
	var parts []string
	for _, result := range slices.Sorted(maps.Keys(c.counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", c.counts[result], result))
	}
	fmt.Fprintln(c.cmd.ErrOrStderr(), strings.Join(parts, ", "))
	c.notePauses(ctx, js)
	if c.counts[cancel.Refused] > 0 {
		return errSaid
	}
	return nil
}

// notePauses says which paused scopes what was cancelled is in: a request in doubt is paused before it is
// cancelled, and the pause is easily forgotten. It says nothing where the pauses cannot be read.
func (c *canceller) notePauses(ctx context.Context, js jetstream.JetStream) {
	if len(c.cancelled) == 0 {
		return
	}
	list, err := queue.Scopes(ctx, js)
	if err != nil {
		return
	}
	for _, p := range list.Pauses {
		if slices.ContainsFunc(c.cancelled, func(r cancel.Request) bool { return p.Has(r.Key.Source, r.Client, r.Subclient) }) {
			fmt.Fprintln(c.cmd.ErrOrStderr(), show.Line(fmt.Sprintf("%s: its other requests wait until then, or until `backhaul resume` with the same names", p)))
		}
	}
}

// plural returns a number with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
