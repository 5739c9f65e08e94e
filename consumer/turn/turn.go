package turn

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// record is the turn of a request. The last one of a group counts.
type record struct {
	Client    string `json:"clientName"`
	Subclient string `json:"subclientName"`
	Source    string `json:"source"`
	Key       string `json:"key"`
	RequestID string `json:"requestId"`
	// OnRunning and MinInterval are the rule by which the turn was taken, for readers.
	OnRunning   string `json:"onRunning"`
	MinInterval string `json:"minInterval,omitempty"`
	// Started is when the last job before this turn was started; zero if that is not known.
	Started time.Time `json:"started,omitzero"`
	// Nonce identifies the writer to itself.
	Nonce string `json:"nonce"`
}

// found is the nonce of a turn that was not taken by a request: a job of its request ran before the first turn.
const found = "found"

func (r *record) holder() publisher.Key { return publisher.Key{Source: r.Source, Name: r.Key} }

// rule returns the rule by which the turn was taken.
func (r *record) rule() Rule {
	interval, err := time.ParseDuration(r.MinInterval)
	if err != nil {
		interval = 0
	}
	return Rule{Queue: r.OnRunning == OnRunningQueue, MinInterval: interval}
}

// Turns reads and takes the turns of content groups.
type Turns struct {
	js     jetstream.JetStream
	events jetstream.Stream
	reader *publisher.LastReader
	pub    *publisher.Publisher
	// abandoned is Abandoned.
	abandoned time.Duration
}

// New returns the turns on the events stream. pub may be nil if none is taken.
func New(js jetstream.JetStream, events jetstream.Stream, pub *publisher.Publisher) *Turns {
	return &Turns{js: js, events: events, reader: publisher.NewLastReader(events), pub: pub, abandoned: Abandoned}
}

// Standing says whether a request may have the turn of its content group.
type Standing struct {
	// Wait is what the request waits for, nil if it may take the turn.
	Wait *Wait

	group   Group
	rule    Rule
	after   uint64    // the sequence of the last turn
	started time.Time // when the last job of the group was started, as far as known
}

// Look returns the standing of a request of a content group.
func (t *Turns) Look(ctx context.Context, g Group, rule Rule, request publisher.Key) (Standing, error) {
	last, sequence, err := t.last(ctx, g)
	if err != nil {
		return Standing{}, err
	}
	st := Standing{group: g, rule: rule, after: sequence}
	if last != nil {
		st.Wait, st.started, err = t.waitFor(ctx, last, rule, request)
		if err != nil || st.Wait != nil || last.Nonce != found {
			return st, err
		}
	}
	// No request has had the turn. A job that runs counts nevertheless.
	running, err := t.running(ctx, g)
	if err != nil || running == nil {
		return st, err
	}
	st.Wait, st.started, err = t.waitFor(ctx, running, rule, request)
	if err != nil || st.Wait == nil {
		return st, err
	}
	// Others need not search for it.
	if st.after, err = t.write(ctx, g, sequence, running); errors.Is(err, publisher.ErrConflict) {
		return t.Look(ctx, g, rule, request)
	}
	return st, err
}

// Holder returns what the next request of a content group waits for, by a rule, or by that of the
// last turn if the rule does not apply. It is nil if the group has no turn, or the turn is free.
func (t *Turns) Holder(ctx context.Context, g Group, rule Rule) (*Wait, error) {
	last, _, err := t.last(ctx, g)
	if err != nil || last == nil {
		return nil, err
	}
	if !rule.Applies() {
		rule = last.rule()
	}
	wait, _, err := t.waitFor(ctx, last, rule, publisher.Key{})
	return wait, err
}

// Asked returns what the next request of a content group waits for because of one that was
// published before: until it is started, until its job has ended, and the least interval.
// published is not before that request was published.
func (t *Turns) Asked(ctx context.Context, request publisher.Key, rule Rule, published time.Time) (*Wait, error) {
	wait, started, err := t.holds(ctx, request, rule)
	switch {
	case err != nil, wait != nil && !wait.Queued:
		return wait, err
	case wait != nil && time.Since(published) > t.abandoned:
		return nil, nil // it was deleted, or its events are gone
	case wait != nil:
		return wait, nil
	}
	return t.interval(ctx, &record{Source: request.Source, Key: request.Name, RequestID: request.Name}, rule, started)
}

// Take takes the turn for a request that is claimed. st is a standing of the same request from
// before the claim: it is looked at again if another request was faster. The result has a Wait
// if the turn was not taken.
func (t *Turns) Take(ctx context.Context, st Standing, request publisher.Key, requestID string) (Standing, error) {
	next := &record{
		Client: st.group.Client, Subclient: st.group.Subclient,
		Source: request.Source, Key: request.Name, RequestID: requestID,
		OnRunning: st.rule.OnRunning(), MinInterval: st.rule.Interval(), Nonce: rand.Text(),
	}
	for st.Wait == nil {
		next.Started = st.started
		_, err := t.write(ctx, st.group, st.after, next)
		if !errors.Is(err, publisher.ErrConflict) {
			return st, err
		}
		last, _, err := t.last(ctx, st.group)
		if err != nil {
			return st, err
		}
		if last != nil && last.Nonce == next.Nonce {
			return st, nil // only the acknowledgement was lost
		}
		if st, err = t.Look(ctx, st.group, st.rule, request); err != nil {
			return st, err
		}
	}
	return st, nil
}

// last returns the group's last turn and its sequence. The turn is nil if there is none, or if
// the message is foreign.
func (t *Turns) last(ctx context.Context, g Group) (*record, uint64, error) {
	data, sequence, err := publisher.LastTurn(ctx, t.events, g.key())
	if err != nil || sequence == 0 {
		return nil, 0, err
	}
	var r record
	if json.Unmarshal(data, &r) != nil || r.Nonce == "" || (Group{r.Client, r.Subclient}).key() != g.key() {
		return nil, sequence, nil
	}
	return &r, sequence, nil
}

func (t *Turns) write(ctx context.Context, g Group, after uint64, r *record) (uint64, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	sequence, err := t.pub.RecordTurn(ctx, g.key(), after, data)
	if err != nil {
		return 0, fmt.Errorf("take the turn of content group %s: %w", g, err)
	}
	return sequence, nil
}
