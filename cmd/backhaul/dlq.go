package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/deadletter"
	"backhaul/publisher"
)

func newDeadLetterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at requests that could not be done, send them again, drop them",
		Long: `Each request that ended as job-failed or request-rejected is kept in the stream
BACKUP_DLQ, as it came, with the reason. A letter is named by its sequence there.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())}
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(newDeadLetterListCommand(), newDeadLetterShowCommand(), newDeadLetterReplayCommand(), newDeadLetterDropCommand())
	return cmd
}

func newDeadLetterListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters, the newest last",
		Example: `  backhaul dlq ls --nats nats://127.0.0.1:4222 --source billing --since 24h
  backhaul dlq ls --nats nats://127.0.0.1:4222 --error-code 35:4618 --output json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{errors.New("`dlq ls` takes filters; `dlq show` takes a sequence")}
			}
			output, err := outputOf(cmd)
			if err != nil {
				return err
			}
			filter, _, err := letterFilter(cmd, time.Now())
			if err != nil {
				return err
			}
			filter.Limit, _ = cmd.Flags().GetInt("limit")
			box, leave, err := openBox(cmd)
			if err != nil {
				return err
			}
			defer leave()
			letters, older, err := box.List(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if older > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d older ones are not shown; --limit 0 shows all\n", older)
			}
			return printLetters(cmd.OutOrStdout(), output, letters)
		},
	}
	addLetterFilterFlags(cmd)
	cmd.Flags().Int("limit", 100, "show the newest `number`, 0 means all")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
	return cmd
}

func newDeadLetterShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show SEQUENCE",
		Short: "Show one dead letter: the message, why it could not be done, its replays",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			output, err := outputOf(cmd)
			if err != nil {
				return err
			}
			numbers, err := sequencesOf(args)
			if err != nil {
				return err
			}
			if len(numbers) != 1 {
				return &usageError{errors.New("give the sequence of one dead letter")}
			}
			box, leave, err := openBox(cmd)
			if err != nil {
				return err
			}
			defer leave()
			l, err := box.Get(cmd.Context(), numbers[0])
			if err != nil {
				return err
			}
			return printLetter(cmd.OutOrStdout(), output, l)
		},
	}
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
	return cmd
}

// openBox connects to the dead letters.
func openBox(cmd *cobra.Command) (*deadletter.Box, func(), error) {
	nc, _, _, err := join(cmd)
	if err != nil {
		return nil, nil, err
	}
	box, err := deadletter.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return box, nc.Close, nil
}

func addLetterFilterFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.String("source", "", "only requests of this `source`")
	flags.String("client-name", "", "only requests for this object storage `client`")
	flags.String("subclient-name", "", "only requests for this content `group`")
	flags.String("error-code", "", "only failures with this `code`, ours or the vendor's in either form")
	flags.String("request-id", "", "only requests with this `id`")
	flags.String("since", "", "`time` (2026-11-23T10:00:00Z) or age (90m) of the oldest letter")
	flags.String("until", "", "`time` or age of the newest letter")
}

// letterFilter reads those flags, and whether any is set.
func letterFilter(cmd *cobra.Command, now time.Time) (f deadletter.Filter, any bool, err error) {
	flags := cmd.Flags()
	var since, until string
	for name, value := range map[string]*string{
		"source": &f.Source, "client-name": &f.Client, "subclient-name": &f.Subclient, "error-code": &f.Code,
		"request-id": &f.RequestID, "since": &since, "until": &until,
	} {
		*value, _ = flags.GetString(name)
		any = any || *value != ""
	}
	if f.Source != "" {
		if err := publisher.CheckSource(f.Source); err != nil {
			return f, any, &usageError{fmt.Errorf("--source: %w", err)}
		}
	}
	if f.Since, err = timeOrAge(since, now); err != nil {
		return f, any, &usageError{fmt.Errorf("--since: %w", err)}
	}
	if f.Until, err = timeOrAge(until, now); err != nil {
		return f, any, &usageError{fmt.Errorf("--until: %w", err)}
	}
	return f, any, nil
}

func timeOrAge(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is neither an age such as 90m nor a time such as 2026-11-23T10:00:00Z", text)
	}
	return t, nil
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
