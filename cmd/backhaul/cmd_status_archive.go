package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/queue"
)

// archiveStatus is how far events are archived.
type archiveStatus struct {
	// Error says why it is not to be seen; the rest is nil then.
	Error string `json:"error,omitempty"`
	*queue.Archive
}

// lookAtArchive returns nil where events are not archived. A refusal is part of the answer.
func lookAtArchive(ctx context.Context, js jetstream.JetStream) (*archiveStatus, error) {
	seen, err := lookAt(ctx, js, queue.LookAtArchive)
	switch {
	case errors.Is(err, errNotPermitted):
		return &archiveStatus{Error: err.Error()}, nil
	case err != nil, seen == nil:
		return nil, err
	}
	return &archiveStatus{Archive: seen}, nil
}

func (s *archiveStatus) print(t table) {
	switch {
	case s == nil:
		return
	case s.Error != "":
		t.row("archived", s.Error)
		return
	}
	var parts []string
	switch {
	case !s.Until.IsZero():
		parts = append(parts, "until "+stamp(s.Until))
	case s.Lag > 0:
		parts = append(parts, "nothing yet")
	default:
		parts = append(parts, "every event that the stream has")
	}
	if s.Lag > 0 {
		parts = append(parts, fmt.Sprintf("%d events are not archived yet", s.Lag))
	}
	if !s.Read {
		parts = append(parts, "no replica archives")
	}
	t.row("archived", strings.Join(parts, "; "))
}
