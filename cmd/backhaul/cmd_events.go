package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/show"
	"backhaul/consumer/scope"
	"backhaul/schemas"
)

// eventsFlags are those of `backhaul events`.
type eventsFlags struct {
	queryFlags
	follow      bool
	limit, last int
	output      string
}

func newEventsCommand() *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what became of requests",
		Long: `Reads the events stream in its order, from the beginning or from --since. With
--output json each line is one CloudEvent. Kind, source and request id are
filtered by the server; the other filters read what is left.

With --archive it reads an archive of "backhaul archive" instead, with the same
filters, and no server. That its checkpoint is signed is verified, and no more:
"backhaul verify" does the rest.`,
		Example: `  backhaul events --nats nats://127.0.0.1:4222 --since 1h --kind job-failed
  backhaul events --nats nats://127.0.0.1:4222 --last 20 --client-name s-adhoc-object-storage --label ticket=CHG-17
  backhaul events --nats nats://127.0.0.1:4222 --follow --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEvents(cmd, f) },
	}
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what comes")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "end after this `number` of events, 0 means no limit")
	cmd.Flags().IntVar(&f.last, "last", 0, "begin with the last `number` of events, 0 means with the first")
	addQueryFlags(cmd, &f.queryFlags)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupArchive, config.GroupLog)
	addOutputFlag(cmd, &f.output)
	return cmd
}

func runEvents(cmd *cobra.Command, f eventsFlags) error {
	archived := flagOf(cmd, "archive").Changed // the environment alone is for the archiver
	query, wanted, err := f.query()
	if err != nil {
		return err
	}
	query.Follow = f.follow
	switch {
	case f.limit < 0 || f.last < 0:
		return &usageError{errors.New("--limit and --last must not be negative")}
	case query.Follow && !query.Until.IsZero():
		return &usageError{errors.New("--until does not go with --follow")}
	case archived && (query.Follow || f.last > 0):
		return &usageError{errors.New("--archive does not go with --follow and --last")}
	}
	read, close, err := eventsOf(cmd, archived, &query, f)
	if err != nil {
		return err
	}
	defer close()
	// With `events | head` a write fails instead of ending the process, so that the
	// consumer is deleted. Sockets never ended it.
	signal.Ignore(syscall.SIGPIPE)
	out := bufio.NewWriter(cmd.OutOrStdout())
	shown := 0
	printed := func(err error) error {
		if err != nil {
			return err
		}
		if shown++; shown == f.limit {
			return eventlog.ErrStop
		}
		if query.Follow {
			return out.Flush()
		}
		return nil
	}
	if wanted.operators {
		query.Operators = func(e eventlog.OperatorEvent) error { return printed(printOperatorEvent(out, f.output, e)) }
	}
	if wanted.protection {
		query.Protection = func(e eventlog.ProtectionEvent) error { return printed(printProtectionEvent(out, f.output, e)) }
	}
	err = read(func(e eventlog.Event) error { return printed(printEvent(out, f.output, e)) })
	err = errors.Join(err, out.Flush())
	if errors.Is(err, syscall.EPIPE) {
		return errSaid // the reader of the output has gone
	}
	if query.Follow && cmd.Context().Err() != nil {
		return nil // it has no other end
	}
	return err
}

// eventsOf returns how to read the events that a query selects, from the stream or from an archive,
// and what to call afterwards.
func eventsOf(cmd *cobra.Command, archived bool, query *eventlog.Query, f eventsFlags) (read func(func(eventlog.Event) error) error, close func(), err error) {
	if archived {
		reader, err := openArchive(cmd)
		if err != nil {
			return nil, nil, err
		}
		return func(visit func(eventlog.Event) error) error {
			return reader.Messages(cmd.Context(), 0, func(m archive.Message) error {
				err := query.Take(m.RawStreamMsg, visit)
				if errors.Is(err, eventlog.ErrStop) {
					return archive.ErrStop
				}
				return err
			})
		}, func() {}, nil
	}
	nc, js, _, err := join(cmd)
	if err != nil {
		return nil, nil, err
	}
	ctx, explain := ask(cmd.Context(), nc)
	return func(visit func(eventlog.Event) error) error {
		if f.requestID != "" && !f.follow {
			return explain(visitOfRequest(ctx, js, *query, f.last, visit))
		}
		if f.last > 0 { // of all that the query wants by now
			if query.From, err = eventlog.Tail(ctx, js, *query, f.last); err != nil || query.From == 0 && !query.Follow {
				return explain(err)
			}
		}
		return explain(eventlog.Read(ctx, js, *query, visit))
	}, nc.Close, nil
}

// visitOfRequest calls visit for the events of one request, which a query selects, or for the last of them.
func visitOfRequest(ctx context.Context, js jetstream.JetStream, query eventlog.Query, last int, visit func(eventlog.Event) error) error {
	events, err := eventlog.OfFilters(ctx, js, query)
	if last > 0 {
		events = events[max(0, len(events)-last):]
	}
	for _, e := range events {
		if err := visit(e); err != nil {
			if errors.Is(err, eventlog.ErrStop) {
				return nil
			}
			return err
		}
	}
	return err
}

// printEvent writes one event as a line.
func printEvent(w io.Writer, output string, e eventlog.Event) error {
	if output == outputJSON {
		_, err := fmt.Fprintf(w, "%s\n", e.CloudEvent().Structured())
		return err
	}
	names := e.Data.Names()
	_, err := fmt.Fprintln(w, show.Line(fmt.Sprintf("%s  %-16s  %-10s  %-26s  %s/%s  %s", e.Stored.UTC().Format(time.RFC3339), e.Kind,
		names.Source, names.RequestID, dash(names.ClientName), dash(names.SubclientName), history.Line(e.Data))))
	return err
}

// kindOperator stands in the place of a kind for the events about what operators
// did: they are about no request.
const kindOperator = "operator"

// printOperatorEvent writes one event about what an operator did as a line.
func printOperatorEvent(w io.Writer, output string, e eventlog.OperatorEvent) error {
	if output == outputJSON {
		_, err := fmt.Fprintf(w, "%s\n", e.CloudEvent().Structured())
		return err
	}
	_, err := fmt.Fprintln(w, show.Line(fmt.Sprintf("%s  %-16s  %-12s  %-26s  %s", e.Stored.UTC().Format(time.RFC3339), kindOperator,
		e.Action, e.Actor, operatorGist(e.OperatorEvent))))
	return err
}

// operatorGist is what a person wants to know of it first.
func operatorGist(e schemas.OperatorEvent) string {
	var text string
	switch e.Action {
	case schemas.ActionPause:
		text = "until " + e.Pause.Until.UTC().Format(time.RFC3339)
	case schemas.ActionResume:
		text = "instead of at " + e.Pause.Until.UTC().Format(time.RFC3339)
	case schemas.ActionPauseScope:
		text = fmt.Sprintf("%s until %s", scope.Of(e.Scope), e.Scope.Until.UTC().Format(time.RFC3339))
	case schemas.ActionResumeScope:
		text = fmt.Sprintf("%s instead of at %s", scope.Of(e.Scope), e.Scope.Until.UTC().Format(time.RFC3339))
	case schemas.ActionJobSuspend, schemas.ActionJobResume, schemas.ActionJobKill:
		text = fmt.Sprintf("job %s of %s/%s", e.JobID, e.Request.Source, e.Request.RequestID)
	case schemas.ActionSealed:
		text = fmt.Sprintf("archive %s with %d leaves, up to event %d", e.Checkpoint.Log, e.Checkpoint.Size, e.Checkpoint.Next-1)
	case schemas.ActionDeadLetterReplay:
		text = fmt.Sprintf("dead letter %d (%s/%s, %s) as %s", e.DeadLetter.Sequence, e.DeadLetter.Source, e.DeadLetter.RequestID, e.DeadLetter.ErrorCode, e.Replay.RequestID)
	case schemas.ActionCancel:
		text = "request " + e.Request.Source + "/" + e.Request.RequestID
	case schemas.ActionDeadLetterDrop:
		text = fmt.Sprintf("dead letter %d (%s/%s, %s)", e.DeadLetter.Sequence, e.DeadLetter.Source, e.DeadLetter.RequestID, e.DeadLetter.ErrorCode)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// kindProtection stands in the place of a kind for the events about the protection of
// content groups.
const kindProtection = "protection"

// printProtectionEvent writes one event about the protection of a content group as a line.
func printProtectionEvent(w io.Writer, output string, e eventlog.ProtectionEvent) error {
	if output == outputJSON {
		_, err := fmt.Fprintf(w, "%s\n", e.CloudEvent().Structured())
		return err
	}
	_, err := fmt.Fprintln(w, show.Line(fmt.Sprintf("%s  %-16s  %-10s  %-26s  %s/%s  since %s: %s", e.Stored.UTC().Format(time.RFC3339), kindProtection,
		e.State, dash(e.Owner), e.ClientName, e.SubclientName, e.Since.UTC().Format(time.RFC3339), e.Reason)))
	return err
}
