package publisher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DigestStream keeps digests of the events: what they say about the protection of content groups,
// in few bytes. It is a copy of a part of [EventsStream]. Nothing is lost with it but time.
const DigestStream = "BACKUP_PROTECTION"

// AnyDigest matches the subjects of the digests.
const AnyDigest = digestPrefix + "*"

const digestPrefix = "backup.protection."

// DigestSubject is where the digest with a number is published.
func DigestSubject(number uint64) string { return digestPrefix + strconv.FormatUint(number, 10) }

// digestWait bounds the wait for a digest. What it has can be read from the events.
const digestWait = 5 * time.Second

// ErrNoDigest is a digest that is not stored.
var ErrNoDigest = errors.New("there is no such digest")

// ErrNoDigests says that there are no digests, or that this user may not read them.
var ErrNoDigests = errors.New("there are no digests")

// LastDigest returns the digest with a number and its sequence. It asks whichever server has the
// stream: an old answer is that of a copy, which the reader compares with the events in any case.
//
// It needs $JS.API.DIRECT.GET.BACKUP_PROTECTION.backup.protection.*, and no more.
func LastDigest(ctx context.Context, js jetstream.JetStream, number uint64) (data []byte, sequence uint64, err error) {
	subject := strings.TrimSuffix(cmp.Or(js.Options().APIPrefix, jetstream.DefaultAPIPrefix), ".") +
		".DIRECT.GET." + DigestStream + "." + DigestSubject(number)
	ctx, cancel := context.WithTimeout(ctx, digestWait)
	defer cancel()
	msg, err := request(ctx, js.Conn(), subject)
	if err != nil {
		return nil, 0, fmt.Errorf("read digest %d: %w", number, err)
	}
	switch status := msg.Header.Get("Status"); status {
	case "":
		sequence, err = strconv.ParseUint(msg.Header.Get("Nats-Sequence"), 10, 64)
		return msg.Data, sequence, err
	case "503": // no responders
		return nil, 0, ErrNoDigests
	case "404":
		return nil, 0, ErrNoDigest
	default:
		return nil, 0, fmt.Errorf("read digest %d: status %s %s", number, status, msg.Header.Get("Description"))
	}
}

// request is like [nats.Conn.RequestWithContext]. Its error is [ErrNoDigests] after one round trip if
// this user may not ask: the server reports the violation before it answers a ping.
func request(ctx context.Context, nc *nats.Conn, subject string) (*nats.Msg, error) {
	answers := make(chan *nats.Msg, 1) // SubscribeSync makes one of half a megabyte
	sub, err := nc.ChanSubscribe(nc.NewRespInbox(), answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(subject, sub.Subject, nil); err != nil {
		return nil, err
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return nil, err
	}
	if Denied(nc, subject) != nil {
		return nil, ErrNoDigests
	}
	select {
	case msg := <-answers:
		return msg, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// AppendDigest writes the digest with a number if the last one has the sequence after, 0 for none,
// with the errors of [Publisher.Append].
func (p *Publisher) AppendDigest(ctx context.Context, number, after uint64, data []byte) (uint64, error) {
	subject := DigestSubject(number)
	return p.compareAndSet(ctx, subject, func() (uint64, error) {
		return p.writeAfter(ctx, &nats.Msg{Subject: subject, Data: data}, subject, after)
	})
}
