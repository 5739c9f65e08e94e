package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/queue"
	"backhaul/consumer/scope"
	"backhaul/publisher"
)

// scopeFlags name a part of the requests.
type scopeFlags struct{ source, client, group string }

func addScopeFlags(cmd *cobra.Command, f *scopeFlags) {
	addSourceFilter(cmd, &f.source)
	addFilter(cmd, &f.client, "client", "only requests for this client: `name`, upper and lower case are the same")
	addFilter(cmd, &f.group, "group", "only requests for this content group: `name`, of every client unless --client is given")
}

// scope returns the scope of the flags, and whether one is given. The error is a [*usageError].
func (f scopeFlags) scope() (s scope.Scope, given bool, err error) {
	s = scope.Scope{Source: f.source, Client: f.client, Group: f.group}
	if s == (scope.Scope{}) {
		return s, false, nil
	}
	if err := s.Check(); err != nil {
		return s, true, &usageError{fmt.Errorf("--source, --client, --group: %w", err)}
	}
	return s, true, nil
}

func pauseScope(cmd *cobra.Command, f queueFlags, s scope.Scope, d time.Duration) error {
	return onQueue(cmd, f, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		p, err := queue.PauseScope(ctx, js, pub, s, d, by)
		if err != nil {
			return p, "", err
		}
		text := fmt.Sprintf("%s is paused until %s; replicas know of it within %s. Other requests go on; a call that is under way is finished", p.Scope, stamp(p.Until), scope.Interval)
		if p.Kept {
			text = fmt.Sprintf("%s is paused already until %s, which is longer: left as it is", p.Scope, stamp(p.Until))
		}
		if p.Unseen, err = queue.Unseen(ctx, js, s); err != nil {
			return p, text, fmt.Errorf("%s. Whether its names occur in requests is not known: %w", text, err)
		}
		if p.Unseen {
			text += fmt.Sprintf("\nnote: no request of %s waits, and none was recorded lately: are the names right?", s)
		}
		return p, text, nil
	})
}

func resumeScope(cmd *cobra.Command, f queueFlags, s scope.Scope) error {
	return onQueue(cmd, f, func(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, by operator.By) (any, string, error) {
		p, err := queue.ResumeScope(ctx, js, pub, s, by)
		if err == nil && p.Until.IsZero() {
			return p, fmt.Sprintf("%s is resumed, and every other scope: the list of the paused ones could not be read and is empty now; replicas know of it within %s", s, scope.Interval), nil
		}
		return p, resumedText(p), err
	})
}

// resumedText names the pauses that a resume has ended, and those that hold requests of the scope still.
func resumedText(r queue.ResumedScope) string {
	text := fmt.Sprintf("%s is resumed; replicas know of it within %s. It was paused until %s", r.Scope, scope.Interval, byWhom(r.Until, r.Actor, r.Reason))
	for _, other := range r.Also {
		text += "\nended, too: the pause of the same names until " + byWhom(other.Until, other.Actor, other.Reason)
	}
	for _, p := range r.StillPaused {
		text += fmt.Sprintf("\nstill paused: %s until %s; it holds requests that are in both", p.Scope, byWhom(p.Until, p.Actor, p.Reason))
	}
	return text
}

// byWhom returns the end of a pause, who made it and why.
func byWhom(until time.Time, actor, reason string) string {
	text := stamp(until) + " by " + cmp.Or(actor, "nobody on record")
	if reason != "" {
		text += ": " + reason
	}
	return text
}

// pausedScopes returns the scopes that are paused, none where this user may not read it.
func pausedScopes(ctx context.Context, js jetstream.JetStream) (scope.List, error) {
	nc := js.Conn()
	before := nc.ErrorHandler()
	defer func() { nc.SetErrorHandler(before) }()
	asking, _ := ask(ctx, nc)
	list, err := queue.Scopes(asking, js)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(asking), nats.ErrPermissionViolation) {
		return scope.List{}, nil
	}
	return list, err
}

// scopesText returns a line for each paused scope.
func scopesText(pauses []scope.Pause) (lines []string) {
	for _, p := range pauses {
		text := fmt.Sprintf("%s: since %s until %s, by %s", p.Scope, stamp(p.Since), stamp(p.Until), p.Actor)
		if p.Reason != "" {
			text += ": " + p.Reason
		}
		lines = append(lines, text)
	}
	return lines
}
