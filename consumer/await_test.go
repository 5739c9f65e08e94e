package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/turn"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// queueing returns turns by which every content group queues.
func queueing(t *testing.T) (*turns, *ledger) {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	l := newLedgerOn(t, nc, time.Minute)
	ruleOf := func(*schemas.BackupRequest) turn.Rule { return turn.Rule{Queue: true} }
	turns := newTurns(ruleOf, turn.New(natstest.JetStream(t, nc), l.events, l.publisher), 4, zerolog.Nop())
	return &turns, l
}

// What was found out about a content group serves its other requests for a moment, but not the
// request that has the turn.
func TestTheHolderDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	turns, l := queueing(t)
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

// The queue is crowded while half of what it may deliver waits.
func TestCrowded(t *testing.T) {
	t.Parallel()
	turns, l := queueing(t)
	first := testRequest("first")
	st, err := turns.look(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	l.claimed(t, first)
	if _, err := turns.turns.Take(t.Context(), *st, first.key, first.RequestID); err != nil {
		t.Fatal(err)
	}
	crowded := func() bool {
		turns.counted = time.Time{}
		return turns.crowded()
	}
	for i, id := range []string{"second", "third"} {
		if crowded() {
			t.Errorf("crowded with %d requests", i)
		}
		if _, err := turns.look(t.Context(), testRequest(id)); err != nil {
			t.Fatal(err)
		}
	}
	if !crowded() {
		t.Error("not crowded with 2 requests of 4")
	}
	for _, w := range turns.groups {
		for key := range w.requests {
			w.requests[key] = time.Now().Add(-3 * lastTurnDelay)
		}
	}
	if crowded() {
		t.Error("crowded with requests that were not seen for long")
	}
	turns.ruleOf = nil
	turns.waiting, turns.counted = 1000, time.Now()
	if turns.crowded() {
		t.Error("crowded without rules")
	}
}

func TestTurnDelay(t *testing.T) {
	t.Parallel()
	waiting := &waitError{}
	for age, want := range map[time.Duration]time.Duration{
		0: time.Second, 8 * time.Second: 2 * time.Second, time.Hour: 15 * time.Second,
	} {
		if got := waiting.delay(age); got != want {
			t.Errorf("at the age %s: %s, want %s", age, got, want)
		}
	}
	// Thousands look less often, and are known as long as it takes.
	waiting.requests = 5000
	if got := waiting.delay(time.Hour); got != 250*time.Second {
		t.Errorf("among 5000 requests: %s", got)
	}
	w := groupWait{requests: make(map[publisher.Key]time.Time)}
	for i := range 5000 {
		w.requests[publisher.NewKey("billing", fmt.Sprint(i))] = time.Now().Add(-250 * time.Second)
	}
	if got := w.count(); got != 5000 {
		t.Errorf("%d of 5000 requests are known", got)
	}
}
