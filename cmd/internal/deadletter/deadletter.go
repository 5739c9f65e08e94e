// Package deadletter lists the messages of failed requests, sends them again and drops
// them, for operators.
//
// # Replay
//
// The message of a dead letter is published again unchanged, on its subject and with its
// headers, but under a new request id: the old request has its outcome, which is final.
// The new id depends on the dead letter only (<old id>-replay-<sequence of the dead
// letter>), so a repeated replay, by a double click or after a crash, is the same request
// and starts one job. [Order.Again] makes another request once that one has its outcome.
//
// A storage notification is put back: published again on its subject, with its headers. It has
// no request id. The stream of notifications recognises a repeated one for two minutes, so it is
// repeated within a minute of its record only.
//
// # What a crash leads to
//
// The action is recorded first (backup.event.operator.dlq-replay), then the request is
// published. Every action is on record, and the record says that it was ordered, not that
// it succeeded. The result is read from the events of the new request, whose replayOf
// names the old request:
//
//	crash after    the stream has               what List and Replay say and do
//	nothing        nothing                      not replayed; Replay does both steps
//	the record     the operator's event         replayed, no outcome yet; Replay publishes, and records nothing more
//	the request    both                         replayed, with the outcome once there is one
//
// Drop deletes the dead letter after its record. A dead letter that still exists was not
// dropped, whatever the record says; it can be dropped again.
//
// # What it asks of NATS
//
// To list: CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE} on the streams BACKUP_DLQ and
// BACKUP_EVENTS, STREAM.{INFO,MSG.GET} on both. To act also
// publish permission on backup.event.operator.*, on backup.request.<source> and
// storage.event.> to replay, and STREAM.MSG.DELETE.BACKUP_DLQ to drop.
//
// A [Store] is safe for concurrent use.
package deadletter

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
)

// DropNeeds are the subjects on which Drop publishes.
var DropNeeds = []string{publisher.AnyOperator, "$JS.API.STREAM.MSG.DELETE." + publisher.DeadLetterStream}

// Store is the stream of dead letters.
type Store struct {
	js  jetstream.JetStream
	pub *publisher.Publisher
}

// New returns the dead letters behind a connection.
func New(nc *nats.Conn) (*Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	return &Store{js: js, pub: pub}, nil
}

// Message is one dead letter: the message as it arrived and why its request failed.
type Message struct {
	// Number is the sequence in its stream, Kept when it was stored there.
	Number uint64
	Kept   time.Time
	// DeadLetter has no header and no data when it comes from [Store.List].
	publisher.DeadLetter
	// Request has the fields of the request that could be read. Invalid is why the message
	// is not a valid request, nil if it is valid. Both are empty when only headers were read ([Store.Page], [OfKey]);
	// [Store.AddRequests] adds them.
	Request schemas.BackupRequest
	Invalid error
	// Replays are those on record, oldest first.
	Replays []Replay
	// succeeded: a replay has started a job, or a replay of that one.
	succeeded bool
	// root is the id that the first of a chain of replays had.
	root string
}

// Replay is one replay of a dead letter.
type Replay struct {
	schemas.DeadLetterReplay
	Actor  string
	Reason string
	At     time.Time
	// Last is the last event of the new request, nil if it has none.
	Last schemas.Event
}

// Done reports whether the new request has its outcome.
func (r Replay) Done() bool { return r.Last != nil && r.Last.Kind().Terminal() }

// Filter selects dead letters. Zero values select all.
type Filter struct {
	Source    string
	Client    string
	Subclient string // the content group
	Code      string // ours, or the vendor's in either form
	// Subject is that of the message as it arrived; * and > are as in NATS.
	Subject   string
	RequestID string
	// Since and Until bound when the dead letter was stored.
	Since, Until time.Time
	// State is what became of them.
	State State
	// Limit is the largest number of results: the newest.
	Limit int
}

func (f Filter) matches(l *Message) bool {
	same := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	return (f.RequestID == "" || f.RequestID == l.RequestID) &&
		(f.Subject == "" || publisher.SubjectMatches(f.Subject, l.Subject)) &&
		(f.Code == "" || f.Code == l.Code || f.Code == schemas.LogCode(l.Code)) &&
		same(f.Client, l.Request.ClientName) && same(f.Subclient, l.Request.SubclientName)
}

// headersOf returns a message of the stream as a dead letter without its request.
func headersOf(subject string, header nats.Header, sequence uint64, stored time.Time) Message {
	return Message{Number: sequence, Kept: stored.UTC(), DeadLetter: publisher.ReadDeadLetter(subject, header, nil)}
}

// messageOf returns a message of the stream as a dead letter.
func messageOf(subject string, header nats.Header, data []byte, sequence uint64, stored time.Time) Message {
	l := headersOf(subject, header, sequence, stored)
	l.Data, l.root = data, rootID(l.DeadLetter)
	var m schemas.RequestMessage
	m, l.Invalid = schemas.DecodeRequest(l.Header, l.Data)
	l.Request = m.Request
	return l
}

// ref returns the name of the dead letter in events.
func (l *Message) ref() schemas.DeadLetterRef {
	return schemas.DeadLetterRef{
		Sequence: l.Number, KeptAt: l.Kept, Source: l.Key.Source, Key: l.Key.Name, RequestID: l.RequestID, ErrorCode: l.Code,
	}
}
