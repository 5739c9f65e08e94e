package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

// actFlags are those of the commands that act on dead letters.
type actFlags struct {
	filters          deadLetterFlags
	all, dryRun, yes bool
	succeeded        bool // of drop
	limit            int
	operator         operatorFlags
	output           string
}

// replayFlags are those of `backhaul dlq replay`.
type replayFlags struct {
	actFlags
	file         string
	again, force bool
}

func newDeadLetterReplayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay [SEQUENCE...]",
		Short: "Send dead letters again, each under a new request id",
		Long: `Publishes the message of a dead letter again as it came, under a new request id;
the events of the new request name the old one in replayOf. The dead letter stays.
A replay that is repeated is the same request, unless --again asks for another one.
What cannot succeed unchanged, such as an invalid request, is refused: --file sends
a corrected one in its place, --force sends it all the same.

A storage notification is put back on the subject that it came from, and the trigger
reads it like any other; one that this version does not understand is refused. After
an upgrade, or a change of the routes: --subject 'storage.event.>'.

Dead letters are named by sequences or selected by filters; --all selects all.
Without --again, those whose replay has its outcome are skipped; so are cancelled
requests, unless they are named or --error-code CANCELLED selects them. Exit code 1 if any
was refused, or is left over because of --limit.`,
		Example: `  backhaul dlq replay --nats nats://127.0.0.1:4222 12 --reason "content group made, CHG-17"
  backhaul dlq replay --nats nats://127.0.0.1:4222 13 --file corrected.json
  backhaul dlq replay --nats nats://127.0.0.1:4222 --source billing --error-code 35:4618 --dry-run
  backhaul dlq replay --nats nats://127.0.0.1:4222 --subject 'storage.event.>' --reason "after the upgrade"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runReplay(cmd, args, f) },
	}
	cmd.Flags().StringVar(&f.file, "file", "", "`file` with a corrected request, - for standard input; for one dead letter")
	cmd.Flags().BoolVar(&f.again, "again", false, "make another request although the last replay has its outcome")
	cmd.Flags().BoolVar(&f.force, "force", false, "send also what is not expected to succeed, and what may start a second job (OUTCOME_UNKNOWN)")
	addActFlags(cmd, &f.actFlags)
	return cmd
}

func newDeadLetterDropCommand() *cobra.Command {
	var f actFlags
	cmd := &cobra.Command{
		Use:        "drop [SEQUENCE...]",
		SuggestFor: []string{"delete", "remove", "rm"},
		Short:      "Delete dead letters for good",
		Long: `Deletes dead letters. What was asked for, by whom and why stays in the events
stream, and so do the requests' own events; the message does not. Dead letters
are named by sequences or selected by filters; --all selects all.`,
		Example: `  backhaul dlq drop --nats nats://127.0.0.1:4222 12 13 --reason "test data"
  backhaul dlq drop --nats nats://127.0.0.1:4222 --succeeded --reason "done since"
  backhaul dlq drop --nats nats://127.0.0.1:4222 --source load-test --until 720h --dry-run`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return runDrop(cmd, args, f) },
	}
	addActFlags(cmd, &f)
	cmd.Flags().BoolVar(&f.succeeded, "succeeded", false, "as --state succeeded: those whose replay has started a job")
	return cmd
}

func addActFlags(cmd *cobra.Command, f *actFlags) {
	addDeadLetterFlags(cmd, &f.filters)
	cmd.Flags().BoolVar(&f.all, "all", false, "select all dead letters")
	cmd.Flags().IntVar(&f.limit, "limit", 1000, "act on this `number` at most, the oldest first")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done")
	addYesFlag(cmd, &f.yes)
	addOperatorFlags(cmd, &f.operator)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &f.output)
}

// act is what a command does with the selected dead letters.
type act struct {
	verb string // for the question
	// does acts on one; an error about that one is shown and counted.
	does func(context.Context, deadletter.Message) (result, error)
	// would says what does would do.
	would func(context.Context, deadletter.Message) (result, error)
	// skip reports whether to leave one of a selection alone.
	skip func(deadletter.Message) bool
}

// result is what happened to one dead letter.
type result struct {
	Sequence     uint64 `json:"sequence"`
	Source       string `json:"source"`
	RequestID    string `json:"requestId"`
	Result       string `json:"result"`
	NewRequestID string `json:"newRequestId,omitempty"`
	PutBackOn    string `json:"putBackOn,omitempty"`
	Why          string `json:"why,omitempty"`
}

func runReplay(cmd *cobra.Command, args []string, f replayFlags) error {
	order := deadletter.Order{Again: f.again, Force: f.force}
	if f.file != "" {
		if len(args) != 1 {
			return &usageError{errors.New("--file corrects one dead letter: give its sequence")}
		}
		var err error
		if order.Payload, err = readInput(cmd, f.file); err != nil {
			return &usageError{fmt.Errorf("--file: %w", err)}
		}
	}
	var err error
	if order.By, err = f.operator.by(); err != nil {
		return err
	}
	return runAct(cmd, args, f.actFlags, func(store *deadletter.Store) act {
		state := func(p deadletter.Plan, first, repeated string) result {
			if p.Repeated {
				first = repeated
			}
			if p.PutBackOn != "" {
				return result{Result: first, PutBackOn: p.PutBackOn}
			}
			return result{Result: first, NewRequestID: p.RequestID}
		}
		return act{
			verb: "Replay",
			does: func(ctx context.Context, l deadletter.Message) (result, error) {
				plan, err := store.Replay(ctx, l, order)
				return state(plan, "replayed", "sent again"), err
			},
			would: func(ctx context.Context, l deadletter.Message) (result, error) {
				plan, err := store.Plan(ctx, l, order)
				return state(plan, "would replay", "would send again"), err
			},
			skip: func(l deadletter.Message) bool {
				return !order.Again && l.Replayed() || l.Code == schemas.CodeCancelled && f.filters.code != schemas.CodeCancelled
			},
		}
	})
}

func runDrop(cmd *cobra.Command, args []string, f actFlags) error {
	by, err := f.operator.by()
	if err != nil {
		return err
	}
	return runAct(cmd, args, f, func(store *deadletter.Store) act {
		return act{
			verb: "Drop for good",
			does: func(ctx context.Context, l deadletter.Message) (result, error) {
				return result{Result: "dropped"}, store.Drop(ctx, l, by)
			},
			would: func(context.Context, deadletter.Message) (result, error) { return result{Result: "would drop"}, nil },
			skip:  func(deadletter.Message) bool { return false },
		}
	})
}

// runAct selects dead letters, asks, acts on each, and sums up.
func runAct(cmd *cobra.Command, args []string, f actFlags, on func(*deadletter.Store) act) error {
	numbers, err := sequencesOf(args)
	if err != nil {
		return err
	}
	if f.succeeded {
		if f.filters.state != "" && f.filters.state != string(deadletter.Succeeded) {
			return &usageError{fmt.Errorf("--succeeded does not go with --state %s", f.filters.state)}
		}
		f.filters.state = string(deadletter.Succeeded)
	}
	filter, err := f.filters.filter()
	if err != nil {
		return err
	}
	filtered := f.filters != deadLetterFlags{}
	switch {
	case f.limit < 1:
		return &usageError{errors.New("--limit must be at least 1")}
	case len(numbers) > 0 && (filtered || f.all):
		return &usageError{errors.New("sequences do not go with filters or --all")}
	case len(numbers) == 0 && !filtered && !f.all:
		return &usageError{errors.New("which dead letters? Give sequences, filters, or --all")}
	}
	return withDeadLetters(cmd, func(ctx context.Context, store *deadletter.Store) error {
		doing := on(store)
		deadLetters, left, err := selectDeadLetters(ctx, store, numbers, filter, f.limit, doing.skip)
		if err != nil {
			return err
		}
		return actOnAll(ctx, cmd, f, doing, deadLetters, left)
	})
}

// actOnAll asks, acts on each dead letter, and sums up. left are those that are left over.
func actOnAll(ctx context.Context, cmd *cobra.Command, f actFlags, doing act, deadLetters []deadletter.Message, left int) error {
	if left > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d more are selected than --limit allows; repeat the command for them\n", left)
	}
	if len(deadLetters) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no dead letter is selected")
		return nil
	}
	do := doing.does
	if f.dryRun {
		do = doing.would
	} else if err := confirm(cmd, f.yes, doing.question(deadLetters)); err != nil {
		return err
	}
	good, err := actOnEach(ctx, cmd, f.output, deadLetters, do)
	if err == nil && (!good || left > 0) {
		err = errSaid
	}
	return err
}

// selectDeadLetters returns the dead letters to act on, the oldest first, and how many are left
// over.
func selectDeadLetters(ctx context.Context, store *deadletter.Store, numbers []uint64, f deadletter.Filter, limit int, skip func(deadletter.Message) bool) (deadLetters []deadletter.Message, left int, err error) {
	if len(numbers) > 0 {
		deadLetters, err = store.Select(ctx, numbers)
	} else {
		deadLetters, _, err = store.List(ctx, f)
		deadLetters = slices.DeleteFunc(deadLetters, skip)
	}
	if err != nil {
		return nil, 0, err
	}
	if len(deadLetters) > limit {
		left = len(deadLetters) - limit
		deadLetters = deadLetters[:limit]
	}
	return deadLetters, left, nil
}

// question names what is selected by source, so that a filter that is too wide is seen.
func (a act) question(deadLetters []deadletter.Message) string {
	noun := "dead letters"
	if len(deadLetters) == 1 {
		noun = "dead letter"
	}
	return fmt.Sprintf("%s %d %s (%s)?", a.verb, len(deadLetters), noun, deadletter.Counts(deadLetters))
}

// actOnEach acts on one dead letter after the other and prints the results. It goes on
// after one that is refused, and stops where the server fails.
func actOnEach(ctx context.Context, cmd *cobra.Command, output string, deadLetters []deadletter.Message, do func(context.Context, deadletter.Message) (result, error)) (good bool, err error) {
	counts := make(map[string]int)
	good = true
	for _, l := range deadLetters {
		if err = ctx.Err(); err != nil {
			break
		}
		var r result
		r, err = do(ctx, l)
		replayed, isReplayed := errors.AsType[*deadletter.ReplayedError](err)
		putBack, isPutBack := errors.AsType[*deadletter.PutBackError](err)
		refused, isRefused := errors.AsType[*deadletter.RefusedError](err)
		_, isGone := errors.AsType[*deadletter.NotFoundError](err)
		switch {
		case isPutBack:
			r = result{Result: "left alone", Why: putBack.Error() + "; --again puts it back once more"}
		case isReplayed:
			r = result{Result: "left alone", Why: replayed.Error() + "; --again makes another request"}
		case isRefused:
			good = false
			r = result{Result: "refused", Why: refused.Error()}
			if refused.Forcible {
				r.Why += "; --force sends it all the same"
			}
		case isGone:
			r = result{Result: "gone", Why: err.Error()}
		}
		if err != nil && !isReplayed && !isPutBack && !isRefused && !isGone {
			break
		}
		err = nil
		counts[r.Result]++
		r.Sequence, r.Source, r.RequestID = l.Number, l.Key.Source, l.RequestID
		printResult(cmd.OutOrStdout(), output, r)
	}
	var parts []string
	done := 0
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
		done += counts[state]
	}
	if rest := len(deadLetters) - done; rest > 0 {
		parts = append(parts, fmt.Sprintf("%d not reached", rest))
	}
	fmt.Fprintln(cmd.ErrOrStderr(), strings.Join(parts, ", "))
	return good, err
}

func printResult(w io.Writer, output string, r result) {
	if output == outputJSON {
		_ = printJSON(w, r) // a broken pipe ends the program anyway
		return
	}
	text := fmt.Sprintf("%d  %s/%s  %s", r.Sequence, r.Source, dash(r.RequestID), r.Result)
	if r.NewRequestID != "" {
		text += " as " + r.NewRequestID
	}
	if r.PutBackOn != "" {
		text += " on " + r.PutBackOn
	}
	if r.Why != "" {
		text += ": " + r.Why
	}
	fmt.Fprintln(w, show.Line(text))
}
