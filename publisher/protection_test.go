package publisher_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

func contentGroup(client, group string) schemas.ContentGroup {
	return schemas.ContentGroup{ClientName: client, InstanceName: client, BackupsetName: schemas.DefaultBackupsetName, SubclientName: group}
}

func breached(client, group string) schemas.ProtectionEvent {
	return schemas.ProtectionEvent{
		State: schemas.ProtectionBreached, Cause: schemas.CauseRPO, ContentGroup: contentGroup(client, group),
		Objective: schemas.ProtectionObjective{RPO: "4h"}, Since: time.Unix(100, 0).UTC(), Reason: "of the test", At: time.Unix(101, 7).UTC(),
	}
}

// names draws clients and content groups that are likely to collide, if any do.
func names() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringMatching(`[ab.*>" ,/-]{0,4}`), rapid.SampledFrom([]string{"billing", "operator", "protection"}))
}

// No filter of a request, a job, a kind or a source matches a protection event, whatever the
// names are: it has four tokens. It is no event about a request or by an operator either.
func TestProtectionSubject_isOutsideEveryKey(t *testing.T) {
	sources := rapid.SampledFrom([]string{"billing", "protection", "operator", "event"})
	kinds := rapid.SampledFrom(append([]schemas.Kind{"", "protection", "operator"}, schemas.Kinds...))
	rapid.Check(t, func(t *rapid.T) {
		client, group := names().Draw(t, "client"), names().Draw(t, "group")
		subject := publisher.ProtectionSubject(contentGroup(client, group))
		if tokens := strings.Split(subject, "."); len(tokens) != 4 || !server.IsValidLiteralSubject(subject) || !server.SubjectsCollide(publisher.AnyProtection, subject) {
			t.Fatalf("%s is not one of %s", subject, publisher.AnyProtection)
		}
		token := publisher.ProtectionGroup(contentGroup(client, group))
		source := rapid.OneOf(sources, rapid.Just(token)).Draw(t, "source")
		key := publisher.NewKey(source, rapid.OneOf(ids(), rapid.Just(token)).Draw(t, "id"))
		kind := kinds.Draw(t, "kind")
		for _, filter := range []string{
			key.Filter(), key.JobsFilter(), key.JobFilter("5976"), key.JobFilter("*"),
			publisher.EventFilter(kind, ""), publisher.EventFilter(kind, source), publisher.AnyOperator,
		} {
			if server.SubjectsCollide(filter, subject) {
				t.Fatalf("filter %s matches %s", filter, subject)
			}
		}
		if kind, key, _, err := publisher.ParseEventSubject(subject); err == nil {
			t.Fatalf("%s is read as %s of %s", subject, kind, key)
		}
		if action, ok := publisher.ParseOperatorSubject(subject); ok {
			t.Fatalf("%s is read as an operator's %s", subject, action)
		}
		client2, group2 := names().Draw(t, "other client"), names().Draw(t, "other group")
		same := client == client2 && group == group2
		if strings.ToValidUTF8(client, "") == client && strings.ToValidUTF8(client2, "") == client2 && (publisher.ProtectionSubject(contentGroup(client2, group2)) == subject) != same {
			t.Fatalf("%q of %q and %q of %q share %s", group, client, group2, client2, subject)
		}
	})
}

// A write about the protection of a group and one about a request with any names do not
// hinder each other: the server compares each with its own filter.
func TestAppendProtection_isOutsideTheLedger(t *testing.T) {
	t.Parallel()
	nc, stream := eventsStream(t)
	pub := newPublisher(t, nc)
	key := publisher.NewKey("protection", publisher.ProtectionGroup(contentGroup("c", "g")))
	claimed, err := pub.Append(t.Context(), key, 0, &schemas.JobSubmitting{RequestID: key.Name, Source: key.Source}, "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := pub.AppendProtection(t.Context(), 0, breached("c", "g"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.Append(t.Context(), key, claimed, &schemas.JobStarted{}, ""); err != nil {
		t.Errorf("after a protection event the ledger cannot go on: %v", err)
	}
	event, last, err := publisher.LastEvent(t.Context(), stream, key.Filter())
	if err != nil || event == nil || last.Subject != key.Subject(schemas.KindJobStarted) {
		t.Errorf("the ledger reads %v, %v, %v", event, last, err)
	}
	restored := breached("c", "g")
	restored.State, restored.At = schemas.ProtectionRestored, restored.At.Add(time.Hour)
	if _, err := pub.AppendProtection(t.Context(), stored, restored); err != nil {
		t.Errorf("after events of a request: %v", err)
	}
}

// Of writers that know the same last event one is stored; the others learn of the conflict.
func TestAppendProtection_storesOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	pub := newPublisher(t, s.Connect(t))
	for after, state := range []schemas.ProtectionState{schemas.ProtectionBreached, schemas.ProtectionRestored} {
		results := make(chan error, 8)
		for i := range cap(results) {
			go func() {
				e := breached("c", "g")
				e.State, e.At = state, e.At.Add(time.Duration(i)*time.Millisecond)
				_, err := pub.AppendProtection(t.Context(), uint64(after), e)
				results <- err
			}()
		}
		written := 0
		for range cap(results) {
			switch err := <-results; {
			case err == nil:
				written++
			case !errors.Is(err, publisher.ErrConflict):
				t.Error(err)
			}
		}
		if written != 1 {
			t.Errorf("%d writers stored %s", written, state)
		}
	}
	if n := len(stored(t, s, publisher.EventsStream, publisher.AnyProtection)); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
}

// An event whose acknowledgement is lost is stored once: the same write is repeated.
func TestAppendProtection_afterALostAcknowledgement(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	proxy := natstest.StartProxy(t, s)
	pub := newPublisher(t, proxy.Connect(t))
	lost := proxy.Once("HPUB "+publisher.ProtectionSubject(contentGroup("c", "g")), natstest.Deafen)
	done := make(chan error, 1)
	go func() {
		_, err := pub.AppendProtection(within(t, patience), 0, breached("c", "g"))
		done <- err
	}()
	<-lost
	proxy.Cut(false)
	if err := <-done; err != nil && !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("got %v, want success or ErrConflict", err)
	}
	if n := len(stored(t, s, publisher.EventsStream, publisher.AnyProtection)); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
}

func TestReadProtection(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	pub, want := newPublisher(t, s.Connect(t)), breached("größe 1", "a.b/*>")
	if _, err := pub.AppendProtection(t.Context(), 0, want); err != nil {
		t.Fatal(err)
	}
	msg := stored(t, s, publisher.EventsStream, publisher.AnyProtection)[0]
	if got, ok, err := publisher.ReadProtection(msg.Subject, msg.Header, msg.Data); err != nil || !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, %v; want %+v", got, ok, err, want)
	}
	for name, foreign := range map[string]struct {
		subject string
		header  nats.Header
		data    string
		is      bool // on a subject of protection events
	}{
		"an answer of the server":   {msg.Subject, nil, `{"type":"io.nats.jetstream.api.v1.stream_info_response"}`, true},
		"without an id":             {msg.Subject, nil, string(msg.Data), true},
		"the id of another group":   {msg.Subject, nats.Header{"ce-id": {"protection/0f/101000000007"}}, string(msg.Data), true},
		"on another group":          {publisher.ProtectionSubject(contentGroup("c", "g")), nats.Header{"ce-id": {want.EventID(publisher.ProtectionGroup(contentGroup("c", "g")))}}, string(msg.Data), true},
		"a state of a later time":   {msg.Subject, msg.Header, `{"state":"paused"}`, true},
		"an operator's event":       {publisher.OperatorSubject("pause"), msg.Header, string(msg.Data), false},
		"a request's event":         {"backup.event.job-started.billing.one", msg.Header, string(msg.Data), false},
		"a subject of more tokens":  {msg.Subject + ".more", msg.Header, string(msg.Data), false},
		"a subject without a token": {"backup.event.protection.", msg.Header, string(msg.Data), false},
	} {
		t.Run(name, func(t *testing.T) {
			if e, ok, err := publisher.ReadProtection(foreign.subject, foreign.header, []byte(foreign.data)); ok != foreign.is || (err == nil) == foreign.is {
				t.Errorf("read as %+v, %v, %v", e, ok, err)
			}
		})
	}
}
