package scope

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*testing.T
	nats   *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	events jetstream.Stream
	pub    *publisher.Publisher
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, nats: natstest.Start(t)}
	r.nc = r.nats.Connect(t)
	r.js = natstest.JetStream(t, r.nc)
	r.events = natstest.Stream(t, r.js, publisher.EventsStream)
	var err error
	if r.pub, err = publisher.New(r.nc); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) add(s Scope, d time.Duration, id string) Pause {
	r.Helper()
	p, err := Add(r.Context(), r.events, r.pub, pauseOf(s, d, id))
	if err != nil {
		r.Fatal(err)
	}
	return p
}

func pauseOf(s Scope, d time.Duration, id string) Pause {
	now := time.Now().UTC()
	return Pause{Scope: s, Since: now, Until: now.Add(d), Actor: "ann", Reason: "why", OperationID: id}
}

// list returns the operation ids of the pauses on record.
func (r *rig) list() string {
	r.Helper()
	l, err := Read(r.Context(), r.events)
	if err != nil || l.Unreadable != nil {
		r.Fatal(err, l.Unreadable)
	}
	return ids(l.Pauses)
}

func ids(pauses []Pause) string {
	var all []string
	for _, p := range pauses {
		all = append(all, p.OperationID)
	}
	return strings.Join(all, " ")
}

func TestScope(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		scope Scope
		has   bool
		text  string
	}{
		{Scope{Source: "billing"}, true, "source billing"},
		{Scope{Source: "Billing"}, false, "source Billing"}, // a subject's token
		{Scope{Client: "FILES"}, true, "client FILES"},
		{Scope{Client: "File"}, false, "client File"},
		{Scope{Group: "home"}, true, "content group home"},
		{Scope{Client: "files", Group: "home"}, true, "client files, content group home"},
		{Scope{Client: "other", Group: "home"}, false, "client other, content group home"},
		{Scope{Source: "crm", Group: "home"}, false, "source crm, content group home"},
		{Scope{Source: "billing", Client: "files", Group: "home"}, true, "source billing, client files, content group home"},
	} {
		if got := test.scope.Has("billing", "Files", "Home"); got != test.has || test.scope.String() != test.text || test.scope.Check() != nil {
			t.Errorf("%s: %t, %v", test.scope, got, test.scope.Check())
		}
	}
	for _, bad := range []Scope{{}, {Source: "a.b"}, {Source: "*"}, {Client: " x"}, {Group: "a\nb"}, {Client: "\xff"}, {Group: strings.Repeat("x", maxName+1)}} {
		if bad.Check() == nil {
			t.Errorf("%q is a scope", bad)
		}
	}
	if !(Scope{Client: "A"}).Is(Scope{Client: "a"}) || (Scope{Client: "a"}).Is(Scope{Group: "a"}) || (Scope{Source: "A"}).Is(Scope{Source: "a"}) {
		t.Error("scopes are not told apart")
	}
}

// A pause is not made shorter, and each scope is on the list once.
func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if got := r.list(); got != "" {
		t.Errorf("at first %q", got)
	}
	billing, files := Scope{Source: "billing"}, Scope{Client: "Files"}
	r.add(billing, time.Hour, "1")
	r.add(files, time.Hour, "2")
	if got := r.add(billing, time.Minute, "3"); got.OperationID != "1" {
		t.Errorf("a shorter pause is in force: %+v", got)
	}
	if got := r.add(Scope{Client: "FILES"}, 2*time.Hour, "4"); got.OperationID != "4" {
		t.Errorf("a longer pause is not in force: %+v", got)
	}
	r.add(billing, time.Hour, "1") // the same again
	if got := r.list(); got != "1 4" {
		t.Errorf("the list is %q", got)
	}
	if got := len(natstest.Stored(t, r.js, publisher.EventsStream, publisher.PausesSubject)); got != 3 {
		t.Errorf("%d lists were written, want 3", got)
	}
	for _, s := range []Scope{files, {Source: "crm"}} { // the second is not paused
		if err := Remove(t.Context(), r.events, r.pub, s); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.list(); got != "1" {
		t.Errorf("the list is %q", got)
	}
	if p, ok := (&List{Pauses: []Pause{pauseOf(billing, time.Hour, "1")}}).Find(billing); !ok || p.OperationID != "1" {
		t.Errorf("%+v, %t", p, ok)
	}
}

// Operators who act at the same time lose none of their pauses.
func TestManyOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(Scope{Source: "s-0"}, time.Hour, "0")
	var acting sync.WaitGroup
	for i := 1; i <= 8; i++ {
		acting.Go(func() {
			events := natstest.Stream(t, r.js, publisher.EventsStream)
			if _, err := Add(t.Context(), events, r.pub, pauseOf(Scope{Source: fmt.Sprint("s-", i)}, time.Hour, fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
			if i == 4 {
				if err := Remove(t.Context(), events, r.pub, Scope{Source: "s-0"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	acting.Wait()
	l, err := Read(t.Context(), r.events)
	if _, has := l.Find(Scope{Source: "s-0"}); err != nil || has || len(l.Pauses) != 8 {
		t.Errorf("%d pauses: %s, %v", len(l.Pauses), ids(l.Pauses), err)
	}
}

func TestTooManyScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range Most {
		r.add(Scope{Source: fmt.Sprint("s-", i)}, time.Hour, fmt.Sprint(i))
	}
	if _, err := Add(t.Context(), r.events, r.pub, pauseOf(Scope{Source: "more"}, time.Hour, "more")); err == nil || !strings.Contains(err.Error(), "resume one first") {
		t.Errorf("one more: %v", err)
	}
	r.add(Scope{Source: "s-1"}, 2*time.Hour, "again") // one that is paused already
}

// What ended is not in the list any more, by the server's clock, and the next change removes it.
func TestAPauseThatHasEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(Scope{Source: "billing"}, -time.Second, "1")
	if got := r.list(); got != "" {
		t.Errorf("the list is %q", got)
	}
	r.add(Scope{Source: "crm"}, time.Hour, "2")
	msg, err := r.events.GetLastMsgForSubject(t.Context(), publisher.PausesSubject)
	if err != nil || strings.Contains(string(msg.Data), "billing") {
		t.Errorf("%s, %v", msg.Data, err)
	}
}

// The acknowledgement of the list is lost: the write is found on record.
func TestALostAcknowledgement(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	proxy := natstest.StartProxy(t, r.nats)
	nc := proxy.Connect(t)
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	lost := proxy.Once("HPUB "+publisher.PausesSubject, natstest.Deafen)
	done := make(chan error, 1)
	go func() {
		_, err := Add(t.Context(), natstest.Stream(t, natstest.JetStream(t, nc), publisher.EventsStream), pub, pauseOf(Scope{Source: "billing"}, time.Hour, "1"))
		done <- err
	}()
	<-lost
	proxy.Cut(false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := r.list(); got != "1" {
		t.Errorf("the list is %q", got)
	}
	if got := len(natstest.Stored(t, r.js, publisher.EventsStream, publisher.PausesSubject)); got != 1 {
		t.Errorf("%d lists were written", got)
	}
}

// A watch knows of each change, and of the end of a pause also without a connection.
func TestWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.add(Scope{Source: "billing"}, time.Hour, "1")
	w, err := NewWatch(t.Context(), r.events, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want string, version uint64) {
		t.Helper()
		if got, paused := w.Version(); ids(w.Pauses()) != want || got != version || paused != (want != "") {
			t.Errorf("pauses %q in version %d (%t), want %q in %d", ids(w.Pauses()), got, paused, want, version)
		}
	}
	expect("1", 1)
	request := &schemas.BackupRequest{ClientName: "c", SubclientName: "g"}
	if p := w.Of("billing", request); p == nil || p.OperationID != "1" || w.Of("crm", request) != nil {
		t.Errorf("the pause of a request is %+v", p)
	}
	w.Refresh(t.Context())
	expect("1", 1) // nothing has changed
	r.add(Scope{Source: "billing"}, 2*time.Hour, "2")
	w.Refresh(t.Context())
	expect("2", 2)
	if _, err := r.js.Publish(t.Context(), publisher.PausesSubject, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	w.Refresh(t.Context())
	expect("2", 2) // what is known stays
	if w.Trouble() == nil {
		t.Error("no trouble with a list that cannot be read")
	}
	if _, err := NewWatch(t.Context(), r.events, zerolog.Nop()); err == nil {
		t.Error("a list that cannot be read is taken for an empty one")
	}
	r.add(Scope{Source: "crm"}, 1500*time.Millisecond, "3") // replaces the list
	w.Refresh(t.Context())
	expect("3", 3)
	if w.Trouble() != nil {
		t.Error(w.Trouble())
	}
	r.nc.Close()
	waittest.Eventually(t, "end of the pause", func() bool {
		w.Refresh(t.Context())
		_, paused := w.Version()
		return !paused
	})
	expect("", 4)
	if err := w.Trouble(); err == nil || err.Error() != "NATS is not connected" {
		t.Errorf("without a connection the trouble is %v", err)
	}
	for _, err := range []error{nats.ErrReconnectBufExceeded, nats.ErrDisconnected} {
		if !isAway(fmt.Errorf("read the list: %w", err)) {
			t.Errorf("%v is taken for an answer", err)
		}
	}
	if isAway(nats.ErrPermissionViolation) {
		t.Error("a refusal is taken for a lost connection")
	}
}

// A list that cannot be read is replaced by the next change, also by the end of a pause: replicas keep
// the pauses that they know until then.
func TestAListThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	billing := Scope{Source: "billing"}
	r.add(billing, time.Hour, "1")
	w, err := NewWatch(t.Context(), r.events, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.js.Publish(t.Context(), publisher.PausesSubject, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	w.Refresh(t.Context())
	if ids(w.Pauses()) != "1" || w.Trouble() == nil {
		t.Errorf("pauses %q, trouble %v", ids(w.Pauses()), w.Trouble())
	}
	if err := Remove(t.Context(), r.events, r.pub, billing); err != nil {
		t.Fatal(err)
	}
	w.Refresh(t.Context())
	if _, paused := w.Version(); paused || w.Trouble() != nil || r.list() != "" {
		t.Errorf("paused %t, trouble %v, on record %q", paused, w.Trouble(), r.list())
	}
}

// A watch that cannot be without: a nil one knows of no pause.
func TestWatch_nil(t *testing.T) {
	t.Parallel()
	var w *Watch
	if version, paused := w.Version(); version != 0 || paused || w.Of("billing", &schemas.BackupRequest{}) != nil {
		t.Error("a nil watch knows of a pause")
	}
}

// The pauses of other operators by the same names are kept with the longest, each operator's last
// one, and end with it.
func TestAdd_keepsThoseOfOtherOperators(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	billing := Scope{Source: "billing"}
	add := func(actor string, d time.Duration, id string) {
		t.Helper()
		p := pauseOf(billing, d, id)
		p.Actor = actor
		if _, err := Add(t.Context(), r.events, r.pub, p); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		l, err := Read(t.Context(), r.events)
		if err != nil || len(l.Pauses) != 1 {
			t.Fatalf("%+v, %v", l, err)
		}
		got := l.Pauses[0].Actor + l.Pauses[0].OperationID
		for _, a := range l.Pauses[0].Also {
			got += " " + a.Actor + a.OperationID
		}
		if got != want {
			t.Errorf("on record %q, want %q", got, want)
		}
	}
	add("ann", time.Hour, "1")
	add("ann", time.Minute, "2") // her own, shorter
	expect("ann1")
	add("bob", time.Minute, "3")
	add("bob", time.Minute, "3") // only the acknowledgement was lost
	expect("ann1 bob3")
	add("cid", 2*time.Hour, "4")
	expect("cid4 bob3 ann1")
	add("bob", 3*time.Hour, "5")
	expect("bob5 ann1 cid4")
	for i := range mostAlso {
		add(fmt.Sprint("op", i), time.Minute, "6")
	}
	if l, err := Read(t.Context(), r.events); err != nil || len(l.Pauses[0].Also) > mostAlso {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b Scope
		want bool
	}{
		{Scope{Source: "billing"}, Scope{Client: "files"}, true},
		{Scope{Source: "billing"}, Scope{Source: "billing", Client: "files"}, true},
		{Scope{Source: "billing"}, Scope{Source: "crm"}, false},
		{Scope{Source: "billing", Client: "files"}, Scope{Source: "crm", Client: "files"}, false},
		{Scope{Client: "files"}, Scope{Client: "FILES", Group: "g"}, true},
		{Scope{Client: "files", Group: "g"}, Scope{Client: "files", Group: "h"}, false},
		{Scope{Client: "files"}, Scope{Client: "mail"}, false},
	} {
		if test.a.Overlaps(test.b) != test.want || test.b.Overlaps(test.a) != test.want {
			t.Errorf("%q and %q overlap, or not; want %t", test.a, test.b, test.want)
		}
	}
}
