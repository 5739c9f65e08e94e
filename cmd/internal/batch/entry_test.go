package batch

import (
	"testing"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

func TestSee(t *testing.T) {
	t.Parallel()
	mine, other := schemas.Message{PayloadHash: "mine"}, schemas.Message{PayloadHash: "other"}
	naming := schemas.Naming{RequestID: "r"}
	for name, c := range map[string]struct {
		event schemas.Event
		// before and after are the results of an event that comes before the
		// acknowledgement of its request, or after it, stored or not.
		before                       result
		stored, dropped, ackedBefore result
	}{
		"my job":                {&schemas.JobStarted{Naming: naming, Message: mine}, started, started, started, open},
		"my failure":            {&schemas.JobFailed{Naming: naming, Message: mine}, failed, failed, failed, open},
		"my rejection":          {&schemas.RequestRejected{Naming: naming, Message: mine}, rejected, rejected, rejected, open},
		"another's rejection":   {&schemas.RequestRejected{Naming: naming, Message: other}, open, open, open, open},
		"a claim":               {&schemas.JobSubmitting{Message: mine}, open, open, open, open},
		"another's job":         {&schemas.JobStarted{Naming: naming, Message: other}, open, open, rejected, rejected},
		"another's failure":     {&schemas.JobFailed{Naming: naming, Message: other}, open, open, rejected, rejected},
		"another's claim":       {&schemas.JobSubmitting{Message: other}, open, open, open, open},
		"a released claim mine": {&schemas.JobSubmitting{Message: mine, Claim: schemas.Claim{Epoch: 2}}, open, open, open, open},
	} {
		event := eventlog.Event{Kind: c.event.Kind(), Key: publisher.NewKey("s", "r"), Data: c.event}
		e := entry{hash: "mine"}
		if got := e.see(event); got != c.before {
			t.Errorf("%s before the acknowledgement: %d, want %d", name, got, c.before)
		}
		if got := e.acknowledge(true); got != c.ackedBefore {
			t.Errorf("%s, then the acknowledgement of a duplicate: %d, want %d", name, got, c.ackedBefore)
		}
		for duplicate, want := range map[bool]result{false: c.stored, true: c.dropped} {
			e := entry{hash: "mine"}
			if got := e.acknowledge(duplicate); got != open {
				t.Errorf("%s: an acknowledgement alone gives %d", name, got)
			}
			if got := e.see(event); got != want {
				t.Errorf("%s of a request with duplicate %t: %d, want %d", name, duplicate, got, want)
			}
		}
	}
}

// A rejection is about a message; the request that it names is another key.
func TestKeyOf(t *testing.T) {
	t.Parallel()
	rejection := eventlog.Event{
		Kind: schemas.KindRequestRejected, Key: publisher.SequenceKey("s", 7),
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
