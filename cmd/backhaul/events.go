package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

func newEventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what became of requests",
		Long: `Reads the events stream in its order, from the beginning or from --since. With
--output json each line is one CloudEvent.`,
		Example: `  backhaul events --nats nats://127.0.0.1:4222 --since 1h --kind job-failed
  backhaul events --nats nats://127.0.0.1:4222 --follow --output json`,
		Args: cobra.NoArgs,
		RunE: runEvents,
	}
	cmd.Flags().BoolP("follow", "f", false, "go on with what comes")
	cmd.Flags().String("since", "", "`time` (2026-11-23T10:00:00Z) or age (90m) to begin with")
	cmd.Flags().StringSlice("kind", nil, "only these `kinds`: job-submitting, job-started, job-failed, request-rejected, operator")
	cmd.Flags().String("source", "", "only requests of this `source`")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(kindNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func kindNames() []string {
	var names []string
	for _, kind := range schemas.Kinds {
		names = append(names, string(kind))
	}
	return append(names, kindOperator)
}

func runEvents(cmd *cobra.Command, _ []string) error {
	output, err := outputOf(cmd)
	if err != nil {
		return err
	}
	query, err := queryOf(cmd, time.Now())
	if err != nil {
		return err
	}
	nc, js, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	query.Operators = func(e eventlog.OperatorEvent) error { return printOperatorEvent(cmd.OutOrStdout(), output, e) }
	return eventlog.Read(cmd.Context(), js, query, func(e eventlog.Event) error {
		return printEvent(cmd.OutOrStdout(), output, e)
	})
}

func queryOf(cmd *cobra.Command, now time.Time) (eventlog.Query, error) {
	flags := cmd.Flags()
	var q eventlog.Query
	q.Follow, _ = flags.GetBool("follow")
	source, _ := flags.GetString("source")
	if source != "" {
		if err := publisher.CheckSource(source); err != nil {
			return q, &usageError{fmt.Errorf("--source: %w", err)}
		}
	}
	kinds, _ := flags.GetStringSlice("kind")
	for _, kind := range kinds {
		if kind == kindOperator {
			if source != "" {
				return q, &usageError{errors.New("--kind operator does not go with --source: it is about no request")}
			}
			q.Filters = append(q.Filters, publisher.AnyOperator)
			continue
		}
		if !slices.Contains(schemas.Kinds, schemas.Kind(kind)) {
			return q, &usageError{fmt.Errorf("--kind: %q is none of %v", kind, kindNames())}
		}
		q.Filters = append(q.Filters, publisher.EventFilter(schemas.Kind(kind), source))
	}
	if len(kinds) == 0 && source != "" {
		q.Filters = []string{publisher.EventFilter("", source)}
	}
	since, _ := flags.GetString("since")
	if since == "" {
		return q, nil
	}
	if age, err := time.ParseDuration(since); err == nil && age >= 0 {
		q.Since = now.Add(-age)
		return q, nil
	}
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return q, &usageError{fmt.Errorf("--since: %q is neither an age such as 90m nor a time such as 2026-11-23T10:00:00Z", since)}
	}
	q.Since = t
	return q, nil
}

// printEvent writes one event as a line.
func printEvent(w io.Writer, output string, e eventlog.Event) error {
	if output == outputJSON {
		_, err := fmt.Fprintf(w, "%s\n", e.CloudEvent().Structured())
		return err
	}
	names := e.Data.Names()
	_, err := fmt.Fprintf(w, "%s  %-16s  %-10s  %-26s  %s/%s  %s\n", e.Stored.UTC().Format(time.RFC3339), e.Kind,
		names.Source, names.RequestID, dash(names.ClientName), dash(names.SubclientName), gist(e.Data))
	return err
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// gist is what a person wants to know of an event first.
func gist(e schemas.Event) string {
	switch e := e.(type) {
	case *schemas.JobStarted:
		text := "job " + e.JobID
		if e.Adopted {
			text += ", found after a lost answer"
		}
		return text
	case *schemas.JobFailed:
		return fmt.Sprintf("%s: %s", e.ErrorCode, e.ErrorMessage)
	case *schemas.RequestRejected:
		return e.Reason
	case *schemas.JobSubmitting:
		if e.LeaseMillis == 0 {
			return "released by " + e.Owner
		}
		return "claimed by " + e.Owner
	default:
		return ""
	}
}
