package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// newGuarded returns a ledger with a guard that has not compared it.
func newGuarded(t *testing.T) (*ledger, *guard) {
	t.Helper()
	nc := natstest.Start(t).Connect(t)
	l := newLedgerOn(t, nc, time.Minute)
	l.guard = guardOf(t, l, nc)
	return l, l.guard
}

// guardOf returns the guard of another process.
func guardOf(t *testing.T, l *ledger, nc *nats.Conn) *guard {
	t.Helper()
	js := natstest.JetStream(t, nc)
	events := natstest.Stream(t, js, publisher.EventsStream)
	return newGuard(nc, js, l.publisher, events, zerolog.Nop())
}

// isLost reports whether an error is a LedgerError.
func isLost(err error) bool {
	_, lost := errors.AsType[*LedgerError](err)
	return lost
}

// A sequence that is not higher than all before the write proves a loss, unless another ledger
// was accepted meanwhile.
func TestGuardWrote_aSequenceThatGoesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sequence uint64
		accepted bool
		lost     bool
	}{
		"the next":               {8, false, false},
		"the last once more":     {7, false, true},
		"an earlier one":         {1, false, true},
		"of an accepted ledger":  {1, true, false},
		"far behind the highest": {99, false, false},
	} {
		g := &guard{}
		g.raise(7)
		before := g.seen()
		if c.accepted {
			g.era.Add(1)
		}
		err := g.wrote(before, c.sequence)
		if errors.Is(err, errForgotten) != c.lost || (g.lost.Load() != nil) != c.lost {
			t.Errorf("%s: %v, lost: %v", name, err, g.lost.Load())
		}
		if want := max(7, c.sequence); !c.lost && !c.accepted && g.high.Load() != want {
			t.Errorf("%s: seen up to %d, want %d", name, g.high.Load(), want)
		}
	}
}

// Without a connection the condition names the connection, and not the client's buffer.
func TestGuard_withoutAConnection(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc := server.Connect(t)
	g := guardOf(t, newLedgerOn(t, nc, time.Minute), nc)
	if g.compare(t.Context()); g.condition() != nil {
		t.Fatal(g.condition())
	}
	away := nc.StatusChanged(nats.RECONNECTING)
	server.Stop()
	<-away
	if g.compare(t.Context()); g.condition() == nil || g.condition().Error() != "NATS is not connected: RECONNECTING" {
		t.Errorf("got %v", g.condition())
	}
}

// A ledger that differs is not written to, and is lost if the difference lasts. The reason is
// kept: a process that starts later finds it, although the ledger has grown. Only a mark
// that agrees with the ledger ends the loss.
func TestGuard_aLedgerThatDiffers(t *testing.T) {
	t.Parallel()
	l, g := newGuarded(t)
	ctx := t.Context()
	if err := g.err(); !errors.Is(err, errUnverified) {
		t.Errorf("before the first comparison: %v", err)
	}
	if g.compare(ctx); g.err() != nil || g.condition() != nil {
		t.Fatalf("%v, %v", g.err(), g.condition())
	}
	for _, id := range []string{"a", "b"} {
		l.claimed(t, testRequest(id))
	}
	g.raise(4) // what this process has written; a server that was the leader does not have it yet
	if g.compare(ctx); !errors.Is(g.err(), errUnverified) || g.condition() == nil {
		t.Errorf("a ledger that differs: %v, condition %v; want that it is compared again", g.err(), g.condition())
	}
	for _, id := range []string{"c", "d"} {
		other := l.of("two")
		other.guard = nil
		other.claimed(t, testRequest(id))
	}
	if g.compare(ctx); g.err() != nil || g.condition() != nil {
		t.Errorf("the ledger again: %v, %v", g.err(), g.condition())
	}

	g.raise(9)
	g.suspected = time.Now().Add(-time.Second) // which is long for one server only
	if err := g.suspect(ctx, &jetstream.StreamInfo{Config: jetstream.StreamConfig{Replicas: 3}}, errForgotten); isLost(err) {
		t.Errorf("a cluster's server differs for a second: %v", err)
	}
	g.suspected = time.Now().Add(-time.Second)
	if g.compare(ctx); !isLost(g.err()) {
		t.Fatalf("a ledger that differs for a second: %v", g.err())
	}
	mark, after, err := publisher.ReadMark(ctx, g.marks)
	if err != nil || !strings.Contains(mark.Forgot, "was seen up to 9") {
		t.Errorf("the mark is %+v, %v", mark, err)
	}
	later := guardOf(t, l, g.nc)
	if later.compare(ctx); !isLost(later.err()) {
		t.Errorf("a process that starts later: %v", later.err())
	}

	info, err := g.events.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other := publisher.Mark{Created: info.Created.Add(-time.Hour), First: 1, Last: 3}
	for _, c := range []struct {
		mark publisher.Mark
		lost bool
	}{{other, true}, {publisher.Mark{Created: info.Created}, true}, {publisher.MarkOf(info), false}} {
		if _, err = l.publisher.RecordMark(ctx, after, c.mark); err != nil {
			t.Fatal(err)
		}
		if g.compare(ctx); isLost(g.err()) != c.lost {
			t.Errorf("the mark is %+v: %v, want lost: %t", c.mark, g.err(), c.lost)
		}
		if _, after, err = publisher.ReadMark(ctx, g.marks); err != nil {
			t.Fatal(err)
		}
	}
	if l.claimed(t, testRequest("e")); g.err() != nil {
		t.Errorf("a claim in the ledger that was accepted: %v", g.err())
	}
}

// The mark of another process is not overwritten, and the last sequence is kept at the end.
func TestGuard_keepsWhatWasSeen(t *testing.T) {
	t.Parallel()
	l, g := newGuarded(t)
	ctx := t.Context()
	other := guardOf(t, l, g.nc)
	g.compare(ctx)
	other.compare(ctx) // of an empty ledger
	c := l.claimed(t, testRequest("a"))
	if err := l.record(ctx, c.req, c.sequence, started("a")); err != nil {
		t.Fatal(err)
	}
	if got := g.high.Load(); got != 2 {
		t.Errorf("seen up to %d, want the outcome", got)
	}
	g.leave()
	mark, after, err := publisher.ReadMark(ctx, g.marks)
	if err != nil || mark.Last != 2 {
		t.Errorf("at the end the mark is %+v, %v; want all that was written", mark, err)
	}
	mark.Forgot = "it was lost"
	if _, err := l.publisher.RecordMark(ctx, after, mark); err != nil {
		t.Fatal(err)
	}
	l.of("two").claimed(t, testRequest("b"))
	for range 2 { // its own mark meets that one first
		other.compare(ctx)
	}
	if !isLost(other.err()) {
		t.Errorf("a process that learns of the loss from another one: %v", other.err())
	}
}

// A comparison does not count for a connection that was made after it began: it may be the
// answer of another server.
func TestGuard_aConnectionThatIsMadeMeanwhile(t *testing.T) {
	t.Parallel()
	_, g := newGuarded(t)
	connected := g.nc.StatusChanged(nats.CONNECTED)
	g.measure = func(*jetstream.StreamInfo) {
		if err := g.nc.ForceReconnect(); err != nil {
			t.Error(err)
		}
		<-connected
		g.measure = nil
	}
	if g.compare(t.Context()); !errors.Is(g.err(), errUnverified) {
		t.Errorf("%v, want that the ledger is compared again", g.err())
	}
	if g.compare(t.Context()); g.err() != nil {
		t.Error(g.err())
	}
}

// When a claim is no longer in the ledger, the ledger is compared first.
func TestGuard_aClaimThatIsGone(t *testing.T) {
	t.Parallel()
	l, g := newGuarded(t)
	g.compare(t.Context())
	c := l.claimed(t, testRequest("a"))
	c.sequence += 5
	if err := l.renew(t.Context(), c); !errors.Is(err, errForgotten) || !errors.Is(g.err(), errUnverified) {
		t.Errorf("%v, then %v; want that the ledger is compared", err, g.err())
	}
}

// A mark that cannot be read may record a loss.
func TestGuard_aMarkThatCannotBeRead(t *testing.T) {
	t.Parallel()
	_, g := newGuarded(t)
	if _, err := g.js.Publish(t.Context(), publisher.MarkSubject, []byte("{")); err != nil {
		t.Fatal(err)
	}
	g.compare(t.Context())
	if err := g.condition(); !errors.Is(g.err(), errUnverified) || err == nil || !strings.Contains(err.Error(), publisher.MarkSubject) {
		t.Errorf("%v, condition %v; want that nothing is claimed", g.err(), err)
	}
}

// Nothing is claimed while the stream's settings remove events.
func TestGuard_aStreamThatForgets(t *testing.T) {
	t.Parallel()
	l, g := newGuarded(t)
	g.compare(t.Context())
	cfg := g.events.CachedInfo().Config
	for _, limit := range []int64{1000, cfg.MaxMsgs} {
		changed := cfg
		changed.MaxMsgs = limit
		if _, err := g.js.UpdateStream(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		if g.compare(t.Context()); isLost(g.err()) != (limit == 1000) {
			t.Errorf("max_msgs is %d: %v", limit, g.err())
		}
	}
	l.claimed(t, testRequest("a"))
}

// A ledger that lost its last events while no replica ran, and in which others were written
// since, is as long as the one that is known.
func TestGuard_aLedgerWithOtherEvents(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]int{"the last one": 0, "one behind it": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, g := newGuarded(t)
			ctx := t.Context()
			g.compare(ctx)
			l.claimed(t, testRequest("a"))
			if g.compare(ctx); g.err() != nil {
				t.Fatal(g.err())
			}
			for range behind {
				l.claimed(t, testRequest("b"))
			}
			same := guardOf(t, l, g.nc)
			if err := same.check(ctx); err != nil || same.err() != nil {
				t.Fatalf("the ledger of another process: %v, %v", err, same.err())
			}
			// The mark knows of another event in this place.
			other := g.kept
			other.WitnessAt = other.WitnessAt.Add(-time.Second)
			_, after, err := publisher.ReadMark(ctx, g.marks)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.publisher.RecordMark(ctx, after, other); err != nil {
				t.Fatal(err)
			}
			if why, err := Differs(ctx, g.js); err != nil || why == nil {
				t.Errorf("an operator is told %v, %v", why, err)
			}
			later := guardOf(t, l, g.nc)
			if later.compare(ctx); later.err() == nil {
				t.Error("claims are allowed at once")
			}
			later.suspected = time.Now().Add(-time.Second)
			if later.compare(ctx); !isLost(later.err()) || !strings.Contains(later.err().Error(), "others took their sequences") {
				t.Errorf("got %v", later.err())
			}
		})
	}
}

// While the server's storage is used up no request can come, so only the probe tells it. It
// ends when there is storage again.
func TestGuardProbe_storageUsedUp(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc := server.Connect(t)
	l := newLedgerOn(t, nc, time.Minute)
	g := guardOf(t, l, nc)
	c := &Consumer{}
	g.stored = c.noteStorage
	l.guard = g
	g.compare(t.Context())
	l.claimed(t, testRequest("a"))
	g.known.Last = g.high.Load()
	g.keep(t.Context())
	probe := func() {
		t.Helper()
		g.probedAt = time.Time{}
		g.probe(t.Context())
	}
	if probe(); g.sequence == 0 || c.Writable() != nil || c.DeadLetters() != nil {
		t.Fatalf("sequence %d, %v, %v", g.sequence, c.Writable(), c.DeadLetters())
	}
	before := g.sequence
	if g.probe(t.Context()); g.sequence != before {
		t.Error("it probes more often than it should")
	}
	connected := nc.StatusChanged(nats.CONNECTED)
	server.LimitStorage(1)
	<-connected
	if probe(); c.Writable() == nil || c.DeadLetters() == nil || !strings.Contains(c.Writable().Error(), publisher.StorageHint) {
		t.Errorf("%v, %v, want the hint", c.Writable(), c.DeadLetters())
	}
	before = g.sequence
	if g.probe(t.Context()); g.probedAt.IsZero() || g.sequence != before {
		t.Error("it probes more often than it should")
	}
	// A mark that has changed is not given up, and does not hide the reason.
	g.known.Last++
	g.probedAt = time.Time{}
	if g.keep(t.Context()); g.marks == nil || g.unkept.Load() != nil || c.Writable() == nil {
		t.Errorf("the mark is kept no more: %v, %v", g.condition(), c.Writable())
	}
	connected = nc.StatusChanged(nats.CONNECTED)
	server.LimitStorage(0)
	<-connected
	if g.keep(t.Context()); c.Writable() == nil {
		t.Error("it writes more often than it should")
	}
	g.probedAt = time.Now().Add(-guardFull)
	if g.keep(t.Context()); g.kept != g.known || c.Writable() != nil || c.DeadLetters() != nil {
		t.Errorf("kept %+v of %+v; %v, %v", g.kept, g.known, c.Writable(), c.DeadLetters())
	}
}
