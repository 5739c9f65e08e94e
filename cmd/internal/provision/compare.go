package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/consumer"
	"backhaul/publisher"
)

// Difference is one setting of a stream or consumer that is not as shipped.
type Difference struct {
	// Name is "stream S" or "consumer S/C".
	Name  string
	Field string
	Want  string
	Have  string
	// Breaks reports whether a guarantee of Backhaul depends on it; else it is the
	// operator's choice.
	Breaks bool
}

func (d Difference) String() string {
	must := "must be"
	if !d.Breaks {
		must = "is shipped as"
	}
	return fmt.Sprintf("%s: %s is %s, %s %s", d.Name, d.Field, d.Have, must, d.Want)
}

// Existing is a stream or consumer, compared with its shipped definition.
type Existing struct {
	// Name is "stream S" or "consumer S/C".
	Name        string
	Missing     bool
	Differences []Difference
	// Replicas is a stream's number of replicas.
	Replicas int
	// Used is the share of a stream's limits that is used, 1 when it refuses messages, and
	// Limit names the limit. 0 for a stream that refuses none.
	Used  float64
	Limit string
}

// Compare compares all streams and consumers of the service with their definitions.
// It changes nothing.
func Compare(ctx context.Context, js jetstream.JetStream) ([]Existing, error) {
	return compare(ctx, js, service)
}

// CompareFollow compares the consumer that the follower reads.
func CompareFollow(ctx context.Context, js jetstream.JetStream) ([]Existing, error) {
	return compare(ctx, js, follow)
}

// CompareArchive compares the consumer that the archiver reads. If it is missing, nothing is archived.
func CompareArchive(ctx context.Context, js jetstream.JetStream) ([]Existing, error) {
	return compare(ctx, js, archive)
}

// CompareBudget compares the stream that only a budget of writing calls needs.
func CompareBudget(ctx context.Context, js jetstream.JetStream) ([]Existing, error) {
	return compare(ctx, js, budget)
}

// CompareTrigger compares what only `backhaul trigger` needs. The first result is the
// stream that it reads; without that stream the trigger is not set up.
func CompareTrigger(ctx context.Context, js jetstream.JetStream) ([]Existing, error) {
	return compare(ctx, js, trigger)
}

func compare(ctx context.Context, js jetstream.JetStream, s set) ([]Existing, error) {
	names, err := definitions(s.files, s.dir)
	if err != nil {
		return nil, err
	}
	var all []Existing
	for _, name := range names {
		data, err := s.files.ReadFile(name)
		if err != nil {
			return all, err
		}
		var one Existing
		if stream, durable, ok := s.consumerOf(name); ok {
			one, err = compareConsumer(ctx, js, stream, durable, data)
		} else {
			one, err = compareStream(ctx, js, data)
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", one.Name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func compareStream(ctx context.Context, js jetstream.JetStream, data []byte) (Existing, error) {
	var want jetstream.StreamConfig
	if err := json.Unmarshal(data, &want); err != nil {
		return Existing{}, err
	}
	one := Existing{Name: "stream " + want.Name}
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		one.Missing = true
		return one, nil
	}
	if err != nil {
		return one, err
	}
	have := stream.CachedInfo().Config
	one.Replicas = have.Replicas
	one.Used, one.Limit = publisher.Fullness(stream.CachedInfo())
	one.Differences = streamDifferences(want, have)
	return one, nil
}

func compareConsumer(ctx context.Context, js jetstream.JetStream, stream, durable string, data []byte) (Existing, error) {
	var want jetstream.ConsumerConfig
	if err := json.Unmarshal(data, &want); err != nil {
		return Existing{}, err
	}
	name := stream + "/" + durable
	one := Existing{Name: "consumer " + name}
	consumer, err := js.Consumer(ctx, stream, durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		one.Missing = true
		return one, nil
	}
	if err != nil {
		return one, err
	}
	one.Differences = consumerDifferences(name, want, consumer.CachedInfo().Config)
	return one, nil
}

// comparison collects differences of one thing.
type comparison struct {
	name  string
	found []Difference
}

func (c *comparison) field(name string, want, have any, breaks bool) {
	if want, have := fmt.Sprint(want), fmt.Sprint(have); want != have {
		c.found = append(c.found, Difference{Name: c.name, Field: name, Want: want, Have: have, Breaks: breaks})
	}
}

const breaks, choice = true, false

func streamDifferences(want, have jetstream.StreamConfig) []Difference {
	c := comparison{name: "stream " + want.Name}
	c.field("subjects", want.Subjects, have.Subjects, !lacksPriorities(want, have))
	c.field("retention", want.Retention, have.Retention, breaks)
	c.field("storage", want.Storage, have.Storage, breaks)
	c.field("discard", want.Discard, have.Discard, breaks)
	c.field("max_msgs_per_subject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject, breaks)
	c.field("max_msg_size", want.MaxMsgSize, have.MaxMsgSize, breaks)
	ledger := want.Name == publisher.EventsStream
	// Requests are never dropped by age, and no claim before the request that it is about.
	c.field("max_age", want.MaxAge, have.MaxAge, want.MaxAge == 0 || ledger && have.MaxAge > 0 && have.MaxAge < consumer.ShortestAge)
	// The ledger is never rewritten, never read from a replica.
	c.field("deny_delete", want.DenyDelete, have.DenyDelete, want.DenyPurge)
	c.field("deny_purge", want.DenyPurge, have.DenyPurge, want.DenyPurge)
	if want.DenyPurge {
		c.field("allow_direct", want.AllowDirect, have.AllowDirect, breaks)
	}
	c.field("duplicate_window", want.Duplicates, have.Duplicates, choice)
	// A ledger that discards the oldest events forgets. One that refuses new ones does not.
	forgets := ledger && have.Discard == jetstream.DiscardOld
	c.field("max_msgs", want.MaxMsgs, have.MaxMsgs, forgets && have.MaxMsgs > 0)
	c.field("max_bytes", want.MaxBytes, have.MaxBytes, forgets && have.MaxBytes > 0)
	return c.found
}

// lacksPriorities reports whether all that a requests stream lacks is the subjects of
// priorities. A stream of an earlier version lacks them, and so must one while replicas of
// such a version run: they fail every request with a priority as invalid.
func lacksPriorities(want, have jetstream.StreamConfig) bool {
	return want.Name == publisher.RequestsStream && len(have.Subjects) > 0 && have.Subjects[0] == want.Subjects[0] &&
		!slices.ContainsFunc(have.Subjects, func(subject string) bool { return !slices.Contains(want.Subjects, subject) })
}

// WithoutPriorities is said of a requests stream that lacks the subjects of priorities.
const WithoutPriorities = "it takes no requests with a priority; when no replica of an earlier version runs any more: " +
	"`nats stream edit " + publisher.RequestsStream + " --subjects 'backup.request.*,backup.request.*.high,backup.request.*.low'`"

func consumerDifferences(name string, want, have jetstream.ConsumerConfig) []Difference {
	c := comparison{name: "consumer " + name}
	c.field("ack_policy", want.AckPolicy, have.AckPolicy, breaks)
	if want.Durable != publisher.FollowerConsumer { // its first message depends on when it was made
		c.field("deliver_policy", want.DeliverPolicy, have.DeliverPolicy, breaks)
	}
	c.field("max_deliver", want.MaxDeliver, have.MaxDeliver, breaks)
	c.field("backoff", len(want.BackOff), len(have.BackOff), breaks)
	c.field("filter_subject", want.FilterSubject, have.FilterSubject, breaks)
	c.field("ack_wait", want.AckWait, have.AckWait, choice)
	c.field("max_ack_pending", want.MaxAckPending, have.MaxAckPending, choice)
	if want.MaxWaiting > 0 { // else it is the server's
		// More pulls at once only make the trigger's replicas begin again.
		c.field("max_waiting", want.MaxWaiting, have.MaxWaiting, choice)
	}
	return c.found
}

// add records a difference that breaks a guarantee.
func (e *DriftError) add(found []Difference) {
	for _, d := range slices.DeleteFunc(found, func(d Difference) bool { return !d.Breaks }) {
		e.Differences = append(e.Differences, d.String())
	}
}
