// Package provision makes the streams and consumers of deploy/streams, and
// compares those that exist with them.
//
// It never changes and never deletes what exists: a stream holds requests that
// JetStream accepted. What differs in a way that breaks a guarantee is an error
// ([DriftError]); sizes, ages of the event and dead-letter streams, waits and
// replicas are the operator's choice.
package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer/follower"
	"backhaul/deploy"
	"backhaul/publisher"
)

// Action is what was done about one stream or consumer.
type Action struct {
	// Name is "STREAM" or "STREAM/CONSUMER".
	Name string `json:"name"`
	// Created is false for what was there already.
	Created bool `json:"created"`
	// Note says what an existing one cannot do, "" if nothing. No guarantee depends on it.
	Note string `json:"note,omitempty"`
}

// DriftError lists what exists and differs from what Backhaul's guarantees need.
type DriftError struct {
	Differences []string
}

func (e *DriftError) Error() string {
	return "streams differ from what Backhaul needs:\n  " + strings.Join(e.Differences, "\n  ")
}

// MissingError says that a stream or consumer is not there.
type MissingError struct {
	Name string
	// Setup is the command that makes it.
	Setup string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s does not exist; run `%s`, or allow --provision", e.Name, e.Setup)
}

// set is a directory of definitions.
type set struct {
	files fs.ReadFileFS
	dir   string
	setup string // the command that makes it
	// eventsMaxAge replaces the max_age of the events stream, unless it is 0.
	eventsMaxAge time.Duration
}

var (
	service = set{files: deploy.Streams, dir: "streams/", setup: "backhaul setup"}
	trigger = set{files: deploy.TriggerStreams, dir: "streams/trigger/", setup: "backhaul setup --trigger"}
	mark    = set{files: deploy.MarkStreams, dir: "streams/mark/", setup: "backhaul setup"}
	follow  = set{files: deploy.FollowStreams, dir: "streams/follow/", setup: "backhaul setup"}
	archive = set{files: deploy.ArchiveStreams, dir: "streams/archive/", setup: "backhaul setup --archive"}
	budget  = set{files: deploy.BudgetStreams, dir: "streams/budget/", setup: "backhaul setup"}
	digests = set{files: deploy.ProtectionStreams, dir: "streams/protection/", setup: "backhaul setup"}
)

// Parts says what of what not everybody runs is made as well.
type Parts struct {
	// Trigger is what only `backhaul trigger` needs, Archive what only `backhaul archive` needs.
	Trigger, Archive bool
	// EventsMaxAge is how long a new events stream keeps events. Defaults to what is shipped.
	EventsMaxAge time.Duration
}

// Setup makes all that is missing, and checks the rest. If another stream has a subject that a
// missing one needs, nothing is made, and the error is an [*OverlapError].
func Setup(ctx context.Context, js jetstream.JetStream, replicas int, parts Parts) ([]Action, error) {
	service := service
	service.eventsMaxAge = parts.EventsMaxAge
	sets := []set{service, mark, follow, budget, digests}
	if parts.Trigger {
		sets = append(sets, trigger)
	}
	if parts.Archive {
		sets = append(sets, archive)
	}
	if err := overlaps(ctx, js, sets...); err != nil {
		return nil, err
	}
	var actions []Action
	var errs []error
	for _, s := range sets {
		more, err := s.apply(ctx, js, replicas, true)
		actions, errs = append(actions, more...), append(errs, err)
		if _, differs := errors.AsType[*DriftError](err); err != nil && !differs {
			break
		}
	}
	return actions, errors.Join(errs...)
}

// Apply makes what is missing, with this number of replicas, and checks the
// rest. With create false, what is missing is a [*MissingError].
func Apply(ctx context.Context, js jetstream.JetStream, replicas int, create bool) ([]Action, error) {
	return service.checkAndApply(ctx, js, replicas, create)
}

// ApplyTrigger is like Apply, for what only `backhaul trigger` needs.
func ApplyTrigger(ctx context.Context, js jetstream.JetStream, replicas int, create bool) ([]Action, error) {
	return trigger.checkAndApply(ctx, js, replicas, create)
}

// ApplyMark makes the stream in which the service keeps what it knows of its ledger. The
// service works without it.
func ApplyMark(ctx context.Context, js jetstream.JetStream, replicas int) ([]Action, error) {
	return mark.checkAndApply(ctx, js, replicas, true)
}

// ApplyFollow makes the consumer that the follower reads. The service works without it.
func ApplyFollow(ctx context.Context, js jetstream.JetStream) ([]Action, error) {
	return follow.checkAndApply(ctx, js, 1, true)
}

// ApplyArchive is like Apply, for what only `backhaul archive` needs.
func ApplyArchive(ctx context.Context, js jetstream.JetStream, create bool) ([]Action, error) {
	return archive.checkAndApply(ctx, js, 1, create)
}

// ApplyBudget makes the stream in which the replicas share their budget of writing calls. Without a
// budget the service works without it.
func ApplyBudget(ctx context.Context, js jetstream.JetStream, replicas int) ([]Action, error) {
	return budget.checkAndApply(ctx, js, replicas, true)
}

// ApplyDigests makes the stream in which digests of the events are kept, for as long as the events.
// The service works without it.
func ApplyDigests(ctx context.Context, js jetstream.JetStream, replicas int) ([]Action, error) {
	return digests.checkAndApply(ctx, js, replicas, true)
}

func (s set) checkAndApply(ctx context.Context, js jetstream.JetStream, replicas int, create bool) ([]Action, error) {
	actions, err := s.apply(ctx, js, replicas, false)
	if _, missing := errors.AsType[*MissingError](err); !missing || !create {
		return actions, err
	}
	if err := overlaps(ctx, js, s); err != nil {
		return nil, err
	}
	return s.apply(ctx, js, replicas, true)
}

func (s set) apply(ctx context.Context, js jetstream.JetStream, replicas int, create bool) ([]Action, error) {
	names, err := definitions(s.files, s.dir)
	if err != nil {
		return nil, err
	}
	existing := s.look(ctx, js, names)
	var actions []Action
	var drift DriftError
	for i, name := range names {
		data, err := s.files.ReadFile(name)
		if err != nil {
			return actions, err
		}
		var action Action
		if stream, durable, ok := s.consumerOf(name); ok {
			action, err = applyConsumer(ctx, js, existing[i], stream, durable, data, create, &drift)
		} else {
			action, err = s.applyStream(ctx, js, existing[i], data, replicas, create, &drift)
		}
		if err != nil {
			return actions, s.named(err)
		}
		actions = append(actions, action)
	}
	if len(drift.Differences) > 0 {
		return actions, &drift
	}
	return actions, nil
}

// found is a stream or consumer that exists, or why it is not known.
type found struct {
	stream   *jetstream.StreamInfo
	consumer *jetstream.ConsumerInfo
	err      error
}

// look asks for all streams and consumers of the set at once.
func (s set) look(ctx context.Context, js jetstream.JetStream, names []string) []found {
	all := make([]found, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			if stream, durable, ok := s.consumerOf(name); ok {
				all[i] = lookConsumer(ctx, js, stream, durable)
			} else {
				all[i] = lookStream(ctx, js, strings.TrimSuffix(strings.TrimPrefix(name, s.dir), ".json"))
			}
		})
	}
	asking.Wait()
	return all
}

func lookStream(ctx context.Context, js jetstream.JetStream, name string) found {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return found{err: err}
	}
	return found{stream: stream.CachedInfo()}
}

func lookConsumer(ctx context.Context, js jetstream.JetStream, stream, durable string) found {
	consumer, err := js.Consumer(ctx, stream, durable)
	if err != nil {
		return found{err: err}
	}
	return found{consumer: consumer.CachedInfo()}
}

// named adds the command that makes the set to an error about what is missing.
func (s set) named(err error) error {
	if missing, ok := errors.AsType[*MissingError](err); ok {
		missing.Setup = s.setup
	}
	if notMade, ok := errors.AsType[*CreateError](err); ok {
		notMade.Setup = s.setup
	}
	return err
}

// streams returns the definitions of streams.
func (s set) streams() ([]jetstream.StreamConfig, error) {
	names, err := definitions(s.files, s.dir)
	if err != nil {
		return nil, err
	}
	var all []jetstream.StreamConfig
	for _, name := range names {
		if _, _, isConsumer := s.consumerOf(name); isConsumer {
			continue
		}
		data, err := s.files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var config jetstream.StreamConfig
		if err := json.Unmarshal(data, &config); err != nil {
			return nil, err
		}
		all = append(all, config)
	}
	return all, nil
}

// consumerOf returns the stream and name of a consumer whose definition a file is.
func (s set) consumerOf(file string) (stream, durable string, ok bool) {
	return strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, s.dir), ".json"), ".consumer.")
}

// definitions returns the shipped files, each stream before its consumers: "X.json"
// would sort after "X.consumer.y.json".
func definitions(files fs.FS, dir string) ([]string, error) {
	names, err := fs.Glob(files, dir+"*.json")
	slices.SortStableFunc(names, func(a, b string) int {
		return strings.Count(a, ".") - strings.Count(b, ".")
	})
	return names, err
}

func (s set) applyStream(ctx context.Context, js jetstream.JetStream, existing found, data []byte, replicas int, create bool, drift *DriftError) (Action, error) {
	var want jetstream.StreamConfig
	if err := json.Unmarshal(data, &want); err != nil {
		return Action{}, err
	}
	want.Replicas = replicas
	if want.Name == publisher.EventsStream && s.eventsMaxAge > 0 {
		want.MaxAge = s.eventsMaxAge
	}
	action := Action{Name: want.Name}
	err := existing.err
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !create {
			return action, &MissingError{Name: "stream " + want.Name}
		}
		if want.Name == publisher.DigestStream {
			if events, err := js.Stream(ctx, publisher.EventsStream); err == nil {
				want.MaxAge = events.CachedInfo().Config.MaxAge
			}
		}
		// Two replicas may start at once: creating the same stream again is not an error.
		var stream jetstream.Stream
		if stream, err = js.CreateStream(ctx, want); err != nil {
			if refusal, ok := errors.AsType[*jetstream.APIError](err); ok && refusal.ErrorCode == subjectsOverlap {
				return action, &OverlapError{[]Overlap{{Stream: want.Name, Subject: want.Subjects[0]}}}
			}
			return action, notMade(js, "stream "+want.Name, "$JS.API.STREAM.CREATE."+want.Name, err)
		}
		existing.stream, action.Created = stream.CachedInfo(), true
	}
	if err != nil {
		return action, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	have := existing.stream.Config
	if lacksPriorities(want, have) && len(have.Subjects) < len(want.Subjects) {
		action.Note = WithoutPriorities
	}
	if want.Name == publisher.EventsStream && s.eventsMaxAge > 0 && have.MaxAge != s.eventsMaxAge {
		action.Note = fmt.Sprintf("it keeps events for %s; setup changes nothing that exists: nats stream edit %s --max-age=%s", have.MaxAge, want.Name, s.eventsMaxAge)
	}
	drift.add(streamDifferences(want, have))
	return action, nil
}

func applyConsumer(ctx context.Context, js jetstream.JetStream, existing found, stream, durable string, data []byte, create bool, drift *DriftError) (Action, error) {
	var want jetstream.ConsumerConfig
	if err := json.Unmarshal(data, &want); err != nil {
		return Action{}, err
	}
	action := Action{Name: stream + "/" + durable}
	if create && errors.Is(existing.err, jetstream.ErrStreamNotFound) { // it was made since
		existing = lookConsumer(ctx, js, stream, durable)
	}
	err := existing.err
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if !create {
			return action, &MissingError{Name: "consumer " + action.Name}
		}
		var consumer jetstream.Consumer
		if consumer, err = js.CreateConsumer(ctx, stream, created(want)); err != nil {
			return action, notMade(js, "consumer "+action.Name, "$JS.API.CONSUMER.CREATE."+stream+"."+durable, err)
		}
		existing.consumer, action.Created = consumer.CachedInfo(), true
	}
	if err != nil {
		return action, fmt.Errorf("consumer %s: %w", action.Name, err)
	}
	drift.add(consumerDifferences(action.Name, want, existing.consumer.Config))
	return action, nil
}

// created returns the configuration with which a consumer is made. The follower's begins with the
// jobs that may still be followed: after an upgrade some run, and the others are too old.
func created(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	if c.Durable == publisher.FollowerConsumer {
		since := time.Now().Add(-follower.DefaultFor).UTC()
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &since
	}
	return c
}
