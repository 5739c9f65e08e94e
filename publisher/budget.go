package publisher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// BudgetStream keeps the record of the writing calls at the vendor.
const BudgetStream = "BACKUP_BUDGET"

// BudgetSubject is where the record is published.
const BudgetSubject = "backup.budget"

// Headers of a record. Nothing else proves that Backhaul wrote it and that it is the last one:
// an operator can publish on the subject, and delete messages of the stream.
const (
	budgetAfter = "Backhaul-After" // the stream's last sequence before it
	budgetSum   = "Backhaul-Sum"   // of that sequence and the data
)

// Budget is the record of the writing calls as the stream has it.
type Budget struct {
	// Sequence is that of the last message on the subject, 0 if there is none.
	Sequence uint64
	// Data is nil if the record cannot be relied on, and Why says so.
	Data []byte
	Why  error
}

// ReadBudget returns the record, from the stream's leader. last is the stream's last sequence, by
// an answer of the stream before the call.
func ReadBudget(ctx context.Context, stream jetstream.Stream, last uint64) (Budget, error) {
	msg, err := stream.GetLastMsgForSubject(ctx, BudgetSubject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) && last == 0:
		return Budget{Why: errors.New("it is new")}, nil
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Budget{Why: errors.New("its record was deleted")}, nil
	case err != nil:
		return Budget{}, fmt.Errorf("read %s: %w", BudgetSubject, err)
	}
	b := Budget{Sequence: msg.Sequence}
	after, _ := strconv.ParseUint(msg.Header.Get(budgetAfter), 10, 64)
	switch {
	case msg.Header.Get(budgetSum) != sumOfBudget(after, msg.Data):
		b.Why = errors.New("its record was not written by Backhaul")
	case after+1 != msg.Sequence:
		b.Why = errors.New("its record is a copy of an earlier one")
	case last > msg.Sequence:
		b.Why = errors.New("its last record was deleted")
	default:
		b.Data = msg.Data
	}
	return b, nil
}

// RecordBudget writes the record if the last one has the sequence after, 0 for none, and returns
// its sequence, with the errors of [Publisher.Append]. last is the stream's last sequence.
func (p *Publisher) RecordBudget(ctx context.Context, after, last uint64, record []byte) (uint64, error) {
	return p.compareAndSet(ctx, BudgetSubject, func() (uint64, error) {
		msg := &nats.Msg{Subject: BudgetSubject, Data: record, Header: nats.Header{
			budgetAfter: {strconv.FormatUint(last, 10)}, budgetSum: {sumOfBudget(last, record)},
		}}
		return p.writeAfter(ctx, msg, BudgetSubject, after)
	})
}

func sumOfBudget(after uint64, data []byte) string {
	sum := sha256.Sum256(append(strconv.AppendUint(nil, after, 10), data...))
	return hex.EncodeToString(sum[:])
}

// LastClaim returns when the last claim of any request was stored, zero if there is none.
func LastClaim(ctx context.Context, events jetstream.Stream) (time.Time, error) {
	msg, err := events.GetLastMsgForSubject(ctx, EventFilter(schemas.KindJobSubmitting, ""))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("read the last claim: %w", err)
	}
	return msg.Time, nil
}
