package consumer

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/budget"
	"backhaul/publisher/natstest"
)

// newStarts returns the starts of a replica.
func newStarts(t *testing.T, nc *nats.Conn, owner string) *budget.Budget {
	t.Helper()
	b := budget.New(budget.Config{Owner: owner, PerHour: 1000, Timeout: 30 * time.Second, Log: zerolog.Nop()})
	if err := b.Use(nc); err != nil {
		t.Fatal(err)
	}
	b.Settle(context.Background())
	return b
}

// Replicas that share their starts have one order. What was handed over has its turn behind those
// that were taken, until it or another replica takes that turn.
func TestPicker_sharedOrder(t *testing.T) {
	t.Parallel()
	c, js := newPicking(t)
	natstest.ProvisionBudget(t, c.nc)
	own, other := newStarts(t, c.nc, "one"), newStarts(t, c.nc, "two")
	c.cfg.Starts = own
	take := func(b *budget.Budget, subject string, number uint64) {
		t.Helper()
		if _, err := b.Reserve(t.Context(), subject, number); err != nil {
			t.Fatal(err)
		}
	}
	pick := func(sequence, turn uint64) {
		t.Helper()
		if d := wantPick(t, c.picker, sequence); d.reading.(*picked).turn != turn {
			t.Errorf("message %d has turn %d, want %d", sequence, d.reading.(*picked).turn, turn)
		}
	}
	for range 4 {
		publishTo(t, js, "backup.request.a") // 1 to 4
	}
	publishTo(t, js, "backup.request.b") // 5
	take(other, "backup.request.b", 0)
	own.Settle(t.Context())
	pick(1, 1) // b was served by the other replica
	pick(5, 2) // a has the turn before
	take(own, "backup.request.a", 1)
	pick(2, 3)
	take(other, "backup.request.c", 2) // the turn of message 5
	own.Settle(t.Context())
	pick(3, 4) // behind message 2, which still has turn 3
	take(other, "backup.request.c", 3)
	take(other, "backup.request.c", 4)
	own.Settle(t.Context())
	pick(4, 5) // all that was handed over has lost its turn
}
