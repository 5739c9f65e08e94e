package consumer

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/turn"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// newTurns returns turns by which every content group queues.
func newTurns(t *testing.T) (*turns, *ledger) {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	l := newLedgerOn(t, nc, time.Minute)
	return &turns{
		ruleOf: func(*schemas.BackupRequest) turn.Rule { return turn.Rule{Queue: true} },
		turns:  turn.New(natstest.JetStream(t, nc), l.events, l.publisher),
		log:    zerolog.Nop(), groups: make(map[turn.Group]groupWait),
	}, l
}

// What was found out about a content group serves its other requests for a moment, but not the
// request that has the turn.
func TestTheHolderDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	turns, l := newTurns(t)
	first, second := testRequest("first"), testRequest("second")
	look := func(req *request) *turn.Wait {
		st, err := turns.look(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		req.turn = st
		return st.Wait
	}
	if wait := look(first); wait != nil {
		t.Fatalf("the first waits for %s", wait)
	}
	l.claimed(t, first)
	if _, err := turns.turns.Take(t.Context(), *first.turn, first.key, first.RequestID); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if wait := look(second); wait == nil || wait.Key() != first.key {
			t.Fatalf("the second waits for %v", wait)
		}
		if wait := look(first); wait != nil {
			t.Errorf("the first waits for %s", wait)
		}
	}
}

func TestTurnDelay(t *testing.T) {
	t.Parallel()
	waiting := &waitError{}
	for age, want := range map[time.Duration]time.Duration{
		0: time.Second, 8 * time.Second: 2 * time.Second, time.Hour: 15 * time.Second,
	} {
		if got := waiting.turnDelay(age); got != want {
			t.Errorf("at the age %s: %s, want %s", age, got, want)
		}
	}
}
