// Package report says, for auditors, how the promises for each content group were kept in a
// period, and which events prove it.
//
// # Concurrency
//
// The functions are safe for concurrent use.
package report

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/objectives"
	"backhaul/cmd/internal/protection"
	"backhaul/schemas"
)

// Report says how the promises were kept.
type Report struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Made is the server's time when the events were read.
	Made time.Time `json:"made"`
	// Objectives is the SHA-256 of the file with the promises.
	Objectives string `json:"objectivesSha256"`
	// Unused has the objectives that no content group on record has, whatever is selected.
	Unused []string `json:"unusedObjectives,omitempty"`
	Groups []Group  `json:"groups"`
}

// Group is a content group with a promise.
type Group struct {
	protection.Group
	Objective string `json:"objective"`
	Owner     string `json:"owner,omitempty"`
	// RPOSeconds and MaxAgeSeconds are what is promised, 0 for nothing.
	RPOSeconds    int64 `json:"rpoSeconds,omitempty"`
	MaxAgeSeconds int64 `json:"maxAgeSeconds,omitempty"`
	Kept
	Breaches []Breach `json:"breaches"`
}

// Kept is for how much of the period a group is known, and for how much of that all promises
// were kept.
type Kept struct {
	KnownSeconds float64 `json:"knownSeconds"`
	KeptSeconds  float64 `json:"keptSeconds"`
	// Share is KeptSeconds by KnownSeconds, nil if nothing is known.
	Share *float64 `json:"share"`
}

// Breach is a time in which a promise was broken.
type Breach struct {
	protection.Breach
	// Seconds is how long it lasted within the period.
	Seconds float64 `json:"seconds"`
	// Events has the events that prove it; it replaces their sequences.
	Events []Event `json:"events"`
}

// Event names an event of the stream.
type Event struct {
	Sequence uint64 `json:"sequence"`
	// ID is the event's CloudEvents id; "" if the event has expired.
	ID string `json:"id,omitempty"`
	// Stored is when JetStream stored it.
	Stored time.Time `json:"stored,omitzero"`
}

// Lookup returns the event with a sequence.
type Lookup func(ctx context.Context, sequence uint64) (Event, error)

// FromStream returns a lookup in the events stream.
func FromStream(stream jetstream.Stream) Lookup {
	return func(ctx context.Context, sequence uint64) (Event, error) {
		msg, err := stream.GetMsg(ctx, sequence)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return Event{Sequence: sequence}, nil
		case err != nil:
			return Event{}, fmt.Errorf("read the event %d: %w", sequence, err)
		}
		return Event{Sequence: sequence, ID: schemas.Header(msg.Header).Attribute("id"), Stored: msg.Time.UTC()}, nil
	}
}

// Make returns the report of the groups that an objective fits and that selected accepts.
func Make(ctx context.Context, f *protection.Fold, all *objectives.Objectives, from, to time.Time, selected func(protection.Group) bool, lookup Lookup) (*Report, error) {
	r := &Report{From: from.UTC(), To: to.UTC(), Objectives: all.Sum, Unused: all.Unused(f.Groups()), Groups: []Group{}}
	known := make(map[uint64]Event)
	for _, name := range f.Groups() {
		o, ok := all.For(name)
		if !ok || !selected(name) {
			continue
		}
		c := f.Comply(name, o, from, to)
		g := Group{
			Group: name, Objective: o.Name, Owner: o.Owner, RPOSeconds: int64(o.RPO / time.Second), MaxAgeSeconds: int64(o.MaxAge / time.Second),
			Kept: Kept{KnownSeconds: c.Known.Seconds(), KeptSeconds: c.Kept.Seconds()}, Breaches: []Breach{},
		}
		if c.Known > 0 {
			share := math.Round(c.Share()*1e6) / 1e6
			g.Share = &share
		}
		for _, b := range c.Breaches {
			proven := Breach{Breach: b, Seconds: b.Until.Sub(b.From).Seconds(), Events: []Event{}}
			for _, sequence := range b.Events {
				event, ok := known[sequence]
				if !ok {
					var err error
					if event, err = lookup(ctx, sequence); err != nil {
						return nil, err
					}
					known[sequence] = event
				}
				proven.Events = append(proven.Events, event)
			}
			g.Breaches = append(g.Breaches, proven)
		}
		r.Groups = append(r.Groups, g)
	}
	return r, nil
}
