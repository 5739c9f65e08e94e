package turn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// Abandoned is the age at which a claim that is not renewed no longer holds a turn. Replicas give
// requests up sooner: such a request was deleted from the queue.
const Abandoned = 48 * time.Hour

// waitFor returns what a request waits for if the turn r is the last one of its content group, and
// when the last job of the group was started.
func (t *Turns) waitFor(ctx context.Context, r *record, rule Rule, request publisher.Key) (*Wait, time.Time, error) {
	started := r.Started
	if holder := r.holder(); holder != request {
		wait, at, err := t.holds(ctx, holder, rule)
		if err != nil || wait != nil && !wait.Queued {
			return wait, started, err
		}
		if !at.IsZero() {
			started = at
		}
	}
	wait, err := t.interval(ctx, r, rule, started)
	return wait, started, err
}

// interval returns the rest of the least interval since a job was started, nil if it is over.
func (t *Turns) interval(ctx context.Context, r *record, rule Rule, started time.Time) (*Wait, error) {
	if rule.MinInterval == 0 || started.IsZero() {
		return nil, nil
	}
	follower, err := t.follower(ctx)
	if err != nil {
		return nil, err
	}
	until := started.Add(rule.MinInterval)
	left := until.Sub(follower.now)
	if left <= 0 {
		return nil, nil
	}
	return &Wait{Source: r.Source, RequestID: r.RequestID, key: r.holder(), Since: started, Until: until, left: left}, nil
}

// holds returns what others wait for while a request has no end: nil if nothing more is to be
// expected of it. started is when its job was started, zero without one.
func (t *Turns) holds(ctx context.Context, key publisher.Key, rule Rule) (wait *Wait, started time.Time, err error) {
	wait = &Wait{Source: key.Source, RequestID: key.Name, key: key}
	msg, _, err := t.reader.Last(ctx, key.Filter())
	if err != nil || msg == nil {
		wait.Queued = true
		return wait, started, err
	}
	_, event, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		return nil, started, fmt.Errorf("read the event %d of %s: %w", msg.Sequence, key, err)
	}
	wait.RequestID, wait.Since = event.Names().RequestID, msg.Time.UTC()
	switch e := event.(type) {
	case *schemas.JobSubmitting:
		if e.LeaseMillis == 0 && e.DoubtSequence == 0 && e.DoubtTaskID == "" {
			wait.Queued = true
			return wait, started, nil
		}
		follower, err := t.follower(ctx)
		if err != nil || follower.now.Sub(msg.Time) > t.abandoned {
			return nil, started, err
		}
		return wait, started, nil
	case *schemas.JobStarted:
		started = msg.Time
		if !rule.Queue {
			return nil, started, nil
		}
		wait.JobID, err = t.runs(ctx, key, e, msg.Sequence)
		if err != nil || wait.JobID == "" {
			return nil, started, err
		}
		return wait, started, nil
	case *schemas.JobFailed, *schemas.RequestRejected, schemas.JobEvent:
		return nil, started, nil
	}
	return nil, started, nil
}

// runs returns a job of a started request that is followed and has not ended, "" if all have.
// sequence is that of the job-started.
func (t *Turns) runs(ctx context.Context, key publisher.Key, e *schemas.JobStarted, sequence uint64) (string, error) {
	for _, id := range jobsOf(e) {
		event, _, err := t.reader.Last(ctx, key.JobFilter(id))
		if err != nil {
			return "", err
		}
		if event != nil {
			if kind, _, _, _ := publisher.ParseEventSubject(event.Subject); kind != schemas.KindJobChanged {
				continue
			}
		}
		follower, err := t.follower(ctx)
		if err != nil || !follower.follows(sequence) {
			return "", err
		}
		return id, nil
	}
	return "", nil
}

// jobsOf returns the jobs that can be followed.
func jobsOf(e *schemas.JobStarted) (ids []string) {
	seen := make(map[string]bool)
	for _, id := range append([]string{e.JobID}, e.JobIDs...) {
		if !seen[id] && publisher.IsJobID(id) {
			ids = append(ids, id)
		}
		seen[id] = true
	}
	return ids
}

// follower is what the server says about the consumer of the follower.
type follower struct {
	exists bool
	floor  uint64 // all job-started up to this sequence are done with
	now    time.Time
}

// follows reports whether the jobs of the job-started with this sequence are, or will be, followed.
func (f follower) follows(sequence uint64) bool { return f.exists && sequence > f.floor }

func (t *Turns) follower(ctx context.Context) (follower, error) {
	c, err := t.js.Consumer(ctx, publisher.EventsStream, publisher.FollowerConsumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return follower{now: time.Now()}, nil
	}
	if err != nil {
		return follower{}, fmt.Errorf("read the state of consumer %s of %s: %w", publisher.FollowerConsumer, publisher.EventsStream, err)
	}
	info := c.CachedInfo()
	return follower{exists: true, floor: info.AckFloor.Stream, now: info.TimeStamp}, nil
}

// running returns a turn for the newest job of the group that is followed and has not ended, nil
// if there is none.
func (t *Turns) running(ctx context.Context, g Group) (newest *record, err error) {
	follower, err := t.follower(ctx)
	if err != nil || !follower.exists {
		return nil, err
	}
	any := publisher.EventFilter(schemas.KindJobStarted, "")
	for next := follower.floor + 1; ; {
		msg, err := t.events.GetMsg(ctx, next, jetstream.WithGetMsgSubject(any))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return newest, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the started jobs: %w", err)
		}
		next = msg.Sequence + 1
		key, event, err := publisher.ReadEvent(msg.Subject, msg.Header, msg.Data)
		started, ok := event.(*schemas.JobStarted)
		if err != nil || !ok || (Group{started.ClientName, started.SubclientName}).key() != g.key() {
			continue
		}
		job, err := t.runs(ctx, key, started, msg.Sequence)
		if err != nil {
			return nil, err
		}
		if job != "" {
			newest = &record{
				Client: g.Client, Subclient: g.Subclient, Source: key.Source, Key: key.Name, RequestID: started.RequestID,
				OnRunning: OnRunningQueue, Nonce: found,
			}
		}
	}
}
