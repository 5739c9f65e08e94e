package publisher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MarkStream keeps the [Mark], outside of the stream that it is about.
const MarkStream = "BACKUP_MARK"

// MarkSubject is where the mark is published.
const MarkSubject = "backup.mark"

// Mark is what the service knows of its ledger, the events stream.
type Mark struct {
	// Created is when the stream was made.
	Created time.Time `json:"created"`
	// First is the sequence of its first message, and FirstAt when that was stored. Of an
	// empty stream it is the next one, which is no older than FirstAt.
	First   uint64    `json:"first,omitzero"`
	FirstAt time.Time `json:"firstAt,omitzero"`
	// Last is the highest sequence that was seen.
	Last uint64 `json:"last,omitzero"`
	// Witness is the sequence of the last message whose time is known, and WitnessAt when it
	// was stored; 0 and zero if the stream had none.
	Witness   uint64    `json:"witness,omitzero"`
	WitnessAt time.Time `json:"witnessAt,omitzero"`
	// Missing is how many messages are missing between the first and the last.
	Missing int `json:"missing,omitzero"`
	// Forgot says why the stream is not the ledger that was known, "" if it is. Only an
	// operator takes it back.
	Forgot string `json:"forgot,omitempty"`
}

// MarkOf returns the mark of the events stream as it is.
func MarkOf(info *jetstream.StreamInfo) Mark {
	m := Mark{Created: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq, Missing: info.State.NumDeleted}
	switch {
	case info.State.Msgs > 0:
		m.FirstAt = info.State.FirstTime
		m.Witness, m.WitnessAt = info.State.LastSeq, info.State.LastTime
	case info.State.LastSeq > 0:
		m.First, m.FirstAt = info.State.LastSeq+1, info.State.LastTime
	default:
		m.First, m.FirstAt = 1, info.Created
	}
	return m
}

// ageSlack is how much the clocks of a cluster's servers may differ.
const ageSlack = time.Minute

// Differs returns why the stream cannot be the ledger that the mark is about, nil if it
// can be. A ledger in which nothing was seen has nothing to forget. Only the age limit
// removes messages, and only at the front.
func (m Mark) Differs(info *jetstream.StreamInfo) error {
	now := MarkOf(info)
	age := info.Config.MaxAge
	switch {
	case m.Forgot != "":
		return errors.New(m.Forgot)
	case m.Last == 0:
		return nil
	case !now.Created.Equal(m.Created):
		return fmt.Errorf("stream %s was made again at %s; the ledger that is known was made at %s and had %d events",
			EventsStream, now.Created.UTC().Format(time.RFC3339), m.Created.UTC().Format(time.RFC3339), m.Last)
	case now.Last < m.Last:
		return fmt.Errorf("stream %s ends at sequence %d and was seen up to %d", EventsStream, now.Last, m.Last)
	case now.Missing > m.Missing:
		return fmt.Errorf("stream %s has lost %d events between its first and its last", EventsStream, now.Missing-m.Missing)
	case now.First > m.First && (age == 0 || m.FirstAt.Add(age).After(cmp.Or(info.TimeStamp, time.Now()).Add(ageSlack))):
		return fmt.Errorf("stream %s begins at sequence %d instead of %d, whose event was not yet too old", EventsStream, now.First, m.First)
	}
	return nil
}

// Replaced returns why the mark's witness is another message now, nil if it is the same or is
// too old to be there. [Mark.Differs] does not see that the last events were lost if as many
// were written since; this does. It reads one message, unless the witness is the last one.
func (m Mark) Replaced(ctx context.Context, events jetstream.Stream, info *jetstream.StreamInfo) (why, err error) {
	if m.Witness == 0 || m.Witness < info.State.FirstSeq || m.Witness > info.State.LastSeq {
		return nil, nil
	}
	at := info.State.LastTime
	if m.Witness != info.State.LastSeq {
		msg, err := events.GetMsg(ctx, m.Witness)
		if errors.Is(err, jetstream.ErrMsgNotFound) { // its age ended in between; a hole is counted
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read event %d: %w", m.Witness, err)
		}
		at = msg.Time
	}
	if at.Equal(m.WitnessAt) {
		return nil, nil
	}
	return fmt.Errorf("event %d of stream %s was stored at %s, and the one that is known at %s: events were lost, and others took their sequences",
		m.Witness, EventsStream, at.UTC().Format(time.RFC3339Nano), m.WitnessAt.UTC().Format(time.RFC3339Nano)), nil
}

// ReadMark returns the mark and its sequence, 0 if there is none.
func ReadMark(ctx context.Context, marks jetstream.Stream) (Mark, uint64, error) {
	msg, err := marks.GetLastMsgForSubject(ctx, MarkSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Mark{}, 0, nil
	}
	if err != nil {
		return Mark{}, 0, fmt.Errorf("read %s: %w", MarkSubject, err)
	}
	var m Mark
	if err := json.Unmarshal(msg.Data, &m); err != nil {
		return Mark{}, 0, fmt.Errorf("read %s: %w", MarkSubject, err)
	}
	return m, msg.Sequence, nil
}

// RecordMark writes the mark if the last one has the sequence after, 0 for none, with the
// errors of [Publisher.Append].
func (p *Publisher) RecordMark(ctx context.Context, after uint64, m Mark) (uint64, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	return p.compareAndSet(ctx, MarkSubject, func() (uint64, error) {
		return p.writeAfter(ctx, &nats.Msg{Subject: MarkSubject, Data: data}, MarkSubject, after)
	})
}
