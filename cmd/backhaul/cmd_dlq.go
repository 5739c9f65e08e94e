package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/deadletter"
)

func newDeadLetterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at requests that could not be done, send them again, drop them",
		Long: `Each request that ended as job-failed or request-rejected is kept in the stream
BACKUP_DLQ, as it came, with the reason. A dead letter is named by its sequence
in that stream. It is open, or replayed, or succeeded if a replay has started a job. A
replay that fails has a dead letter of its own, which is open then: --state open shows
one for each request that still fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadLetterListCommand(), newDeadLetterShowCommand(), newDeadLetterReplayCommand(), newDeadLetterDropCommand())
	return cmd
}

func newDeadLetterListCommand() *cobra.Command {
	var f deadLetterFlags
	var limit int
	var output string
	cmd := &cobra.Command{
		Use:        "ls",
		SuggestFor: []string{"list"},
		Short:      "List dead letters, the newest last",
		Example: `  backhaul dlq ls --nats nats://127.0.0.1:4222 --source billing --since 24h
  backhaul dlq ls --nats nats://127.0.0.1:4222 --state open
  backhaul dlq ls --nats nats://127.0.0.1:4222 --error-code 35:4618 --output json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{errors.New("`dlq ls` takes filters; `dlq show` takes a sequence")}
			}
			filter, err := f.filter()
			if err != nil {
				return err
			}
			filter.Limit = limit
			return withDeadLetters(cmd, func(ctx context.Context, store *deadletter.Store) error {
				deadLetters, older, err := store.List(ctx, filter)
				if err != nil {
					return err
				}
				if older > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d older ones are not shown; --limit 0 shows all\n", older)
				}
				return printDeadLetters(cmd.OutOrStdout(), output, deadLetters)
			})
		},
	}
	addDeadLetterFlags(cmd, &f)
	cmd.Flags().IntVar(&limit, "limit", 100, "show the newest `number`, 0 means all")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &output)
	return cmd
}

func newDeadLetterShowCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "show SEQUENCE",
		Short: "Show one dead letter: the message, why it could not be done, its replays",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers, err := sequencesOf(args)
			if err != nil {
				return err
			}
			if len(numbers) != 1 {
				return &usageError{errors.New("give the sequence of one dead letter")}
			}
			return withDeadLetters(cmd, func(ctx context.Context, store *deadletter.Store) error {
				l, err := store.Get(ctx, numbers[0])
				if err != nil {
					return err
				}
				return printDeadLetter(cmd.OutOrStdout(), output, l)
			})
		},
	}
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &output)
	return cmd
}

// withDeadLetters connects to the dead letters for as long as use takes.
func withDeadLetters(cmd *cobra.Command, use func(context.Context, *deadletter.Store) error) error {
	nc, _, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	store, err := deadletter.New(nc)
	if err != nil {
		return err
	}
	ctx, explain := ask(cmd.Context(), nc)
	return explain(use(ctx, store))
}

// letterFlags select dead letters. The zero value selects all.
type deadLetterFlags struct {
	source, client, subclient string
	code, requestID, subject  string
	state                     string
	since, until              time.Time
}

func addDeadLetterFlags(cmd *cobra.Command, f *deadLetterFlags) {
	addSourceFilter(cmd, &f.source)
	addFilter(cmd, &f.client, "client-name", "only requests for this object storage `client`")
	addFilter(cmd, &f.subclient, "subclient-name", "only requests for this content `group`")
	addFilter(cmd, &f.code, "error-code", "only failures with this `code`, ours or the vendor's in either form")
	addFilter(cmd, &f.requestID, "request-id", "only requests with this `id`")
	addFilter(cmd, &f.subject, "subject", "only messages that came on this `subject`, such as storage.event.>")
	cmd.Flags().Var(filterValue{text: &f.state, check: checkState}, "state", "only those that have become of this: `open|replayed|succeeded`")
	addMoment(cmd, &f.since, "since", "`time` (2026-11-23T10:00:00Z) or age (90m, 7d) of the oldest dead letter")
	addMoment(cmd, &f.until, "until", "`time` or age of the newest dead letter")
}

// filter returns what the flags select. The error is a [*usageError].
func (f deadLetterFlags) filter() (deadletter.Filter, error) {
	return deadletter.Filter{
		Source: f.source, Client: f.client, Subclient: f.subclient, Code: f.code, RequestID: f.requestID, Subject: f.subject, Since: f.since, Until: f.until, State: deadletter.State(f.state),
	}, checkPeriod(f.since, f.until)
}

func checkState(state string) error {
	if !slices.Contains(deadletter.States, deadletter.State(state)) {
		return fmt.Errorf("must be one of %s", joined(deadletter.States))
	}
	return nil
}

func sequencesOf(args []string) ([]uint64, error) {
	var numbers []uint64
	for _, arg := range args {
		number, err := strconv.ParseUint(arg, 10, 64)
		if err != nil || number == 0 {
			return nil, &usageError{fmt.Errorf("%q is not the sequence of a dead letter", arg)}
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}
