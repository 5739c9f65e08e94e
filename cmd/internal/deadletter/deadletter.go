// Package deadletter is what operators do with requests that could not be done:
// look at them, send them again, drop them.
//
// # Replay
//
// The message of a letter is published again as it came, on its subject, with its
// headers and byte for byte, but under a new request id: the old one has its
// outcome, and nothing may follow that. The new id is made of the letter alone
// (<old id>-replay-<sequence of the letter>), so a replay that is repeated, by a
// double click or after a crash, is the same request and starts one job. Who wants
// another one after that has its outcome says so ([Order.Again]).
//
// # What a crash leads to
//
// The act is recorded first (backup.event.operator.dlq-replay), then the request
// is published. Nothing is done that is not on record, and the record says that it
// was asked for, not that it succeeded. What became of it is read from the new
// request's own events, whose replayOf names the old request:
//
//	crash after    the stream has               what List and Replay say and do
//	nothing        nothing                      not replayed; Replay does both steps
//	the record     the operator's event         replayed, no outcome yet; Replay publishes, and records nothing more
//	the request    both                         replayed, with the outcome once there is one
//
// Drop deletes the letter after its record. A letter that is still there was not
// dropped, whatever the record says; dropping it again ends it.
//
// # What it asks of NATS
//
// To look: CONSUMER.{CREATE,INFO,MSG.NEXT,DELETE} on the streams BACKUP_DLQ and
// BACKUP_EVENTS, STREAM.{INFO,MSG.GET} on both. To act also
// publish permission on backup.event.operator.*, on backup.request.<source> to
// replay, and STREAM.MSG.DELETE.BACKUP_DLQ to drop.
//
// A [Box] is safe for concurrent use.
package deadletter

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Box is the stream of dead letters.
type Box struct {
	js  jetstream.JetStream
	pub *publisher.Publisher
}

// New returns the dead letters behind a connection.
func New(nc *nats.Conn) (*Box, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	return &Box{js: js, pub: pub}, nil
}

// Letter is one dead letter: the message as it arrived and why it could not be done.
type Letter struct {
	// Number is the letter's sequence in its stream, Kept when it was put there.
	Number uint64
	Kept   time.Time
	// DeadLetter has no header and no data when it comes from [Box.List].
	publisher.DeadLetter
	// Request is as much of the request as could be read, and Invalid why it is
	// none, nil if it is. Both are empty when only headers were read ([Box.Page], [OfKey]).
	Request schemas.BackupRequest
	Invalid error
	// Replays are those on record, oldest first.
	Replays []Replay
	// root is the id that the first of a chain of replays had.
	root string
}

// Replay is one replay of a letter.
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

// Filter selects letters. Zero values select all.
type Filter struct {
	Source    string
	Client    string
	Subclient string // the content group
	Code      string // ours, or the vendor's in either form
	RequestID string
	// Since and Until are when the letter was kept.
	Since, Until time.Time
	// Limit is how many are wanted: the newest.
	Limit int
}

func (f Filter) matches(l *Letter) bool {
	same := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	return (f.RequestID == "" || f.RequestID == l.RequestID) &&
		(f.Code == "" || f.Code == l.Code || f.Code == vendorapi.LogCode(l.Code)) &&
		same(f.Client, l.Request.ClientName) && same(f.Subclient, l.Request.SubclientName)
}

// headersOf returns a message of the stream as a dead letter without its request.
func headersOf(subject string, header nats.Header, sequence uint64, stored time.Time) Letter {
	return Letter{Number: sequence, Kept: stored.UTC(), DeadLetter: publisher.ReadDeadLetter(subject, header, nil)}
}

// letterOf returns a message of the stream as a dead letter.
func letterOf(subject string, header nats.Header, data []byte, sequence uint64, stored time.Time) Letter {
	l := headersOf(subject, header, sequence, stored)
	l.Data, l.root = data, rootID(l.DeadLetter)
	var m schemas.RequestMessage
	m, l.Invalid = schemas.DecodeRequest(l.Header, l.Data)
	l.Request = m.Request
	return l
}

// ref returns the name of the dead letter in events.
func (l *Letter) ref() schemas.DeadLetterRef {
	return schemas.DeadLetterRef{
		Sequence: l.Number, KeptAt: l.Kept, Source: l.Key.Source, Key: l.Key.Name, RequestID: l.RequestID, ErrorCode: l.Code,
	}
}
