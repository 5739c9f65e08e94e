package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/story"
	"backhaul/publisher"
)

// showStory prints what happened to one request. window is how long the vendor
// may take to show a job, as our own settings say; the replicas may have others.
func showStory(ctx context.Context, w io.Writer, output string, js jetstream.JetStream, source, id string, window time.Duration) error {
	key, err := findRequest(ctx, js, source, id)
	if err != nil {
		return err
	}
	s, err := story.Read(ctx, js, key)
	if err != nil {
		return err
	}
	if output == outputJSON {
		return printJSON(w, struct {
			Summary string `json:"summary"`
			story.Story
		}{s.Summary(window), s})
	}
	return printStory(w, s, window)
}

// findRequest is the key of the request that is meant.
func findRequest(ctx context.Context, js jetstream.JetStream, source, id string) (publisher.Key, error) {
	keys, err := story.Find(ctx, js, source, id)
	if before, after, both := strings.Cut(id, "/"); err == nil && len(keys) == 0 && source == "" && both {
		keys, err = story.Find(ctx, js, before, after)
	}
	switch {
	case err != nil:
		return publisher.Key{}, err
	case len(keys) == 1:
		return keys[0], nil
	case len(keys) == 0:
		return publisher.Key{}, fmt.Errorf("no request %s: no event on record tells of it, and it does not wait", id)
	}
	var names []string
	for _, key := range keys {
		names = append(names, key.String())
	}
	return publisher.Key{}, &usageError{fmt.Errorf("%s is the id of %d requests, say which one: %s", id, len(keys), strings.Join(names, ", "))}
}

func printStory(w io.Writer, s story.Story, window time.Duration) error {
	key := publisher.Key{Source: s.Source, Name: s.Key}
	fmt.Fprintf(w, "%s: %s\n\n", key, s.Summary(window))
	t := newTable(w)
	if s.RequestID != "" && s.RequestID != s.Key {
		t.row("request id", s.RequestID)
	}
	if last := s.Last(); last != nil {
		names := last.Event.Names()
		t.row("client", dash(names.ClientName))
		t.row("content group", dash(names.SubclientName))
		t.row("requested", stamp(last.Event.Requested().RequestedAt))
	}
	if s.Queued != nil {
		t.row("queued", fmt.Sprintf("since %s, sequence %d", stamp(s.Queued.Since), s.Queued.Sequence))
	} else {
		t.row("queued", "no")
	}
	for _, letter := range s.DeadLetters {
		t.row("dead letter", fmt.Sprintf("%d of %s, %s", letter.Sequence, stamp(letter.Stored), letter.Code))
	}
	if err := t.flush(); err != nil || len(s.Steps) == 0 {
		return err
	}
	fmt.Fprintln(w)
	for _, step := range s.Steps {
		t.row(step.At.UTC().Format("2006-01-02T15:04:05.000Z"), string(step.What), step.Text())
	}
	return t.flush()
}
