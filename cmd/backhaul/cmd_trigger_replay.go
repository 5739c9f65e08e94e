package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/routes"
	"backhaul/consumer/trigger"
	"backhaul/schemas"
)

// streamPrefix begins the name of a stream in the place of a file.
const streamPrefix = "stream:"

// replayOptions are those of `backhaul trigger replay`.
type replayOptions struct {
	subject, against, output string
	since                    time.Time
}

func newTriggerReplayCommand() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay FILE|stream:NAME",
		Short: "Show how many requests the routes would make of recorded notifications",
		Long: `Reads notifications from a file of JSON documents, from standard input (-), or from a
stream, and computes the windows that would end and the requests that would be made
of them, hour by hour. Each request is one writing call at the vendor. Nothing is
sent, and nothing is taken from the stream. --against compares with the routes of a
second file.

The time of a notification in a file is that of its first change with a time; in a
stream, when it was stored. STORAGE_EVENTS has only what is not requested yet: keep
a day in a stream of your own (a mirror or source of it) or in a file.`,
		Example: `  backhaul trigger replay day.ndjson --routes routes.yaml --against new-routes.yaml
  backhaul trigger replay stream:STORAGE_EVENTS --since 24h --routes routes.yaml --nats nats://127.0.0.1:4222`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give one FILE, - for standard input, or stream:NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runTriggerReplay(cmd, args[0], o) },
	}
	cmd.Flags().StringVar(&o.subject, "subject", "storage.event.file", "subject of the notifications in a file")
	cmd.Flags().StringVar(&o.against, "against", "", "compare with the routes of this `file`")
	addMoment(cmd, &o.since, "since", "`time` (2026-11-23T10:00:00Z) or age (24h, 7d) of the oldest notification")
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupTrigger, config.GroupLog)
	addOutputFlag(cmd, &o.output)
	return cmd
}

// forecast is the forecast by one routes file.
type forecast struct {
	Routes string `json:"routes"`
	trigger.Forecast
	RequestsPerHour float64 `json:"requestsPerHour"`
}

func runTriggerReplay(cmd *cobra.Command, from string, o replayOptions) error {
	rs, err := loadRoutes(cmd)
	if err != nil {
		return err
	}
	all := []*trigger.Routes{rs}
	if o.against != "" {
		other, err := routes.Load(o.against)
		if err != nil {
			return config.FileError(err)
		}
		all = append(all, other)
	}
	forecasters := make([]*trigger.Forecaster, len(all))
	for i, rs := range all {
		forecasters[i] = trigger.NewForecaster(rs)
	}
	add := func(subject string, header schemas.Header, data []byte, stored time.Time) {
		if stored.Before(o.since) {
			return
		}
		for _, f := range forecasters {
			f.Add(subject, header, data, stored)
		}
	}
	if stream, ok := strings.CutPrefix(from, streamPrefix); ok {
		err = addStream(cmd, stream, add)
	} else {
		err = addFile(cmd, from, o.subject, add)
	}
	if err != nil {
		return err
	}
	forecasts := make([]forecast, len(all))
	for i, f := range forecasters {
		sum := f.End()
		forecasts[i] = forecast{Routes: all[i].File, Forecast: sum, RequestsPerHour: sum.PerHour()}
	}
	return printForecasts(cmd, o.output, forecasts)
}

// addFile adds the notifications of a file, each at the time of its changes.
func addFile(cmd *cobra.Command, file, subject string, add func(string, schemas.Header, []byte, time.Time)) error {
	data, err := readInput(cmd, file)
	if err != nil {
		return &usageError{err}
	}
	var last time.Time
	for _, message := range messages(data) {
		changes, _ := trigger.Decode(nil, message)
		for _, c := range changes {
			if !c.Time.IsZero() {
				last = c.Time
				break
			}
		}
		add(subject, nil, message, last)
	}
	return nil
}

// addStream adds the messages of a stream, one after the other and without a consumer.
func addStream(cmd *cobra.Command, name string, add func(string, schemas.Header, []byte, time.Time)) error {
	nc, js, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, explain := ask(cmd.Context(), nc)
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return explain(fmt.Errorf("read stream %s: %w", name, err))
	}
	state := stream.CachedInfo().State
	for next := state.FirstSeq; next <= state.LastSeq; {
		msg, err := nextMessage(ctx, stream, next)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return explain(fmt.Errorf("read stream %s: %w", name, err))
		}
		add(msg.Subject, schemas.Header(msg.Header), msg.Data, msg.Time)
		next = msg.Sequence + 1
	}
	return nil
}

// nextMessage returns the first message of a stream from a sequence on.
func nextMessage(ctx context.Context, stream jetstream.Stream, from uint64) (*jetstream.RawStreamMsg, error) {
	return stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(">"))
}

func printForecasts(cmd *cobra.Command, output string, forecasts []forecast) error {
	w := cmd.OutOrStdout()
	if output == outputJSON {
		for _, f := range forecasts {
			if err := printJSON(w, f); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w)
	row := func(name string, value func(f forecast) string) {
		cells := []string{name}
		for _, f := range forecasts {
			cells = append(cells, value(f))
		}
		t.row(cells...)
	}
	number := func(n int) string { return fmt.Sprint(n) }
	row("", func(f forecast) string { return f.Routes })
	row("notifications", func(f forecast) string { return number(f.Notifications) })
	row("not understood", func(f forecast) string { return number(f.Refused) })
	row("changes without a route", func(f forecast) string { return number(f.Unrouted) })
	row("content groups", func(f forecast) string { return number(f.Groups) })
	row("windows", func(f forecast) string { return number(f.Requests + f.Cancelled) })
	row("requests", func(f forecast) string { return number(f.Requests) })
	row("changes in requests", func(f forecast) string { return number(f.Changes) })
	row("writes per hour", func(f forecast) string { return fmt.Sprintf("%.1f", f.RequestsPerHour) })
	row("in the busiest hour", func(f forecast) string {
		if f.Busiest == 0 {
			return "0"
		}
		return fmt.Sprintf("%d, from %s", f.Busiest, stamp(f.BusiestHour))
	})
	return t.flush()
}
