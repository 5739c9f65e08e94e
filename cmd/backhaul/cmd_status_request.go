package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/show"
	"backhaul/consumer"
	"backhaul/publisher"
)

// showHistory prints what happened to one request. What happens next depends on
// settings of the replicas, which are taken to be ours.
func showHistory(ctx context.Context, w io.Writer, output string, js jetstream.JetStream, request history.Found, cfg *config.Config) error {
	s, err := request.Read(ctx, js)
	if err != nil {
		return err
	}
	if cfg.Vendor.WritesPerHour > 0 && s.Queued != nil {
		if budget, err := lookAtBudget(ctx, js); err == nil && budget != nil && budget.View != nil {
			s.NoStartBefore = budget.Next
		}
	}
	holds, err := holdUps(ctx, js, &s, cfg.Admin.Listen())
	if err != nil {
		return err
	}
	summary := s.Summary(history.Replicas{
		VisibilityWindow: cfg.Vendor.VisibilityWindow, FailInDoubt: cfg.Work.InDoubt == consumer.InDoubtFail,
		StartsPerHour: cfg.Vendor.Starts(),
	})
	if output == outputJSON {
		return printJSON(w, struct {
			Summary string `json:"summary"`
			// Due is an estimate of when a request that waits is started.
			Due time.Time `json:"due,omitzero"`
			// HoldUps hold up a request without an outcome, in addition to its LastError.
			HoldUps []holdUp `json:"holdUps,omitempty"`
			history.History
		}{summary, s.Due(cfg.Vendor.Starts()), holds, s})
	}
	return printHistory(w, s, summary, holds)
}

// findRequest is the request that is meant.
func findRequest(ctx context.Context, js jetstream.JetStream, source, id string) (history.Found, error) {
	found, err := history.Find(ctx, js, source, id)
	if before, after, both := strings.Cut(id, "/"); err == nil && len(found) == 0 && source == "" && both {
		found, err = history.Find(ctx, js, before, after)
	}
	switch {
	case err != nil:
		return history.Found{}, err
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return history.Found{}, fmt.Errorf("no request %s: it has no events and is not queued", id)
	}
	var names []string
	for _, request := range found {
		names = append(names, request.String())
	}
	return history.Found{}, &usageError{fmt.Errorf("%s is the id of %d requests, say which one: %s", id, len(found), strings.Join(names, ", "))}
}

func printHistory(w io.Writer, s history.History, summary string, holds []holdUp) error {
	key := publisher.Key{Source: s.Source, Name: s.Key}
	fmt.Fprintf(w, "%s: %s\n\n", key, show.Line(summary))
	t := newTable(w)
	if s.RequestID != "" && s.RequestID != s.Key {
		t.row("request id", s.RequestID)
	}
	if last := s.Last(); last != nil {
		names := last.Event.Names()
		t.row("client", dash(names.ClientName))
		t.row("content group", dash(names.SubclientName))
		if names.ReplayOf != "" {
			t.row("replay of", names.ReplayOf)
		}
		t.row("requested", stamp(last.Event.Requested().RequestedAt))
	}
	if s.Queued != nil {
		t.row("queued", fmt.Sprintf("since %s, sequence %d, priority %s", stamp(s.Queued.Since), s.Queued.Sequence, s.Queued.Priority))
	} else {
		t.row("queued", "no")
	}
	if place := s.Queued.PlaceText(); place != "" {
		t.row("place", place)
	}
	for _, hold := range holds {
		t.row("held up by", hold.What+": "+hold.Text)
	}
	if s.LastError != nil {
		t.row("last error", show.Line(s.LastError.Line(s.AsOf)))
	}
	for _, deadLetter := range s.DeadLetters {
		t.row("dead letter", fmt.Sprintf("%d of %s, %s", deadLetter.Sequence, stamp(deadLetter.Stored), deadLetter.Code))
	}
	for _, job := range s.Jobs {
		t.row("job "+job.ID, job.Text())
	}
	if err := t.flush(); err != nil || len(s.Steps) == 0 {
		return err
	}
	fmt.Fprintln(w)
	for _, step := range history.Folded(s.Steps) {
		t.row(step.At.UTC().Format("2006-01-02T15:04:05.000Z"), string(step.What), step.Text())
	}
	return t.flush()
}
