package queue

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/schemas"
)

// PausedScope is the pause of a scope that is in force.
type PausedScope struct {
	scope.Pause
	// Kept is true if a longer pause was in force already.
	Kept bool `json:"kept"`
	// Unseen reports that no request of the scope waits or was recorded lately, so that a name may
	// be misspelt.
	Unseen bool `json:"unseen"`
}

// Scopes returns the scopes that are paused.
func Scopes(ctx context.Context, js jetstream.JetStream) (scope.List, error) {
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return scope.List{}, fmt.Errorf("read which scopes are paused: %w", err)
	}
	return scope.Read(ctx, events)
}

// PauseScope keeps every replica from claiming the requests of a scope for at least d from now, by
// the server's clock. A request that may have a job is looked up, and waits if it has none. The pause is recorded before
// it is made, so a recorded pause may have failed. Replicas know of it within [scope.Interval].
func PauseScope(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, s scope.Scope, d time.Duration, by operator.By) (PausedScope, error) {
	if err := checkScope(s, by); err != nil {
		return PausedScope{}, err
	}
	if d <= 0 || d > LongestPause {
		return PausedScope{}, fmt.Errorf("cannot pause for %s: a pause must be longer than 0 and at most %s", d, LongestPause)
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return PausedScope{}, fmt.Errorf("read which scopes are paused: %w", err)
	}
	if age := events.CachedInfo().Config.MaxAge; age > 0 && d > age {
		return PausedScope{}, fmt.Errorf("cannot pause a scope for %s: stream %s keeps the pause no longer than %s", d, publisher.EventsStream, age)
	}
	list, err := scope.Read(ctx, events)
	if err != nil {
		return PausedScope{}, err
	}
	p := scope.Pause{Scope: s, Since: list.Now, Until: list.Now.Add(d), Actor: by.Actor, Reason: by.Reason, OperationID: rand.Text()}
	recorded := p
	if before, ok := list.Find(s); ok && !before.Until.Before(p.Until) {
		recorded.Until = before.Until
	}
	if err := recordScope(ctx, pub, schemas.ActionPauseScope, recorded, by); err != nil {
		return PausedScope{}, err
	}
	inForce, err := scope.Add(ctx, events, pub, p)
	if err != nil {
		return PausedScope{}, fmt.Errorf("recorded, but not paused: %w", err)
	}
	return PausedScope{Pause: inForce, Kept: inForce.OperationID != p.OperationID}, nil
}

// NotPausedError is the error of a resume of a scope that is not paused.
type NotPausedError struct {
	Scope scope.Scope
	// Paused are those that are.
	Paused []scope.Pause
}

func (e *NotPausedError) Error() string {
	if len(e.Paused) == 0 {
		return fmt.Sprintf("%s is not paused, nor is another scope", e.Scope)
	}
	var names []string
	for _, p := range e.Paused {
		names = append(names, p.Scope.String())
	}
	return fmt.Sprintf("%s is not paused. A scope is resumed by the names by which it was paused: %s", e.Scope, strings.Join(names, "; "))
}

// ResumedScope is the pause of a scope that was ended.
type ResumedScope struct {
	scope.Pause
	// StillPaused are other scopes that are paused and that its requests may be in.
	StillPaused []scope.Pause `json:"stillPaused,omitempty"`
}

// ResumeScope ends the pause of a scope and returns it. Replicas know of it within
// [scope.Interval]. The error is a [*NotPausedError] if the scope is not paused; then nothing is
// recorded. If the list cannot be read, replicas keep the pauses that they know: it is replaced, and
// the pause that is returned has no end.
func ResumeScope(ctx context.Context, js jetstream.JetStream, pub *publisher.Publisher, s scope.Scope, by operator.By) (ResumedScope, error) {
	if err := checkScope(s, by); err != nil {
		return ResumedScope{}, err
	}
	events, err := js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return ResumedScope{}, fmt.Errorf("read which scopes are paused: %w", err)
	}
	list, err := scope.Read(ctx, events)
	if err != nil {
		return ResumedScope{}, err
	}
	p, ok := list.Find(s)
	switch {
	case !ok && list.Unreadable != nil:
		p.Scope = s
	case !ok:
		return ResumedScope{}, &NotPausedError{Scope: s, Paused: list.Pauses}
	}
	if err := recordScope(ctx, pub, schemas.ActionResumeScope, p, by); err != nil {
		return ResumedScope{}, err
	}
	if err := scope.Remove(ctx, events, pub, s); err != nil {
		return ResumedScope{}, fmt.Errorf("recorded, but not resumed: %w", err)
	}
	return ResumedScope{p, list.Overlapping(s)}, nil
}

func checkScope(s scope.Scope, by operator.By) error {
	if err := s.Check(); err != nil {
		return err
	}
	return by.Check()
}

func recordScope(ctx context.Context, pub *publisher.Publisher, action schemas.Action, p scope.Pause, by operator.By) error {
	id := p.OperationID
	if action == schemas.ActionResumeScope {
		id = rand.Text()
	}
	return pub.Operator(ctx, schemas.OperatorEvent{
		Action: action, OperationID: id, Actor: by.Actor, Reason: by.Reason, At: time.Now().UTC(),
		Scope: schemas.ScopePause{Source: p.Source, ClientName: p.Client, SubclientName: p.Group, Until: p.Until},
	})
}
