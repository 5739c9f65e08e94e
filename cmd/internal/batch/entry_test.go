package batch

import (
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/schemas/schemastest"
)

func TestEntry_ResultOf(t *testing.T) {
	t.Parallel()
	mine, other := schemas.Message{PayloadHash: "mine"}, schemas.Message{PayloadHash: "other"}
	naming := schemas.Naming{RequestID: "r"}
	for name, c := range map[string]struct {
		event schemas.Event
		want  result
	}{
		"my job":                {&schemas.JobStarted{Naming: naming, Message: mine}, started},
		"my failure":            {&schemas.JobFailed{Naming: naming, Message: mine}, failed},
		"my rejection":          {&schemas.RequestRejected{Naming: naming, Message: mine}, rejected},
		"another's rejection":   {&schemas.RequestRejected{Naming: naming, Message: other}, open},
		"a claim":               {&schemas.JobSubmitting{Message: mine}, open},
		"another's job":         {&schemas.JobStarted{Naming: naming, Message: other}, open},
		"another's failure":     {&schemas.JobFailed{Naming: naming, Message: other}, open},
		"another's claim":       {&schemas.JobSubmitting{Message: other}, open},
		"a released claim mine": {&schemas.JobSubmitting{Message: mine, Claim: schemas.Claim{Epoch: 2}}, open},
	} {
		e := entry{hash: "mine"}
		if got := e.resultOf(eventlog.Event{Kind: c.event.Kind(), Key: publisher.NewKey("s", "r"), Data: c.event}); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A rejection has the key of its message; the request that it names has another key.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	rejection := eventlog.Event{
		Kind: schemas.KindRequestRejected, Key: publisher.SequenceKey("s", 7, time.Unix(1, 0)),
		Data: &schemas.RequestRejected{Naming: schemas.Naming{RequestID: "an id with spaces"}},
	}
	if got, want := keyOf(rejection), publisher.NewKey("s", "an id with spaces"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	outcome := eventlog.Event{Kind: schemas.KindJobStarted, Key: publisher.NewKey("s", "r"), Data: &schemas.JobStarted{}}
	if got := keyOf(outcome); got != outcome.Key {
		t.Errorf("got %v, want %v", got, outcome.Key)
	}
}

// An event that ends a request ends the entry with the same content, for every kind.
// Events about other content do not.
func TestEntry_ResultOfEveryKind(t *testing.T) {
	t.Parallel()
	for _, kind := range schemas.Kinds {
		ends := kind.Terminal() || kind == schemas.KindRequestRejected
		for _, e := range schemastest.Events(t, kind) {
			event := eventlog.Event{Kind: kind, Data: e}
			same, other := entry{hash: e.Requested().PayloadHash}, entry{hash: "other"}
			if got := same.resultOf(event); ends == (got == open) {
				t.Errorf("%s: result %d", kind, got)
			}
			if got := other.resultOf(event); got != open {
				t.Errorf("%s of other content: result %d, want open", kind, got)
			}
		}
	}
}
