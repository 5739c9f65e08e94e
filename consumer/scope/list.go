package scope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// Most bounds the scopes that are paused at once.
const Most = 100

// Pause is a scope that is paused.
type Pause struct {
	Scope
	Since time.Time `json:"since"`
	// Until is when the pause ends, by the server's clock.
	Until  time.Time `json:"until"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	// OperationID is that of the operator's event.
	OperationID string `json:"operationId"`
	// Also are the pauses of other operators by the same names that end no later, the last
	// [mostAlso]. A resume ends them, too.
	Also []Also `json:"also,omitempty"`
}

// Also is a pause by the same names that ends no later.
type Also struct {
	Until       time.Time `json:"until"`
	Actor       string    `json:"actor"`
	Reason      string    `json:"reason,omitempty"`
	OperationID string    `json:"operationId"`
}

// mostAlso bounds the other pauses that are kept with the one in force.
const mostAlso = 8

// add adds a pause by the same names that ends no later. An actor is named once.
func (p *Pause) add(other ...Also) {
	for _, o := range other {
		p.Also = slices.DeleteFunc(p.Also, func(a Also) bool { return a.Actor == o.Actor })
		if o.Actor != p.Actor {
			p.Also = append(p.Also, o)
		}
	}
	p.Also = slices.Delete(p.Also, 0, max(0, len(p.Also)-mostAlso))
}

// also returns a pause as one of the others.
func (p Pause) also() Also {
	return Also{Until: p.Until, Actor: p.Actor, Reason: p.Reason, OperationID: p.OperationID}
}

// has reports whether a pause is on record, in force or as one of the others.
func (p Pause) has(operationID string) bool {
	return p.OperationID == operationID || slices.ContainsFunc(p.Also, func(a Also) bool { return a.OperationID == operationID })
}

// String returns who paused the scope, until when and why, as part of a sentence.
func (p Pause) String() string {
	text := fmt.Sprintf("%s is paused until %s by %s", p.Scope, p.Until.UTC().Format(time.RFC3339), p.Actor)
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// List is the paused scopes as they are on record.
type List struct {
	// Pauses are those in force, in the order in which they were made.
	Pauses []Pause
	// Now is the server's time when the list was read.
	Now time.Time
	// Unreadable is why a list on record could not be read; nil if it could. The next change
	// replaces it.
	Unreadable error

	sequence uint64
}

// stored is a list as it is on record.
type stored struct {
	Pauses []Pause `json:"pauses"`
}

// Read returns the scopes that are paused.
func Read(ctx context.Context, events jetstream.Stream) (List, error) {
	data, sequence, err := publisher.LastPauses(ctx, events)
	if err != nil {
		return List{}, err
	}
	l := List{sequence: sequence}
	if l.Pauses, l.Unreadable = decode(data); l.Unreadable != nil {
		l.Unreadable = fmt.Errorf("message %d on %s: %w", sequence, publisher.PausesSubject, l.Unreadable)
	}
	info, err := events.Info(ctx)
	if err != nil {
		return List{}, fmt.Errorf("read the server's clock: %w", err)
	}
	l.Now = info.TimeStamp.UTC()
	l.Pauses = inForce(l.Pauses, l.Now)
	return l, nil
}

func decode(data []byte) ([]Pause, error) {
	if data == nil {
		return nil, nil
	}
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	for _, p := range s.Pauses {
		if err := p.Check(); err != nil {
			return nil, err
		}
	}
	return s.Pauses, nil
}

func inForce(pauses []Pause, now time.Time) []Pause {
	for i := range pauses {
		pauses[i].Also = slices.DeleteFunc(pauses[i].Also, func(a Also) bool { return !a.Until.After(now) })
	}
	return slices.DeleteFunc(pauses, func(p Pause) bool { return !p.Until.After(now) })
}

// find returns the pause of a scope, nil if it is not paused.
func (l *List) find(s Scope) *Pause {
	if i := slices.IndexFunc(l.Pauses, func(p Pause) bool { return p.Is(s) }); i >= 0 {
		return &l.Pauses[i]
	}
	return nil
}

// Find returns the pause of a scope, if there is one.
func (l *List) Find(s Scope) (p Pause, ok bool) {
	if found := l.find(s); found != nil {
		return *found, true
	}
	return Pause{}, false
}

// Overlapping returns the other pauses in force that requests of a scope may be in, too.
func (l *List) Overlapping(s Scope) (others []Pause) {
	for _, p := range l.Pauses {
		if !p.Is(s) && p.Overlaps(s) {
			others = append(others, p)
		}
	}
	return others
}

// Of returns the pause that a request of a source for a content group of a client is in, nil if
// there is none.
func (l *List) Of(source, client, group string) *Pause {
	if i := slices.IndexFunc(l.Pauses, func(p Pause) bool { return p.Has(source, client, group) }); i >= 0 {
		return &l.Pauses[i]
	}
	return nil
}

// errDone ends a change that needs no write.
var errDone = errors.New("nothing to change")

// Add pauses a scope, unless it is paused for longer already. It returns the pause in force.
func Add(ctx context.Context, events jetstream.Stream, pub *publisher.Publisher, p Pause) (Pause, error) {
	inForce := p
	err := change(ctx, events, pub, func(l *List) error {
		before := l.find(p.Scope)
		switch {
		case before == nil && len(l.Pauses) >= Most:
			return fmt.Errorf("%d scopes are paused already: resume one first, or pause the queue", len(l.Pauses))
		case before == nil:
			l.Pauses = append(l.Pauses, p)
		case before.has(p.OperationID): // only the acknowledgement was lost
			inForce = *before
			return errDone
		case !before.Until.Before(p.Until):
			if before.Actor == p.Actor {
				inForce = *before
				return errDone
			}
			before.add(p.also())
			inForce = *before
		default:
			inForce = p
			inForce.add(append(slices.Clone(before.Also), before.also())...)
			*before = inForce
		}
		return nil
	})
	return inForce, err
}

// Remove ends the pause of a scope. A list that cannot be read is replaced by an empty one.
func Remove(ctx context.Context, events jetstream.Stream, pub *publisher.Publisher, s Scope) error {
	return change(ctx, events, pub, func(l *List) error {
		if l.find(s) == nil && l.Unreadable == nil {
			return errDone
		}
		l.Pauses = slices.DeleteFunc(l.Pauses, func(p Pause) bool { return p.Is(s) })
		return nil
	})
}

// change writes the list that alter has made of the one on record, again if another change was
// first.
func change(ctx context.Context, events jetstream.Stream, pub *publisher.Publisher, alter func(*List) error) error {
	for {
		l, err := Read(ctx, events)
		if err != nil {
			return err
		}
		if err := alter(&l); errors.Is(err, errDone) {
			return nil
		} else if err != nil {
			return err
		}
		data, err := json.Marshal(stored{l.Pauses})
		if err != nil {
			return err
		}
		if _, err = pub.RecordPauses(ctx, l.sequence, data); !errors.Is(err, publisher.ErrConflict) {
			return err
		}
	}
}
