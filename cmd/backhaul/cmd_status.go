package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/queue"
	"backhaul/cmd/internal/replica"
	"backhaul/cmd/internal/show"
	"backhaul/consumer"
	"backhaul/consumer/order"
	"backhaul/consumer/scope"
	"backhaul/publisher"
)

// statusFlags are those of `backhaul status`.
type statusFlags struct {
	source, output string
	watch          bool
}

func newStatusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [REQUEST]",
		Short: "Show how the queue fares, or what happened to one request",
		Long: `Without an argument: how much waits and for how long, with BACKHAUL_STARTS_PER_HOUR of
which source and priority and until about when, what is in flight, whether the queue or
a scope is paused, until when and by whom, the events and until when they are archived, the dead letters, how many started jobs are followed to
their end, since when and by whom, when the vendor was last asked about them and how
many reads are left in this hour, how much of the budget of writing calls is spent and by
whom, what the replica at --admin-addr says of itself, of the vendor and of the trigger, and, if "backhaul trigger" is in use: the notifications
that wait for it, its open windows and the oldest change in them, how many requests
it has made of how many changes, and which window it decided last.

With a request id: the request's whole history, and what happens next. Of one without
an outcome: what holds it up, its last error, and when it is tried again. Of one that waits: its
place in the queue, in the order of starts, and while starts are limited an estimate of when it is
started; both change with what comes after it. Give its
source with --source or as SOURCE/ID; without one it is looked for under every
source. Nothing is changed, and nothing is asked of the vendor.`,
		Example: `  backhaul status --nats nats://127.0.0.1:4222
  backhaul status --nats nats://127.0.0.1:4222 billing/inv-2026-11-23-0007
  backhaul status --nats nats://127.0.0.1:4222 --source billing inv-2026-11-23-0007 --output json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runStatus(cmd, args, f) },
	}
	cmd.Flags().StringVar(&f.source, "source", "", "`source` of the request")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "show it again every 2 seconds")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupAdmin, config.GroupLog)
	flagOf(cmd, "admin-addr").Usage = "`address` of the replica to ask, or off (BACKHAUL_ADMIN_ADDR)"
	addOutputFlag(cmd, &f.output)
	return cmd
}

// watchEvery is how often --watch looks.
const watchEvery = 2 * time.Second

func runStatus(cmd *cobra.Command, args []string, f statusFlags) error {
	if f.source != "" {
		if err := checkSource(f.source); err != nil {
			return err
		}
		if len(args) == 0 {
			return &usageError{errors.New("--source needs the id of a request")}
		}
	}
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return withReplica(cmd, err)
	}
	defer nc.Close()
	ctx, explain := ask(cmd.Context(), nc)
	again := func() error {
		if len(args) == 1 {
			request, err := findRequest(ctx, js, f.source, args[0])
			if err != nil {
				return explain(err)
			}
			return explain(showHistory(ctx, cmd.OutOrStdout(), f.output, js, request, cfg))
		}
		s, err := lookAround(ctx, js, cfg)
		if err != nil {
			return explain(err)
		}
		return printStatus(cmd.OutOrStdout(), f.output, s)
	}
	if !f.watch {
		return again()
	}
	return watch(cmd.Context(), show.NewWriter(cmd.OutOrStdout()), f.output, again)
}

// withReplica adds to the error of a server that is out of reach what a replica on this
// machine says is wrong: its embedded server may be stopped, for example.
func withReplica(cmd *cobra.Command, err error) error {
	if _, ok := errors.AsType[*natsconn.UnreachableError](err); !ok {
		return err
	}
	cfg, _, loadErr := load(cmd)
	if loadErr != nil {
		return err
	}
	for _, f := range replica.Ask(cmd.Context(), cfg.Admin.Listen()).Findings() {
		err = fmt.Errorf("%w; %s: %s", err, f.Check, f.What)
	}
	return err
}

// watch shows it until ctx ends: on a terminal always in the same place.
func watch(ctx context.Context, w *show.Writer, output string, again func() error) error {
	const home = "\x1b[H\x1b[2J"
	clear := output == outputTable && isatty.IsTerminal(w.Fd())
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if clear {
			if err := w.Control(home); err != nil {
				return err
			}
		}
		if err := again(); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil // it has no other end
		}
	}
}

// status is the service at one moment.
type status struct {
	// AsOf is the server's time.
	AsOf   time.Time   `json:"asOf"`
	Queue  queueStatus `json:"queue"`
	Events stored      `json:"events"`
	// Ledger says why the events are not the ledger that the service knows, or forget;
	// "" if all is well or cannot be known.
	Ledger string `json:"ledger,omitempty"`
	// Archive is nil where events are not archived.
	Archive     *archiveStatus `json:"archive,omitempty"`
	DeadLetters stored         `json:"deadLetters"`
	// Jobs is how started jobs are followed.
	Jobs *followStatus `json:"jobs,omitempty"`
	// Budget is nil if no budget of writing calls was used.
	Budget *budgetStatus `json:"budget,omitempty"`
	// Trigger is nil where `backhaul trigger` has no stream.
	Trigger *triggerStatus `json:"trigger,omitempty"`
	// Replica is nil when there is none to ask.
	Replica *replica.Replica `json:"replica,omitempty"`
}

type queueStatus struct {
	queue.State
	OldestAgeSeconds float64    `json:"oldestAgeSeconds"`
	Paused           bool       `json:"paused"`
	PausedUntil      *time.Time `json:"pausedUntil,omitempty"`
	// PausedBy is nil without a pause, and where this user may not read who it was.
	PausedBy *queue.PausedBy `json:"pausedBy,omitempty"`
	// PausedScopes are the parts of the requests that are paused.
	PausedScopes []scope.Pause `json:"pausedScopes,omitempty"`
	// StartsPerHour limits the starts, by our own settings; 0 for no limit. Then the order in
	// which requests are taken depends on priority and source.
	StartsPerHour int `json:"startsPerHour,omitempty"`
}

// stored is what a stream holds.
type stored struct {
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
}

func lookAround(ctx context.Context, js jetstream.JetStream, cfg *config.Config) (s status, err error) {
	state, err := queue.Look(ctx, js)
	if err != nil {
		return s, err
	}
	var now time.Time
	if s.Events, now, err = storedIn(ctx, js, publisher.EventsStream); err != nil {
		return s, err
	}
	if s.DeadLetters, _, err = storedIn(ctx, js, publisher.DeadLetterStream); err != nil {
		return s, err
	}
	if s.Ledger, err = lookAtLedger(ctx, js); err != nil {
		return s, err
	}
	if s.Archive, err = lookAtArchive(ctx, js); err != nil {
		return s, err
	}
	if s.Jobs, err = lookAtFollower(ctx, js, now); err != nil {
		return s, err
	}
	if s.Budget, err = lookAtBudget(ctx, js); err != nil {
		return s, err
	}
	if s.Trigger, err = lookAtTrigger(ctx, js, now); err != nil {
		return s, err
	}
	s.AsOf = now
	s.Queue = queueStatus{State: state, OldestAgeSeconds: state.Age(now).Round(time.Millisecond).Seconds(), Paused: state.PausedFor > 0}
	if s.Queue.Paused {
		until := now.Add(state.PausedFor).Truncate(time.Millisecond)
		s.Queue.PausedUntil = &until
		if s.Queue.PausedBy, err = whoPaused(ctx, js, now, until); err != nil {
			return s, err
		}
	}
	scopes, err := pausedScopes(ctx, js)
	if err != nil {
		return s, err
	}
	s.Queue.PausedScopes, s.Queue.StartsPerHour = scopes.Pauses, cfg.Vendor.Starts()
	if s.Replica, err = askReplica(ctx, js, cfg.Admin.Listen()); err != nil {
		return s, err
	}
	return s, nil
}

// askReplica asks the replica at an address, if it works on this ledger.
func askReplica(ctx context.Context, js jetstream.JetStream, address string) (*replica.Replica, error) {
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", publisher.EventsStream, err)
	}
	return replica.Ask(ctx, address).On(events.CachedInfo().Created), nil
}

// lookAtLedger returns why the ledger cannot be relied on. Who may not see what is known of
// it knows its settings only.
func lookAtLedger(ctx context.Context, js jetstream.JetStream) (string, error) {
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return "", fmt.Errorf("look at stream %s: %w", publisher.EventsStream, err)
	}
	if why := consumer.Forgets(events.CachedInfo().Config); why != nil {
		return why.Error() + "; nothing is claimed", nil
	}
	nc := js.Conn()
	before := nc.ErrorHandler()
	defer func() { nc.SetErrorHandler(before) }()
	asking, _ := ask(ctx, nc)
	why, err := consumer.Differs(asking, js)
	switch {
	case why != nil:
		return why.Error() + "; nothing is claimed until `backhaul recover` accepts it", nil
	case err != nil && ctx.Err() == nil && errors.Is(context.Cause(asking), nats.ErrPermissionViolation):
		return "", nil
	}
	return "", err
}

// storedIn also returns the server's time, from which ages are computed.
func storedIn(ctx context.Context, js jetstream.JetStream, name string) (stored, time.Time, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return stored{}, time.Time{}, fmt.Errorf("look at stream %s: %w", name, err)
	}
	state := stream.CachedInfo().State
	s := stored{Messages: state.Msgs, Bytes: state.Bytes}
	if state.Msgs > 0 {
		s.First, s.Last = state.FirstTime.UTC(), state.LastTime.UTC()
	}
	return s, stream.CachedInfo().TimeStamp.UTC(), nil
}

func printStatus(w io.Writer, output string, s status) error {
	if output == outputJSON {
		return printJSON(w, s)
	}
	t := newTable(w)
	for i, c := range s.Replica.Holding() {
		t.row([]string{"nothing starts", ""}[min(i, 1)], c.Name+": "+c.Text())
	}
	t.row("queue", s.queueText())
	if !s.Queue.Oldest.IsZero() {
		t.row("oldest", fmt.Sprintf("%s, %s ago", stamp(s.Queue.Oldest), ago(s.Queue.Age(s.AsOf))))
	}
	for i, text := range s.linesText() {
		t.row([]string{"waiting by source", ""}[min(i, 1)], text)
	}
	if s.Queue.Paused {
		t.row("paused", "until "+stamp(*s.Queue.PausedUntil)+s.Queue.PausedBy.Text())
	}
	for i, text := range scopesText(s.Queue.PausedScopes) {
		t.row([]string{"paused scopes", ""}[min(i, 1)], text)
	}
	t.row("pulls", s.pullsText())
	t.row("events", s.Events.text())
	if s.Ledger != "" {
		t.row("ledger", s.Ledger)
	}
	s.Archive.print(t)
	t.row("dead letters", s.DeadLetters.text())
	s.Jobs.print(t, s.AsOf)
	s.Budget.print(t)
	s.Trigger.print(t, s.AsOf)
	printReplica(t, s.Replica)
	return t.flush()
}

func (s status) queueText() string {
	text := fmt.Sprintf("%d waiting, %d in flight", s.Queue.Waiting, s.Queue.InFlight)
	if s.Queue.Redelivered > 0 {
		text += fmt.Sprintf(" (%d delivered more than once)", s.Queue.Redelivered)
	}
	return text
}

// pullsText returns how many pulls wait, or why none does, as far as that is known.
func (s status) pullsText() string {
	if s.Queue.Pulls > 0 {
		return fmt.Sprint(s.Queue.Pulls)
	}
	var causes []string
	for _, c := range s.Replica.Holding() {
		causes = append(causes, fmt.Sprintf("the replica at %s starts nothing (%s)", s.Replica.Address, c.Name))
	}
	if s.Budget != nil && s.Budget.View != nil && s.Budget.Left == 0 {
		causes = append(causes, "the budget of writing calls is used up")
	}
	if len(s.Queue.PausedScopes) > 0 {
		causes = append(causes, "a scope is paused")
	}
	if len(causes) == 0 {
		return "none: no replica asks for work at the moment, or starts are scarce"
	}
	if s.Replica == nil || !s.Replica.Answered || s.Replica.Other || !s.Replica.Ready {
		causes = append([]string{"no replica asks for work at the moment"}, causes...)
	}
	return "none: " + strings.Join(causes, ", or ")
}

// maxLines bounds the sources that are printed.
const maxLines = 10

// linesText returns a line for each source and priority of which requests wait, with an estimate
// of when the last of them is started. It is empty while starts are not limited.
func (s status) linesText() []string {
	if s.Queue.StartsPerHour == 0 {
		return nil
	}
	var first time.Duration // until a start is free
	if s.Budget != nil && s.Budget.View != nil {
		first = max(s.Budget.Next.Sub(s.AsOf), 0)
	}
	var texts []string
	for _, l := range s.Queue.Lines {
		if len(texts) == maxLines {
			return append(texts, fmt.Sprintf("and %d sources and priorities more", len(s.Queue.Lines)-maxLines))
		}
		wait := first + order.Until(order.Ahead(s.Queue.Lines, l.Subject, l.Waiting-1), s.Queue.StartsPerHour)
		texts = append(texts, fmt.Sprintf("%s: %d, the last of them is started in about %s", l.Name(), l.Waiting, ago(wait)))
	}
	return texts
}

func (s stored) text() string {
	if s.Messages == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, %s, %s to %s", s.Messages, show.Size(s.Bytes), stamp(s.First), stamp(s.Last))
}

func printReplica(t table, r *replica.Replica) {
	switch {
	case r == nil:
		t.row("replica", "not asked")
	case r.Other:
		t.row("replica", fmt.Sprintf("%s %s; --admin-addr names another", r.Address, r.Error))
	case !r.Answered:
		t.row("replica", fmt.Sprintf("none answers at %s (%s), which does not say that none runs: --admin-addr names the address of one", r.Address, r.Error))
	case r.Ready:
		text := r.Address + " is ready"
		if len(r.Holding()) > 0 {
			text += ", and starts nothing at the moment"
		}
		t.row("replica", text)
	default:
		t.row("replica", r.Address+" is not ready")
	}
	if r == nil {
		return
	}
	for _, c := range r.Checks {
		t.row("  "+c.Name, c.Text())
	}
}
