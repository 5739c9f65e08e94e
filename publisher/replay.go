package publisher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// ReadDeadLetter reads what [Publisher.DeadLetter] wrote. The headers are those
// of the message as it arrived, but for those that were left out. What is missing
// or no number is empty: a dead letter is shown whatever became of it.
func ReadDeadLetter(subject string, header nats.Header, data []byte) DeadLetter {
	source := strings.TrimPrefix(subject, deadLetterPrefix)
	get := func(name string) string { return schemas.DecodeHeader(header.Get(name)) }
	d := DeadLetter{
		Subject: get(HeaderDeadLetterSubject), Header: make(schemas.Header), Data: data,
		Key:       Key{Source: source, Name: get(HeaderDeadLetterKey)},
		RequestID: get(HeaderDeadLetterRequestID),
		Code:      get(HeaderDeadLetterCode), Reason: get(HeaderDeadLetterReason),
	}
	d.Sequence, _ = strconv.ParseUint(header.Get(HeaderDeadLetterSequence), 10, 64)
	d.Size, _ = strconv.Atoi(header.Get(HeaderDeadLetterSize))
	d.Time, _ = time.Parse(time.RFC3339Nano, header.Get(HeaderDeadLetterTime))
	for name, values := range header {
		if original, ok := strings.CutPrefix(name, HeaderOriginalPrefix); ok {
			for _, value := range values {
				d.Header[original] = append(d.Header[original], schemas.DecodeHeader(value))
			}
		} else if !notTheirs().MatchString(name) {
			d.Header[name] = values
		}
	}
	return d
}

// Whole returns an error if only the beginning of the payload is kept.
func (d DeadLetter) Whole() error {
	if d.Size > 0 {
		return fmt.Errorf("only the first %d of the message's %d bytes were kept: publish the request again at its source", len(d.Data), d.Size)
	}
	return nil
}

// ReplayMessage is the dead letter's message as it is sent again under a new request
// id: its payload byte for byte, its subject and its headers, without those that
// were instructions to JetStream when it was first published.
func (d DeadLetter) ReplayMessage(requestID string) *nats.Msg {
	msg := d.original()
	for name := range msg.Header {
		if strings.EqualFold(name, schemas.HeaderRequestID) || strings.EqualFold(name, schemas.HeaderReplayOf) {
			delete(msg.Header, name)
		}
	}
	msg.Header.Set(schemas.HeaderRequestID, schemas.EncodeHeader(requestID))
	msg.Header.Set(schemas.HeaderReplayOf, schemas.EncodeHeader(d.Key.String()))
	return msg
}

// original is the message as it arrived, without instructions to JetStream.
func (d DeadLetter) original() *nats.Msg {
	msg := &nats.Msg{Subject: d.Subject, Header: make(nats.Header), Data: d.Data}
	for name, values := range d.Header {
		if headerName().MatchString(name) && !instruction().MatchString(name) {
			msg.Header[name] = values
		}
	}
	return msg
}

// PutBack publishes a dead letter's storage notification on its subject again. id is its
// Nats-Msg-Id: the stream keeps what is published twice within its duplicate window once.
func (p *Publisher) PutBack(ctx context.Context, d DeadLetter, id string) error {
	err := d.Whole()
	if err == nil && !IsStorageSubject(d.Subject) {
		err = errors.New("it is not the subject of a storage notification")
	}
	if err != nil {
		return fmt.Errorf("put back on %q: %w", d.Subject, err)
	}
	if _, err := p.js.PublishMsg(ctx, d.original(), jetstream.WithMsgID(id), jetstream.WithExpectStream(StorageStream)); err != nil {
		return fmt.Errorf("put back on %s: %w", d.Subject, err)
	}
	return nil
}

// Replay publishes the dead letter's message again under a new request id. The same id
// is the same request, however often this is called: the ledger recognises it.
func (p *Publisher) Replay(ctx context.Context, d DeadLetter, requestID string) (*jetstream.PubAck, error) {
	source, _, err := ParseRequestSubject(d.Subject)
	if err == nil && source != d.Key.Source {
		err = fmt.Errorf("it is kept for the source %q", d.Key.Source)
	}
	if err == nil {
		err = d.Whole()
	}
	if err != nil {
		return nil, fmt.Errorf("replay on %q: %w", d.Subject, err)
	}
	ack, err := p.js.PublishMsg(ctx, d.ReplayMessage(requestID))
	if err != nil {
		return nil, fmt.Errorf("replay on %s: %w", d.Subject, err)
	}
	return ack, nil
}
