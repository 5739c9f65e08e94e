package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/queue"
	"backhaul/consumer/follower"
)

// followStatus is how started jobs are followed to their end.
type followStatus struct {
	// Error says why it is not to be seen; the rest is nil then.
	Error string `json:"error,omitempty"`
	*queue.Follower
	OldestAgeSeconds *float64 `json:"oldestAgeSeconds,omitempty"`
}

// lookAtFollower returns how jobs are followed. A refusal is part of the answer, because
// roles of an earlier version do not permit it.
func lookAtFollower(ctx context.Context, js jetstream.JetStream, now time.Time) (*followStatus, error) {
	seen, err := lookAt(ctx, js, queue.LookAtFollower)
	switch {
	case errors.Is(err, errNotPermitted):
		return &followStatus{Error: err.Error()}, nil
	case err != nil:
		return nil, err
	}
	s := &followStatus{Follower: &seen}
	if r := seen.Reader; r != nil && !r.Oldest.IsZero() {
		age := max(now.Sub(r.Oldest), 0).Round(time.Millisecond).Seconds()
		s.OldestAgeSeconds = &age
	}
	return s, nil
}

func (s *followStatus) print(t table, now time.Time) {
	switch {
	case s.Error != "":
		t.row("jobs", s.Error)
		return
	case s.Missing:
		t.row("jobs", "not followed: there is no consumer follower; `backhaul setup` makes it")
		return
	case s.Reader == nil:
		t.row("jobs", fmt.Sprintf("not followed by any replica; started requests without an end on record: %d", s.Requests+s.Unread))
		return
	}
	r := s.Reader
	text := fmt.Sprintf("%d followed", r.Followed)
	if !r.Oldest.IsZero() {
		text += fmt.Sprintf(", the oldest since %s, %s ago", stamp(r.Oldest), ago(max(now.Sub(r.Oldest), 0)))
	}
	t.row("jobs", text)
	if r.Owner != "" {
		t.row("  followed by", r.Owner)
	}
	t.row("  last list", listText(*r, now))
	t.row("  reads left", fmt.Sprintf("%d of %d in this hour", max(r.Budget-r.Reads, 0), r.Budget))
}

// listText says when the vendor was last asked, and up to when ends are known.
func listText(r follower.State, now time.Time) string {
	text := "none"
	if !r.LastList.IsZero() {
		text = fmt.Sprintf("%s, %s ago", stamp(r.LastList), ago(max(now.Sub(r.LastList), 0)))
	}
	if !r.Covered.IsZero() && r.Covered.Before(r.LastList) {
		text += "; ends are known up to " + stamp(r.Covered)
	}
	if !r.HeldUntil.IsZero() {
		text += "; none before " + stamp(r.HeldUntil) + ", because the vendor throttles reads"
	}
	return text
}
