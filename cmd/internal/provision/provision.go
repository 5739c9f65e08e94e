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

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/deploy"
)

// Action is what was done about one stream or consumer.
type Action struct {
	// Name is "STREAM" or "STREAM/CONSUMER".
	Name string `json:"name"`
	// Created is false for what was there already.
	Created bool `json:"created"`
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
}

func (e *MissingError) Error() string {
	return e.Name + " does not exist; run `backhaul setup`, or allow --provision"
}

// Apply makes what is missing, with this number of replicas, and checks the
// rest. With create false, what is missing is a [*MissingError].
func Apply(ctx context.Context, js jetstream.JetStream, replicas int, create bool) ([]Action, error) {
	return apply(ctx, js, deploy.Streams, "streams/", replicas, create)
}

// ApplyTrigger does the same for what only `backhaul trigger` needs.
func ApplyTrigger(ctx context.Context, js jetstream.JetStream, replicas int, create bool) ([]Action, error) {
	return apply(ctx, js, deploy.TriggerStreams, "streams/trigger/", replicas, create)
}

// ApplyMark makes the stream in which the service keeps what it knows of its ledger. The
// service works without it.
func ApplyMark(ctx context.Context, js jetstream.JetStream, replicas int) ([]Action, error) {
	return apply(ctx, js, deploy.MarkStreams, "streams/mark/", replicas, true)
}

func apply(ctx context.Context, js jetstream.JetStream, files fs.ReadFileFS, dir string, replicas int, create bool) ([]Action, error) {
	names, err := definitions(files, dir)
	if err != nil {
		return nil, err
	}
	var actions []Action
	var drift DriftError
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return actions, err
		}
		var action Action
		base := strings.TrimSuffix(strings.TrimPrefix(name, dir), ".json")
		if stream, durable, ok := strings.Cut(base, ".consumer."); ok {
			action, err = applyConsumer(ctx, js, stream, durable, data, create, &drift)
		} else {
			action, err = applyStream(ctx, js, data, replicas, create, &drift)
		}
		if err != nil {
			return actions, err
		}
		actions = append(actions, action)
	}
	if len(drift.Differences) > 0 {
		return actions, &drift
	}
	return actions, nil
}

// definitions are the shipped files, a stream before its consumers: "X.json" would
// sort behind "X.consumer.y.json".
func definitions(files fs.FS, dir string) ([]string, error) {
	names, err := fs.Glob(files, dir+"*.json")
	slices.SortStableFunc(names, func(a, b string) int {
		return strings.Count(a, ".") - strings.Count(b, ".")
	})
	return names, err
}

func applyStream(ctx context.Context, js jetstream.JetStream, data []byte, replicas int, create bool, drift *DriftError) (Action, error) {
	var want jetstream.StreamConfig
	if err := json.Unmarshal(data, &want); err != nil {
		return Action{}, err
	}
	want.Replicas = replicas
	action := Action{Name: want.Name}
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !create {
			return action, &MissingError{Name: "stream " + want.Name}
		}
		// Two replicas may start at once: creating the same stream again is no error.
		stream, err = js.CreateStream(ctx, want)
		action.Created = err == nil
	}
	if err != nil {
		return action, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	drift.add(streamDifferences(want, stream.CachedInfo().Config))
	return action, nil
}

func applyConsumer(ctx context.Context, js jetstream.JetStream, stream, durable string, data []byte, create bool, drift *DriftError) (Action, error) {
	var want jetstream.ConsumerConfig
	if err := json.Unmarshal(data, &want); err != nil {
		return Action{}, err
	}
	action := Action{Name: stream + "/" + durable}
	consumer, err := js.Consumer(ctx, stream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if !create {
			return action, &MissingError{Name: "consumer " + action.Name}
		}
		consumer, err = js.CreateConsumer(ctx, stream, want)
		action.Created = err == nil
	}
	if err != nil {
		return action, fmt.Errorf("consumer %s: %w", action.Name, err)
	}
	drift.add(consumerDifferences(action.Name, want, consumer.CachedInfo().Config))
	return action, nil
}
