package history

import (
	"maps"
	"slices"
	"testing"
	"time"

	"backhaul/schemas"
)

// Every combination of what a last event can say and of the time at which it is
// read. `backhaul status` and the console page both show what At returns here;
// TestPageAndStatusAgree in package page holds them to it.
func TestStandingAt_everyCombination(t *testing.T) {
	t.Parallel()
	seen := make(map[Status]bool)
	stored := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		lease time.Duration // 0: released
		doubt bool
		after time.Duration
		want  Status
	}{
		{lease, false, 0, Claimed},
		{lease, false, lease, Claimed},
		{lease, false, lease + 1, InDoubt}, // its owner may have sent it
		{lease, true, 0, InDoubt},
		{lease, true, lease + 1, InDoubt},
		{0, false, 0, Waiting},
		{0, false, lease + 1, Waiting},
		{0, true, 0, InDoubt}, // released, but a call may have started a job
		{0, true, lease + 1, InDoubt},
	} {
		e := &schemas.JobSubmitting{Claim: schemas.Claim{LeaseMillis: c.lease.Milliseconds()}}
		if c.doubt {
			e.DoubtSequence = 7
		}
		for _, unlikely := range []bool{false, c.doubt} {
			e.DoubtUnlikely = unlikely
			s := After(e, stored)
			seen[c.want] = true
			if got := s.At(stored.Add(c.after)); got != c.want || !s.Open() {
				t.Errorf("lease %s, doubt %t, unlikely %t, after %s: %s, want %s", c.lease, c.doubt, unlikely, c.after, got, c.want)
			}
		}
	}
	cancelled := &schemas.JobFailed{ErrorCode: schemas.CodeCancelled, ErrorSource: schemas.ErrorSourceBackhaul}
	vendors := *cancelled
	vendors.ErrorSource = schemas.ErrorSourceVendor // a code of the same text
	if got := OutcomeOf(&vendors); got != Failed {
		t.Errorf("a code of the vendor: %s, want %s", got, Failed)
	}
	for want, e := range map[Status]schemas.Event{
		Cancelled:      cancelled,
		Started:        &schemas.JobStarted{JobID: "7"},
		Failed:         &schemas.JobFailed{ErrorCode: schemas.CodeExpired},
		OutcomeUnknown: &schemas.JobFailed{ErrorCode: schemas.CodeOutcomeUnknown},
		Rejected:       &schemas.RequestRejected{},
	} {
		seen[want] = true
		for _, after := range []time.Duration{0, lease + 1} {
			if got := After(e, stored).At(stored.Add(after)); got != want || OutcomeOf(e) != want {
				t.Errorf("%s after %s: %s, want %s", e.Kind(), after, got, want)
			}
		}
	}
	if got := (Standing{}).At(stored); got != Waiting {
		t.Errorf("without an event: %s, want %s", got, Waiting)
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, slices.Sorted(slices.Values(Statuses))) {
		t.Errorf("requests with events have the statuses %s, Statuses lists %s", got, Statuses)
	}
}
