package logins_test

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/logins"
	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/vendorapi"
)

func newStore(t *testing.T, server *natstest.Server) *logins.Store {
	t.Helper()
	s := &logins.Store{Log: zerolog.Nop()}
	if err := s.Use(server.Connect(t)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore_keepsTheLastEntry(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	one, other := newStore(t, server), newStore(t, server)
	last, now, err := one.Last(t.Context())
	if err != nil || !reflect.DeepEqual(last, vendorapi.LoginEntry{}) || time.Since(now).Abs() > time.Minute {
		t.Fatalf("%+v at %s, %v", last, now, err)
	}
	at := time.Now().UTC().Truncate(time.Millisecond)
	entry := vendorapi.LoginEntry{
		By: "one", At: at, Trying: true, Salt: "salt", Refused: []vendorapi.RefusedSecret{{Fingerprint: "ab12", Times: 2}},
		RefusedAt: at, RefusedBy: "two", LockedMillis: 300_000, Code: "1116", Message: "Wrong.",
	}
	if entry.Sequence, err = one.Append(t.Context(), 0, entry); err != nil {
		t.Fatal(err)
	}
	if last, _, err = other.Last(t.Context()); err != nil || !reflect.DeepEqual(last, entry) {
		t.Errorf("read %+v, %v\nwrote %+v", last, err, entry)
	}
	if _, err := other.Append(t.Context(), 0, entry); !errors.Is(err, vendorapi.ErrLoginsChanged) {
		t.Errorf("written behind nothing: %v", err)
	}
}

// Of many that write behind the same entry, one succeeds.
func TestStore_takesOneWriter(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		s := newStore(t, server)
		all.Go(func() {
			switch _, err := s.Append(t.Context(), 0, vendorapi.LoginEntry{By: "one"}); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, vendorapi.ErrLoginsChanged):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%d writers succeeded", n)
	}
}

func TestStore_failsWithoutAConnection(t *testing.T) {
	t.Parallel()
	s := &logins.Store{Log: zerolog.Nop()}
	if _, _, err := s.Last(t.Context()); err == nil {
		t.Error("read without a connection")
	}
	if _, err := s.Append(t.Context(), 0, vendorapi.LoginEntry{}); err == nil || errors.Is(err, vendorapi.ErrLoginsChanged) {
		t.Errorf("written without a connection: %v", err)
	}
}

// The entries are not events of a request, for any source and id.
func TestLoginsSubject_isOutsideEveryFilter(t *testing.T) {
	t.Parallel()
	if kind, key, _, err := publisher.ParseEventSubject(publisher.LoginsSubject); err == nil {
		t.Errorf("an event of kind %s of %s", kind, key)
	}
	if _, ok := publisher.ParseOperatorSubject(publisher.LoginsSubject); ok {
		t.Error("an operator's event")
	}
}
