package eventlog

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

const (
	// batchMessages and batchBytes bound what one pull brings, and so the memory.
	batchMessages = 256
	batchBytes    = 4 << 20
	// pullWait is how long a pull for stored messages waits, followWait one for new ones.
	pullWait   = 5 * time.Second
	followWait = 30 * time.Second
	// heartbeat is how often the server reports that a pull is open. After two of them
	// are missing, the pull is repeated.
	heartbeat = time.Second
	// idle bounds the wait for a server that has messages and does not deliver them.
	idle = 10 * time.Second
	// retryWait is the pause before a new consumer after an error.
	retryWait = 250 * time.Millisecond
)

// Messages calls visit for each message that a stream has now and that cfg
// selects, in their order. [ErrStop] ends it without being an error.
//
// It reads with an ephemeral consumer and deletes it at its end, also after an
// error or when ctx ends.
func Messages(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.ConsumerConfig, visit func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	r := reading{js: js, stream: stream, cfg: cfg, visit: visit, bytes: batchBytes}
	return r.run(ctx)
}

// MessagesOfLeader is like [Messages], and reads up to the last message that the stream's leader
// has, even if the consumer is on a server that is behind.
func MessagesOfLeader(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.ConsumerConfig, visit func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	r := reading{js: js, stream: stream, cfg: cfg, visit: visit, bytes: batchBytes}
	r.target = lastOf(ctx, js, stream, cfg)
	return r.run(ctx)
}

// Follow is like [Messages] and continues with messages that are stored later, until
// ctx ends or the consumer is lost. opened, if non-nil, is called once the consumer
// exists.
func Follow(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.ConsumerConfig, opened func(), visit func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	r := reading{js: js, stream: stream, cfg: cfg, visit: visit, bytes: batchBytes, follow: true, opened: opened}
	return r.end(ctx, r.consume(ctx))
}

// reading reads a stream in its order.
type reading struct {
	js     jetstream.JetStream
	stream string
	cfg    jetstream.ConsumerConfig
	visit  func(jetstream.Msg, *jetstream.MsgMetadata) error
	bytes  int // bounds a pull
	follow bool
	// target is the sequence up to which messages are owed, whatever the consumer says
	// is pending: it may be on a server that has come back and is behind the leader.
	target uint64
	opened func()

	began   bool   // a consumer was made
	last    uint64 // sequence of the last message that was visited
	visited error  // the error of visit
}

// run consumes, and continues after the last message when a consumer is lost: for
// [idle] without a message, or for as long as it follows.
func (r *reading) run(ctx context.Context) error {
	last, since := r.last, time.Now()
	for {
		err := r.consume(ctx)
		if r.last != last {
			last, since = r.last, time.Now()
		}
		switch {
		case err == nil, r.visited != nil, ctx.Err() != nil, !r.began, errors.Is(err, jetstream.ErrStreamNotFound):
			return r.end(ctx, err)
		case !r.follow && time.Since(since) > idle:
			return fmt.Errorf("read %s: %w: %w", r.stream, context.DeadlineExceeded, err)
		}
		select {
		case <-time.After(retryWait):
		case <-ctx.Done():
		}
	}
}

// end returns the error of [reading.consume] for the caller.
func (r *reading) end(ctx context.Context, err error) error {
	switch {
	case errors.Is(r.visited, ErrStop):
		return nil
	case r.visited != nil:
		return r.visited
	case err == nil:
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return fmt.Errorf("read %s: %w", r.stream, err)
}

// errBehind is a consumer on a server that does not have what the stream's leader has.
var errBehind = errors.New("the server that reads is behind the stream's leader")

// lastOf returns the sequence of the last message that cfg selects, as the stream's leader
// has it, 0 if there is none or if the user may not ask.
func lastOf(ctx context.Context, js jetstream.JetStream, stream string, cfg jetstream.ConsumerConfig) uint64 {
	ctx, cancel := context.WithTimeout(ctx, deleteWait)
	defer cancel()
	leader, err := js.Stream(ctx, stream)
	if err != nil {
		return 0
	}
	filters := cfg.FilterSubjects
	if len(filters) == 0 {
		filters = []string{">"}
	}
	last := uint64(0)
	for _, filter := range filters {
		msg, err := leader.GetLastMsgForSubject(ctx, filter)
		if err != nil || msg.Sequence < cfg.OptStartSeq || cfg.OptStartTime != nil && msg.Time.Before(*cfg.OptStartTime) {
			continue
		}
		last = max(last, msg.Sequence)
	}
	return last
}

// errGap is a message that was delivered and did not arrive.
var errGap = errors.New("a message was lost on its way")

// consume makes a consumer behind the last message, reads, and deletes the consumer.
func (r *reading) consume(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx) // ends an open pull
	defer cancel()
	cfg := r.config()
	consumer, err := r.js.CreateConsumer(ctx, r.stream, cfg)
	if err != nil && publisher.Denied(r.js.Conn(), "$JS.API.CONSUMER.CREATE.") != nil {
		return err // nothing was made, and the caller reads the violation as the last error
	}
	// The name is known before the server has answered: a consumer whose answer did
	// not arrive is deleted as well.
	defer DeleteConsumer(ctx, r.js, r.stream, cfg.Name)
	if err != nil {
		return err
	}
	r.began = true
	if r.opened != nil {
		r.opened()
	}
	pending := uint64(batchMessages)
	if !r.follow {
		if pending, err = pendingOf(ctx, consumer); err != nil {
			return err
		}
	}
	delivered, single := uint64(0), false
	for (pending > 0 || r.last < r.target) && r.visited == nil {
		before, owed := delivered, pending == 0
		if pending, err = r.pull(ctx, consumer, pending, single, &delivered); err != nil {
			return err
		}
		// A message larger than a pull's bytes is pulled alone.
		single = delivered == before
		switch {
		case single && owed:
			return errBehind
		case r.follow:
			pending = batchMessages
		case single: // what was pending may have been deleted
			if pending, err = pendingOf(ctx, consumer); err != nil {
				return err
			}
		}
	}
	return r.visited
}

func pendingOf(ctx context.Context, consumer jetstream.Consumer) (uint64, error) {
	info, err := consumer.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.NumPending, nil
}

// config returns the configuration of the next consumer.
func (r *reading) config() jetstream.ConsumerConfig {
	cfg := r.cfg
	cfg.Name = "reader-" + rand.Text()
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas = jetstream.AckNonePolicy, true, 1
	cfg.InactiveThreshold = InactiveThreshold
	if len(cfg.FilterSubjects) == 1 { // the API subject names a single filter, and roles are granted by it
		cfg.FilterSubject, cfg.FilterSubjects = cfg.FilterSubjects[0], nil
	}
	if r.last > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartSequencePolicy, r.last+1, nil
	}
	return cfg
}

// pull visits one batch and returns how many messages were pending behind its last.
func (r *reading) pull(ctx context.Context, consumer jetstream.Consumer, pending uint64, single bool, delivered *uint64) (uint64, error) {
	wait := pullWait
	if r.follow {
		wait = followWait
	}
	pulling, cancel := context.WithTimeout(ctx, wait)
	defer cancel() // a batch that was not read to its end
	options := []jetstream.FetchOpt{jetstream.FetchContext(pulling), jetstream.FetchHeartbeat(heartbeat)}
	n := int(min(max(pending, 1), batchMessages))
	if single {
		n = 1
	} else {
		options = append(options, jetstream.FetchMaxBytes(r.bytes))
	}
	batch, err := consumer.Fetch(n, options...)
	if err != nil {
		return 0, err
	}
	for msg := range batch.Messages() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return 0, err
		}
		if meta.Sequence.Consumer != *delivered+1 {
			return 0, errGap
		}
		*delivered, r.last, pending = meta.Sequence.Consumer, meta.Sequence.Stream, meta.NumPending
		if r.visited = r.visit(msg, meta); r.visited != nil || !r.follow && pending == 0 && r.last >= r.target {
			return pending, nil
		}
	}
	if err := batch.Error(); err != nil && (ctx.Err() != nil || pulling.Err() == nil) {
		return 0, err
	}
	return pending, ctx.Err()
}

// InactiveThreshold is when the server deletes a consumer that is not read any
// more, such as that of a process that was killed.
const InactiveThreshold = 15 * time.Second

// deleteWait bounds the wait for the server's answer.
const deleteWait = 2 * time.Second

// DeleteConsumer deletes an ephemeral consumer, also when ctx has ended. It returns no
// error: the server deletes an idle consumer after [InactiveThreshold]. A user that
// may not delete consumers costs one round trip, because the server reports the
// violation before it answers a ping.
func DeleteConsumer(ctx context.Context, js jetstream.JetStream, stream, name string) {
	nc := js.Conn()
	if !nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteWait)
	defer cancel()
	answers, err := nc.SubscribeSync(nc.NewRespInbox())
	if err != nil {
		return
	}
	defer func() { _ = answers.Unsubscribe() }()
	prefix := strings.TrimSuffix(cmp.Or(js.Options().APIPrefix, jetstream.DefaultAPIPrefix), ".")
	subject := prefix + ".CONSUMER.DELETE." + stream + "." + name
	if nc.PublishRequest(subject, answers.Subject, nil) != nil || nc.FlushWithContext(ctx) != nil || publisher.Denied(nc, subject) != nil {
		return
	}
	_, _ = answers.NextMsgWithContext(ctx)
}
