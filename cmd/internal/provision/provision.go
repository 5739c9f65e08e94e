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

func apply(ctx context.Context, js jetstream.JetStream, files fs.ReadFileFS, dir string, replicas int, create bool) ([]Action, error) {
	names, err := fs.Glob(files, dir+"*.json")
	if err != nil {
		return nil, err
	}
	// A stream before its consumers: "X.json" would sort behind "X.consumer.y.json".
	slices.SortStableFunc(names, func(a, b string) int {
		return strings.Count(a, ".") - strings.Count(b, ".")
	})
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
	have := stream.CachedInfo().Config
	drift.compare("stream "+want.Name,
		difference{"subjects", want.Subjects, have.Subjects},
		difference{"retention", want.Retention, have.Retention},
		difference{"storage", want.Storage, have.Storage},
		difference{"discard", want.Discard, have.Discard},
		difference{"max_msgs_per_subject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject},
		difference{"max_msg_size", want.MaxMsgSize, have.MaxMsgSize},
	)
	if want.MaxAge == 0 { // requests: never dropped by age
		drift.compare("stream "+want.Name, difference{"max_age", want.MaxAge, have.MaxAge})
	}
	if want.DenyPurge { // the ledger: never rewritten, never read from a replica
		drift.compare("stream "+want.Name,
			difference{"deny_delete", want.DenyDelete, have.DenyDelete},
			difference{"deny_purge", want.DenyPurge, have.DenyPurge},
			difference{"allow_direct", want.AllowDirect, have.AllowDirect})
	}
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
	have := consumer.CachedInfo().Config
	drift.compare("consumer "+action.Name,
		difference{"ack_policy", want.AckPolicy, have.AckPolicy},
		difference{"deliver_policy", want.DeliverPolicy, have.DeliverPolicy},
		difference{"max_deliver", want.MaxDeliver, have.MaxDeliver},
		difference{"backoff", len(want.BackOff), len(have.BackOff)},
		difference{"filter_subject", want.FilterSubject, have.FilterSubject},
	)
	return action, nil
}

type difference struct {
	field      string
	want, have any
}

func (e *DriftError) compare(name string, fields ...difference) {
	for _, d := range fields {
		if want, have := fmt.Sprint(d.want), fmt.Sprint(d.have); want != have {
			e.Differences = append(e.Differences, fmt.Sprintf("%s: %s is %s, must be %s", name, d.field, have, want))
		}
	}
}
