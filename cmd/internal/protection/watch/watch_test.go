package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/cmd/internal/protection"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

const hour = time.Hour

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

// A failed job leaves changes exposed; after the limit the group is breached, and the next good
// backup restores it. A plain subscriber sees both.
func TestWatch_breachedAndRestored(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	sub, err := b.nc.SubscribeSync(publisher.AnyProtection)
	if err != nil {
		t.Fatal(err)
	}
	since := ago(2 * hour)
	b.changes("g", since).end(schemas.OutcomeFailed)
	b.changes("other", since).end(schemas.OutcomeFailed) // nothing is promised for it
	b.start(b.config())
	b.wait("breached rpo")
	b.changes("g", ago(time.Minute)).end(schemas.OutcomeCompleted)
	b.wait("breached rpo", "restored covered")

	all := b.said()
	breached, restored := all[0], all[1]
	if want := since.Add(hour); breached.ClientName != "c" || breached.SubclientName != "g" || breached.Owner != "team" ||
		!breached.Since.Equal(want) || !breached.ExposedSince.Equal(since) || breached.Objective.RPO != "1h" || breached.Objective.Name != "gold" {
		t.Errorf("breached: %+v", breached)
	}
	if !strings.Contains(breached.Reason, "the objective allows 1h") || !strings.Contains(breached.Reason, "ended as failed") {
		t.Errorf("the reason is %q", breached.Reason)
	}
	finished := natstest.Stored(b, b.js, publisher.EventsStream, publisher.EventFilter(schemas.KindJobFinished, ""))
	if end := finished[len(finished)-1]; !restored.Since.Equal(end.Time) || restored.At.Before(restored.Since) || !restored.ExposedSince.IsZero() || restored.LastGoodStart.IsZero() {
		t.Errorf("restored: %+v, and the backup ended at %s", restored, end.Time)
	}
	for _, want := range all {
		msg, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if msg.Subject != publisher.ProtectionSubject(want.ContentGroup) || msg.Header.Get("ce-type") != want.State.Type() || !strings.Contains(string(msg.Data), want.Reason) {
			t.Errorf("the subscriber got %s %v %s", msg.Subject, msg.Header, msg.Data)
		}
	}
}

// Changes whose request waits in the queue are exposed, and break a promise.
func TestWatch_readsTheQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	since := ago(2 * hour)
	w, _ := b.start(b.config())
	w.Caught(t.Context())
	for n := range 3 {
		r := schemas.BackupRequest{RequestID: fmt.Sprint("changes-", n), ClientName: "c", SubclientName: "g", Labels: map[string]string{"trigger.since": since.UTC().Format(time.RFC3339Nano)}}
		sent, err := b.pub.Send("storage", publisher.Normal, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sent.Acked(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.wait("breached rpo")
	}
	waittest.Eventually(t, "three windows", func() bool { return len(w.Look().Groups[0].Exposed) == 3 })
	if e := b.said()[0]; !e.ExposedSince.Equal(since) || w.Look().Groups[0].Why != protection.WhyWaiting {
		t.Errorf("breached: %+v", e)
	}
}

// A promise is broken by time alone: no event comes at the limit.
func TestWatch_breachesWithoutAnEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t, promise{"g": {RPO: hour}, "old": {MaxAge: hour}})
	b.changes("g", ago(hour-500*time.Millisecond))
	w, _ := b.start(b.config())
	w.Caught(t.Context())
	if v := w.Look(); len(v.Groups) != 1 || v.Groups[0].Status != Exposed {
		t.Fatalf("before the limit: %+v", v)
	}
	b.wait("breached rpo")
	e := b.said()[0]
	if late := e.At.Sub(e.Since); late <= 0 || late > 10*time.Second {
		t.Errorf("published %s after the limit", late)
	}
	b.changes("old", ago(2*hour))
	b.wait("breached rpo", "breached maxAge")
}

// Two replicas that both publish, and are killed and started at random, write each state once.
func TestWatch_twoReplicas(t *testing.T) {
	t.Parallel()
	objectives := promise{}
	const groups = 20
	for i := range groups {
		objectives[fmt.Sprint("g", i)] = protection.Objective{RPO: time.Millisecond}
	}
	b := newBench(t, objectives)
	stops := make([]func(), 2)
	for i := range stops {
		_, stops[i] = b.start(b.config())
	}
	for round := range 3 {
		for i := range groups {
			b.changes(fmt.Sprint("g", i), time.Now()).end(schemas.OutcomeFailed)
			if i == groups/2 {
				killed := rand.IntN(2)
				stops[killed]()
				_, stops[killed] = b.start(b.config())
			}
		}
		b.waitFor((2*round + 1) * groups) // every group is breached
		for i := range groups {
			b.changes(fmt.Sprint("g", i), time.Now()).end(schemas.OutcomeCompleted)
		}
		b.waitFor((2*round + 2) * groups) // every group is restored
	}
	w, _ := b.start(b.config())
	b.settle(w)
	last := map[string]schemas.ProtectionState{}
	for _, e := range b.said() {
		if before := last[e.SubclientName]; before == e.State || before == "" && e.State == schemas.ProtectionRestored {
			t.Errorf("%s is %s again", e.SubclientName, e.State)
		}
		last[e.SubclientName] = e.State
	}
	if n := len(b.said()); n != 6*groups {
		t.Errorf("%d events, want %d", n, 6*groups)
	}
}

// A change of the objectives is no backup: the event says so, and there is none while the state
// stays.
func TestWatch_objectivesChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(4*hour))
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	w, _ := b.start(b.config())
	w.Caught(t.Context())
	b.settle(w)
	b.wait()
	b.promise(rpo(3 * hour))
	b.settle(w)
	b.wait()
	b.promise(rpo(hour))
	b.wait("breached rpo")
	b.promise(rpo(hour / 2)) // still breached
	b.settle(w)
	b.wait("breached rpo")
	b.promise(rpo(3 * hour))
	b.wait("breached rpo", "restored objective")
	b.promise(rpo(hour))
	b.wait("breached rpo", "restored objective", "breached rpo")
	b.promise(promise{})
	b.wait("breached rpo", "restored objective", "breached rpo", "restored objective")
	b.settle(w)
	b.wait("breached rpo", "restored objective", "breached rpo", "restored objective")
	if all := b.said(); all[3].Objective.RPO != "" || !strings.Contains(all[3].Reason, "removed") || !strings.Contains(all[1].Reason, "changed") {
		t.Errorf("the reasons are %q and %q", all[1].Reason, all[3].Reason)
	}
}

// Only the replica that follows jobs publishes. Another one goes on when it takes over.
func TestWatch_publishesInItsTurn(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	cfg := b.config()
	turn := make(chan struct{})
	cfg.Publishes = func() bool {
		select {
		case <-turn:
			return true
		default:
			return false
		}
	}
	w, _ := b.start(cfg)
	w.Caught(t.Context())
	b.settle(w)
	if b.wait(); w.Look().Groups[0].Status != Breached {
		t.Error("it does not know the breach")
	}
	close(turn)
	b.wait("breached rpo")
}

// Foreign messages on the subject of a group are no state of it, and do not hinder the next
// event.
func TestWatch_foreignMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	subject := publisher.ProtectionSubject(contentGroup(protection.Group{Client: "c", Instance: "c", Backupset: schemas.DefaultBackupsetName, Subclient: "g"}))
	foreign := func() {
		t.Helper()
		if _, err := b.js.Publish(t.Context(), subject, []byte(`{"state":"breached","type":"io.nats.jetstream.api.v1.stream_info_response"}`)); err != nil {
			t.Fatal(err)
		}
	}
	foreign()
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	w, _ := b.start(b.config())
	b.wait("breached rpo")
	foreign()
	b.settle(w)
	b.wait("breached rpo")
	b.changes("g", ago(time.Minute)).end(schemas.OutcomeCompleted)
	b.wait("breached rpo", "restored covered")
}

// What is not read yet may be the backup that covers the changes: nothing is judged before.
func TestWatch_judgesNothingBehind(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	w, stop := b.start(b.config())
	b.wait("breached rpo")
	stop()
	b.changes("g", ago(time.Minute)).end(schemas.OutcomeCompleted)

	// A watch whose reader has stopped in front of the good backup.
	behind, err := New(b.nc, b.config(), w.log)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	behind.begin(stream.CachedInfo())
	behind.last = stream.CachedInfo().State.LastSeq - 1
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := behind.round(ctx); err == nil || !strings.Contains(err.Error(), "still being read") {
		t.Errorf("a round that is behind: %v", err)
	}
	behind.note(err)
	b.wait("breached rpo")
	behind.last++
	if err := behind.round(t.Context()); err != nil {
		t.Errorf("a round that has read everything: %v", err)
	}
	// A stream that was made again may have fewer messages than were read of the first one.
	behind.created = behind.created.Add(-hour)
	ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := behind.round(ctx); err == nil {
		t.Error("a round on another stream")
	}
}

// The trouble has its reason while the broker is away, and ends by itself; nothing is published
// twice.
func TestWatch_brokerAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	w, _ := b.start(b.config())
	b.wait("breached rpo")
	waittest.Eventually(t, "no trouble", func() bool { return w.Trouble() == nil })
	b.nats.Stop()
	waittest.Eventually(t, "trouble", func() bool { return w.Trouble() != nil })
	if v := w.Look(); v.Stale == "" || len(v.Groups) != 1 {
		t.Errorf("without the broker: %+v", v)
	}
	b.nats.Restart()
	waittest.Eventually(t, "no trouble", func() bool { return w.Trouble() == nil })
	b.settle(w)
	b.wait("breached rpo")
}

// A stream that is made again is read from its beginning.
func TestWatch_streamMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	for range 3 {
		b.changes("other", ago(time.Minute))
	}
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	w, _ := b.start(b.config())
	b.wait("breached rpo")
	stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if err := b.js.DeleteStream(t.Context(), publisher.EventsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	b.changes("new", ago(time.Minute))
	waittest.Eventually(t, "the new stream", func() bool {
		v := w.Look()
		return v.Stale == "" && len(v.Groups) == 1 && v.Groups[0].Subclient == "new"
	})
	b.wait()
}

// Without objectives nothing is read until somebody looks.
func TestWatch_readsOnDemand(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	b.changes("kept", ago(2*hour)).end(schemas.OutcomeCompleted)
	cfg := b.config()
	cfg.Objectives = nil
	w, stop := b.start(cfg)
	readers := func() int {
		t.Helper()
		n := 0
		stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
		if err != nil {
			t.Fatal(err)
		}
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if strings.HasPrefix(name, "reader-") {
				n++
			}
		}
		return n
	}
	if n := readers(); n != 0 || !w.Look().At.IsZero() {
		t.Errorf("%d readers before anybody looked", n)
	}
	w.Want()
	w.Caught(t.Context())
	v := w.Look()
	if len(v.Groups) != 2 || v.Promises != nil || v.Groups[0].Status != Exposed || v.Groups[1].Status != Covered || readers() != 1 {
		t.Errorf("%+v, %d readers", v, readers())
	}
	w.viewed.Store(0)
	waittest.Eventually(t, "no reader", func() bool { return readers() == 0 })
	waittest.Eventually(t, "nothing of what it read", func() bool { return w.Look().At.IsZero() })
	w.Want()
	w.Caught(t.Context())
	if n := len(w.Look().Groups); n != 2 {
		t.Errorf("%d groups after the second view", n)
	}
	stop()
	b.wait()
}

// A retained consumer would hold the server's resources.
func TestWatch_deletesItsConsumer(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	w, stop := b.start(b.config())
	w.Caught(t.Context())
	stop()
	stream, err := b.js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		names = append(names, name)
	}
	if !slices.Equal(names, []string{publisher.FollowerConsumer}) {
		t.Errorf("the consumers are %v", names)
	}
}

// The statuses of the past are those of the rules, broken at the limits of the objective.
func TestWatch_segments(t *testing.T) {
	t.Parallel()
	b := newBench(t, promise{"g": {RPO: hour}, "old": {MaxAge: hour}})
	since := ago(3 * hour)
	b.changes("g", since).end(schemas.OutcomeFailed)
	b.changes("old", ago(2*hour)).end(schemas.OutcomeCompleted)
	w, _ := b.start(b.config())
	b.wait("breached rpo")
	statuses := func(group string) (all []Segment) {
		t.Helper()
		v := w.Look()
		for i := range v.Groups {
			if v.Groups[i].Subclient == group {
				all = w.Segments(&v.Groups[i], v.At.Add(-24*hour), v.At)
			}
		}
		return all
	}
	all := statuses("g")
	if len(all) != 2 || all[0].Status != Exposed || all[1].Status != Breached || !all[0].From.Equal(since) || !all[0].Until.Equal(since.Add(hour)) || !all[1].From.Equal(all[0].Until) {
		t.Errorf("got %+v", all)
	}
	all = statuses("old") // without a good backup the age counts from the first change
	if len(all) != 3 || all[0].Status != Exposed || all[1].Status != Breached || all[2].Status != Covered {
		t.Errorf("got %+v", all)
	}
	b.changes("g", time.Now()).end(schemas.OutcomeCompleted)
	b.wait("breached rpo", "restored covered")
	if all = statuses("g"); len(all) != 3 || all[2].Status != Covered {
		t.Errorf("after a backup: %+v", all)
	}
}

// Of two broken promises the event names the one that was broken first, and a second one is no
// second event.
func TestWatch_firstBrokenPromise(t *testing.T) {
	t.Parallel()
	b := newBench(t, promise{"g": {RPO: 2 * hour, MaxAge: hour}})
	b.changes("g", ago(5*hour))
	w, _ := b.start(b.config())
	b.wait("breached maxAge")
	b.settle(w)
	b.wait("breached maxAge")
	if v := w.Look(); len(v.Groups[0].Broken) != 2 {
		t.Errorf("broken are %v", v.Groups[0].Broken)
	}
}

// An event that another replica wrote first is no trouble: the next round has read it.
func TestWatch_conflictIsNoTrouble(t *testing.T) {
	t.Parallel()
	b := newBench(t, rpo(hour))
	b.changes("g", ago(2*hour)).end(schemas.OutcomeFailed)
	cfg := b.config()
	var turn atomic.Bool
	cfg.Publishes = turn.Load
	w, _ := b.start(cfg)
	w.Caught(t.Context())
	w.mu.Lock()
	w.said[publisher.ProtectionSubject(contentGroup(one))] = said{sequence: 1 << 40} // that of another replica's write
	w.mu.Unlock()
	turn.Store(true)
	if err := w.round(t.Context()); err != nil {
		t.Errorf("a conflict is the trouble %v", err)
	}
	b.wait()
}
