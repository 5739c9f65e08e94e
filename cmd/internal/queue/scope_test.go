package queue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/operator"
	"backhaul/consumer/scope"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func (b *rig) pauseScope(s scope.Scope, d time.Duration, by operator.By) PausedScope {
	b.t.Helper()
	p, err := PauseScope(b.t.Context(), b.js, b.pub, s, d, by)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// A pause of a scope is recorded before it is made, with who and why, and is not made shorter.
func TestPauseAndResumeOfAScope(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	billing := scope.Scope{Source: "billing"}
	_, err := ResumeScope(t.Context(), b.js, b.pub, billing, ann)
	if notPaused, ok := errors.AsType[*NotPausedError](err); !ok || len(notPaused.Paused) != 0 || len(b.events()) != 0 {
		t.Errorf("nothing to resume: %v, %d events", err, len(b.events()))
	}
	p := b.pauseScope(billing, time.Hour, ann)
	if p.Kept || p.Actor != ann.Actor || p.Reason != ann.Reason || p.Until.Sub(p.Since) != time.Hour {
		t.Errorf("paused %+v", p)
	}
	if shorter := b.pauseScope(billing, time.Minute, operator.By{Actor: "bob"}); !shorter.Kept || shorter.Actor != ann.Actor || !shorter.Until.Equal(p.Until) {
		t.Errorf("a shorter pause: %+v", shorter)
	}
	list, err := Scopes(t.Context(), b.js)
	if err != nil || len(list.Pauses) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	_, err = ResumeScope(t.Context(), b.js, b.pub, scope.Scope{Client: "billing"}, ann)
	if err == nil || !strings.Contains(err.Error(), "by which it was paused: source billing") {
		t.Errorf("another scope is resumed: %v", err)
	}
	ended, err := ResumeScope(t.Context(), b.js, b.pub, billing, operator.By{Actor: "bob", Reason: "over"})
	if err != nil || ended.OperationID != p.OperationID {
		t.Errorf("resumed %+v, %v", ended, err)
	}
	if list, err = Scopes(t.Context(), b.js); err != nil || len(list.Pauses) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	events := b.events()
	if len(events) != 3 || events[0].Action != schemas.ActionPauseScope || events[0].OperationID != p.OperationID || events[0].Reason != ann.Reason ||
		events[0].Scope.Source != "billing" || !events[0].Scope.Until.Equal(p.Until) || events[2].Action != schemas.ActionResumeScope || events[2].Actor != "bob" {
		t.Errorf("the events are %+v", events)
	}
}

func TestPauseScope_refuses(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	for says, pause := range map[string]func() error{
		"needs a source": func() error {
			_, err := PauseScope(t.Context(), b.js, b.pub, scope.Scope{}, time.Hour, ann)
			return err
		},
		"the actor is empty": func() error {
			_, err := PauseScope(t.Context(), b.js, b.pub, scope.Scope{Source: "a"}, time.Hour, operator.By{})
			return err
		},
		"at most 168h": func() error {
			_, err := PauseScope(t.Context(), b.js, b.pub, scope.Scope{Source: "a"}, LongestPause+1, ann)
			return err
		},
	} {
		if err := pause(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	if len(b.events()) != 0 {
		t.Errorf("%d events of what was refused", len(b.events()))
	}
}

// A stream that forgets the pause before its end would end it.
func TestPauseScope_ofAStreamThatForgets(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t, func(stream *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) {
		if stream != nil && stream.Name == publisher.EventsStream {
			stream.MaxAge = 48 * time.Hour
		}
	}).Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	js := natstest.JetStream(t, nc)
	if _, err := PauseScope(t.Context(), js, pub, scope.Scope{Source: "a"}, 72*time.Hour, ann); err == nil || !strings.Contains(err.Error(), "keeps the pause no longer than 48h") {
		t.Errorf("got %v", err)
	}
	if _, err := PauseScope(t.Context(), js, pub, scope.Scope{Source: "a"}, 24*time.Hour, ann); err != nil {
		t.Error(err)
	}
}

// A scope that occurs in a request that waits, or in an event, is seen.
func TestUnseen(t *testing.T) {
	t.Parallel()
	b := newRig(t)
	if _, err := b.js.Publish(t.Context(), "backup.request.crm", []byte(`{"requestId":"a","clientName":"Files","subclientName":"home"}`)); err != nil {
		t.Fatal(err)
	}
	key := publisher.NewKey("billing", "b")
	event := &schemas.JobStarted{Naming: schemas.Naming{RequestID: "b", Source: "billing", ClientName: "Mail", SubclientName: "boxes"}, JobID: "1", JobIDs: []string{"1"}, StartedAt: time.Now()}
	if _, err := b.pub.Append(t.Context(), key, 0, event, ""); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[scope.Scope]bool{
		{Source: "crm"}: false, {Client: "files"}: false, {Group: "home"}: false, {Source: "billing"}: false, {Client: "MAIL", Group: "boxes"}: false,
		{Source: "other"}: true, {Client: "mai"}: true, {Client: "Files", Group: "boxes"}: true, {Source: "crm", Client: "Mail"}: true,
	} {
		if got, err := Unseen(t.Context(), b.js, s); err != nil || got != want {
			t.Errorf("%s: unseen %t, %v", s, got, err)
		}
	}
}
