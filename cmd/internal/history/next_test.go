package history

import (
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

// The owner of a claim ends its doubt a window after the claim that records it, however often
// it renews the claim. The next owner waits for the lease and the window of the last claim.
func TestSummary_endOfADoubt(t *testing.T) {
	t.Parallel()
	key := publisher.NewKey("billing", "r-1")
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	unlikely := func(e *schemas.JobSubmitting) *schemas.JobSubmitting { e.DoubtUnlikely = true; return e }
	var m schemas.Message
	for name, c := range map[string]struct {
		claims []*schemas.JobSubmitting // one each 20 s
		asOf   time.Duration
		want   string
	}{
		"renewed by its owner": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "a/1", 1, lease, 1), claim(m, "a/1", 1, lease, 1), claim(m, "a/1", 1, lease, 1)},
			65 * time.Second, "its job is looked up until 2026-11-23T10:01:20Z",
		},
		"renewed, and the window has ended": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "a/1", 1, lease, 1), claim(m, "a/1", 1, lease, 1), claim(m, "a/1", 1, lease, 1)},
			85 * time.Second, "the window for its job ended at 2026-11-23T10:01:20Z; a/1 looks it up once more",
		},
		"renewed, and the owner died": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "a/1", 1, lease, 1), claim(m, "a/1", 1, lease, 1)},
			85 * time.Second, "its job is looked up until 2026-11-23T10:02:20Z",
		},
		"a second call": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "a/1", 1, lease, 1), claim(m, "a/1", 1, lease, 0), claim(m, "a/1", 1, lease, 3)},
			65 * time.Second, "its job is looked up until 2026-11-23T10:02:00Z",
		},
		"claimed again after a release": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "a/1", 1, 0, 1), claim(m, "b/2", 2, lease, 1), claim(m, "b/2", 2, lease, 1)},
			65 * time.Second, "its job is looked up until 2026-11-23T10:01:20Z",
		},
		"taken over": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "b/2", 2, lease, 1), claim(m, "b/2", 2, lease, 1)},
			45 * time.Second, "its job is looked up until 2026-11-23T10:01:40Z",
		},
		"put in doubt while another owner may work on it": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), claim(m, "b/2", 2, lease, 1<<53-1)},
			25 * time.Second, "its job is looked up until 2026-11-23T10:02:00Z",
		},
		"the vendor said that there is no job": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 0), unlikely(claim(m, "a/1", 1, lease, 1))},
			25 * time.Second, "its job is looked up once more",
		},
		"the earlier claims are gone": {
			[]*schemas.JobSubmitting{claim(m, "a/1", 1, lease, 9)},
			5 * time.Second, "its job is looked up until 2026-11-23T10:01:40Z",
		},
	} {
		var events []eventlog.Event
		for i, e := range c.claims {
			stored := start.Add(time.Duration(i) * 20 * time.Second)
			events = append(events, eventlog.Event{Kind: e.Kind(), Key: key, Data: e, Sequence: uint64(i + 1), Stored: stored})
		}
		h := History{Source: key.Source, Key: key.Name, Steps: Timeline(events), AsOf: start.Add(c.asOf), Queued: &Queued{}}
		h.Status = h.status()
		if got := h.Summary(Replicas{VisibilityWindow: window}); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %q", name, got, c.want)
		}
	}
}
