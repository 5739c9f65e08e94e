package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"backhaul/publisher"
	"backhaul/schemas/bounded"
)

// maxInput is the largest input of a command, such as a file of requests.
const maxInput = 64 << 20

// readInput reads a file, or standard input if it is named -. A pipe is good, as of
// a process substitution; more than maxInput is refused.
func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return bounded.Read(cmd.InOrStdin(), maxInput)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := bounded.Read(f, maxInput)
	if _, large := errors.AsType[*bounded.SizeError](err); large {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return data, err
}

// checkFilters refuses a filter that is given and empty, as a variable of a script
// may be: without it more would be selected than was meant. The error is a
// [*usageError].
func checkFilters(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return &usageError{fmt.Errorf("--%s is empty; leave it out to select all", name)}
		}
	}
	return nil
}

// sourceOf reads --source, "" if it is not given. The error is a [*usageError].
func sourceOf(cmd *cobra.Command) (string, error) {
	source, _ := cmd.Flags().GetString("source")
	if source == "" {
		return "", nil
	}
	return source, checkSource(source)
}

func checkSource(source string) error {
	if err := publisher.CheckSource(source); err != nil {
		return &usageError{fmt.Errorf("--source: %w", err)}
	}
	return nil
}

// periodOf reads --since and --until, zero if they are not given. The error is a
// [*usageError].
func periodOf(cmd *cobra.Command, now time.Time) (since, until time.Time, err error) {
	if since, err = momentOf(cmd, "since", now); err != nil {
		return since, until, err
	}
	if until, err = momentOf(cmd, "until", now); err != nil {
		return since, until, err
	}
	if !until.IsZero() && until.Before(since) {
		err = &usageError{errors.New("--until is before --since")}
	}
	return since, until, err
}

// momentOf reads a flag that is a time or an age.
func momentOf(cmd *cobra.Command, flag string, now time.Time) (time.Time, error) {
	text, _ := cmd.Flags().GetString(flag)
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &usageError{fmt.Errorf("--%s: %q is neither an age such as 90m nor a time such as 2026-11-23T10:00:00Z", flag, text)}
	}
	return t, nil
}
