package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/cancel"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
)

// maxNamedJobs bounds the started requests whose jobs are printed.
const maxNamedJobs = 20

// reportMissing prints where the requests of the file stand that are not selected. The jobs of those
// that have started are named, because they can be killed.
func (c *canceller) reportMissing(ctx context.Context, js jetstream.JetStream, selected []cancel.Request) error {
	f := c.flags.filter
	waiting := selected
	if f.Client != "" || f.Subclient != "" || len(f.Labels) > 0 {
		all, err := c.desk.Select(ctx, cancel.Filter{Source: f.Source, IDs: f.IDs})
		if err != nil {
			return err
		}
		waiting = all
	}
	missing := maps.Clone(f.IDs)
	for _, r := range waiting {
		delete(missing, r.RequestID)
	}
	if n := len(waiting) - len(selected); n > 0 {
		fmt.Fprintf(c.cmd.ErrOrStderr(), "%d of the file's %s not selected by another filter\n", n, plural(len(f.IDs), "request waits but is", "requests wait but are"))
	}
	if len(missing) == 0 {
		return nil
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return fmt.Errorf("read %s: %w", publisher.EventsStream, err)
	}
	counts := make(map[history.Status]int)
	var started, jobs []string
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		key := publisher.NewKey(f.Source, id)
		brief, err := history.ReadBrief(ctx, events, key)
		if err != nil {
			return err
		}
		counts[brief.Status]++
		if brief.Status == history.Started {
			started = append(started, fmt.Sprintf("%s/%s has started: job %s", f.Source, id, strings.Join(brief.JobIDs, ", ")))
			jobs = append(jobs, brief.JobIDs...)
		}
	}
	c.printMissing(len(missing), counts, started, jobs)
	return nil
}

func (c *canceller) printMissing(missing int, counts map[history.Status]int, started, jobs []string) {
	f, w := c.flags.filter, c.cmd.ErrOrStderr()
	var parts []string
	for _, status := range history.Statuses {
		if n := counts[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status.Word()))
		}
	}
	if n := counts[history.NotFound]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d never sent by the source %s with this name of the batch, or no longer known", n, f.Source))
	}
	fmt.Fprintf(w, "%d of the file's %s not wait: %s\n", missing, plural(len(f.IDs), "request does", "requests do"), strings.Join(parts, ", "))
	for i, text := range started {
		if i == maxNamedJobs {
			fmt.Fprintf(w, "and %d more have started: `backhaul requests --source %s --file FILE --state started -o job` lists the jobs\n", len(started)-i, f.Source)
			break
		}
		fmt.Fprintln(w, show.Line(text))
	}
	switch {
	case len(started) > maxNamedJobs:
		fmt.Fprintln(w, "a job that has started goes on; `backhaul job kill JOB...` ends it, with the vendor's settings")
	case len(started) > 0:
		fmt.Fprintln(w, show.Line("a job that has started goes on; `backhaul job kill "+strings.Join(jobs, " ")+"` ends those, with the vendor's settings"))
	}
}
