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
