package budget

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// store reads and writes the record. It is not safe for concurrent use.
type store struct {
	js        jetstream.JetStream
	publisher *publisher.Publisher
	cached    snapshot
	// made and high are the stream that was used and its highest sequence, zero before the first use.
	made time.Time
	high uint64
	// refused is set after a write failed, until one succeeds. Only a write shows whether the
	// stream takes the record again.
	refused bool
}

func newStore(nc *nats.Conn) (*store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("budget: %w", err)
	}
	pub, err := publisher.New(nc)
	if err != nil {
		return nil, err
	}
	return &store{js: js, publisher: pub}, nil
}

// snapshot is the record at one moment.
type snapshot struct {
	record record
	// made is when the stream was made, last is its last sequence, and sequence that of the record,
	// 0 for none.
	made           time.Time
	last, sequence uint64
	// at is the server's time: after the local time asked, before the local time answered.
	at, asked, answered time.Time
	// assumed reports that the record is not the stream's.
	assumed bool
}

// earliest returns a time of the server that is not after a local time.
func (s snapshot) earliest(local time.Time) time.Time { return s.at.Add(local.Sub(s.answered)) }

// latest returns a time of the server that is not before a local time. For a time before the
// snapshot that holds also if our clock stood still meanwhile, as in a machine that was suspended.
func (s snapshot) latest(local time.Time) time.Time { return s.at.Add(local.Sub(s.asked)) }

// read returns the record as the stream's leader has it. If there is none that can be relied on, it
// is one that takes the calls of the last hour for a whole budget of calls that were made under the
// last claim, which ended to count when its lease was over.
func (s *store) read(ctx context.Context, limit int, lease time.Duration) (snapshot, error) {
	now := snapshot{asked: time.Now()}
	stream, err := s.js.Stream(ctx, publisher.BudgetStream)
	now.answered = time.Now()
	if err != nil {
		return snapshot{}, fmt.Errorf("stream %s: %w", publisher.BudgetStream, err)
	}
	info := stream.CachedInfo()
	if err := unfit(info); err != nil {
		return snapshot{}, err
	}
	now.at, now.made, now.last = info.TimeStamp, info.Created, info.State.LastSeq
	if s.cached.sequence > 0 && s.cached.sequence == now.last && s.cached.made.Equal(now.made) && info.State.Msgs > 0 {
		now.record, now.sequence = s.cached.record.clone(), s.cached.sequence
		return now, nil
	}
	stored, err := publisher.ReadBudget(ctx, stream, now.last)
	if err != nil {
		return snapshot{}, err
	}
	now.sequence = stored.Sequence
	why := stored.Why
	if why == nil && s.high > 0 && (!now.made.Equal(s.made) || stored.Sequence < s.high) {
		why = errors.New("it is not the one that was used: it was restored, or made again")
	}
	if why == nil {
		if now.record, why = decodeRecord(stored.Data); why == nil {
			now.last = stored.Sequence
			s.use(now)
			now.record = now.record.clone()
			return now, nil
		}
	}
	now.assumed = true
	now.record, err = s.assume(ctx, limit, lease, now.at, why)
	return now, err
}

// assume returns a record for calls that are not known. A process that has known some takes the
// budget for used up now.
func (s *store) assume(ctx context.Context, limit int, lease time.Duration, now time.Time, why error) (record, error) {
	events, err := s.js.Stream(ctx, publisher.EventsStream)
	if err != nil {
		return record{}, fmt.Errorf("stream %s: %w", publisher.EventsStream, err)
	}
	claimed, err := publisher.LastClaim(ctx, events)
	if err != nil {
		return record{}, err
	}
	r, ended := record{Limit: limit}, claimed.Add(lease)
	if s.high > 0 {
		ended = now
	}
	if counts(up(ended), now) {
		r.Unknown = fmt.Sprintf("the calls before %s are not known: stream %s: %v", now.UTC().Format(time.RFC3339), publisher.BudgetStream, why)
		r.end(byUnknown, limit, ended)
	}
	return r, nil
}

// write replaces the record that a snapshot has. [publisher.ErrConflict] means that it was replaced
// by another one.
func (s *store) write(ctx context.Context, was snapshot, r record) (snapshot, error) {
	r.Write = newName()
	data, err := json.Marshal(r)
	if err != nil {
		return snapshot{}, err
	}
	sequence, err := s.publisher.RecordBudget(ctx, was.sequence, was.last, data)
	if errors.Is(err, publisher.ErrConflict) {
		// The acknowledgement of our own write may have been lost.
		if stored, readErr := s.last(ctx); readErr == nil && stored.record.Write == r.Write {
			sequence, err = stored.sequence, nil
		}
	}
	if s.refused = err != nil && !errors.Is(err, publisher.ErrConflict); err != nil {
		s.cached = snapshot{}
		return snapshot{}, err
	}
	was.record, was.sequence, was.last, was.assumed = r, sequence, sequence, false
	s.use(was)
	s.cached.record = r.clone()
	return was, nil
}

// use notes a snapshot that is on record.
func (s *store) use(now snapshot) { s.cached, s.made, s.high = now, now.made, now.sequence }

// last returns the record that the stream has and its sequence only.
func (s *store) last(ctx context.Context) (snapshot, error) {
	stream, err := s.js.Stream(ctx, publisher.BudgetStream)
	if err != nil {
		return snapshot{}, err
	}
	stored, err := publisher.ReadBudget(ctx, stream, 0)
	if err != nil || stored.Why != nil {
		return snapshot{}, errors.Join(err, stored.Why)
	}
	r, err := decodeRecord(stored.Data)
	return snapshot{record: r, sequence: stored.Sequence}, err
}

// unfit returns why a stream cannot keep the record, nil if it can.
func unfit(info *jetstream.StreamInfo) error {
	c := info.Config
	switch {
	case !slices.Equal(c.Subjects, []string{publisher.BudgetSubject}):
		return fmt.Errorf("stream %s has the subjects %q, must have %q alone", c.Name, c.Subjects, publisher.BudgetSubject)
	case c.AllowDirect:
		return fmt.Errorf("stream %s allows direct reads, which may be stale: set allow_direct to false", c.Name)
	case c.Retention != jetstream.LimitsPolicy, c.Sealed, c.Mirror != nil:
		return fmt.Errorf("stream %s must have the retention limits and take messages, as `backhaul setup` makes it", c.Name)
	case info.TimeStamp.IsZero():
		return errors.New("the NATS server does not report its time: use nats-server 2.11 or later")
	}
	return nil
}

// newName returns a name that no other process chooses. The owner is no such name: the processes of
// a container that is restarted have the same one.
func newName() string { return rand.Text()[:10] }
