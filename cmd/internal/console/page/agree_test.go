package page_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/history"
	"backhaul/publisher/natstest"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// The list, the request's page and `backhaul status` show one status for the same
// request, for every combination of claim, lease, doubt, release and outcome.
func TestPageAndStatusAgree(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	js := natstest.JetStream(t, b.nats.Connect(t))
	claim := func(s *events, lease time.Duration, doubt, unlikely bool) *events {
		first := s.claim
		first.LeaseMillis = max(lease, time.Hour).Milliseconds()
		s.append(&first)
		last := s.claim
		last.LeaseMillis, last.DoubtUnlikely = lease.Milliseconds(), unlikely
		if doubt {
			last.DoubtSequence = s.last
		}
		return s.append(&last)
	}
	left := slices.Clone(history.Statuses)
	const running, expired, released = time.Hour, time.Millisecond, 0
	for i, c := range []struct {
		lease           time.Duration
		doubt, unlikely bool
		outcome         schemas.Event
		want            history.Status
	}{
		{lease: running, want: history.Claimed},
		{lease: running, doubt: true, want: history.InDoubt},
		{lease: expired, want: history.InDoubt},
		{lease: expired, doubt: true, want: history.InDoubt},
		{lease: released, want: history.Waiting},
		{lease: released, doubt: true, want: history.InDoubt},
		{lease: released, doubt: true, unlikely: true, want: history.InDoubt},
		{lease: running, outcome: &schemas.JobStarted{JobID: "7", JobIDs: []string{"7"}}, want: history.Started},
		{lease: expired, doubt: true, outcome: &schemas.JobStarted{JobID: "7", JobIDs: []string{"7"}, Adopted: true}, want: history.Started},
		{lease: running, outcome: &schemas.JobFailed{ErrorCode: "587207178"}, want: history.Failed},
		{lease: expired, doubt: true, outcome: &schemas.JobFailed{ErrorCode: schemas.CodeOutcomeUnknown}, want: history.OutcomeUnknown},
		{lease: released, outcome: &schemas.JobFailed{ErrorCode: schemas.CodeCancelled, ErrorSource: schemas.ErrorSourceBackhaul}, want: history.Cancelled},
		{outcome: &schemas.RequestRejected{}, want: history.Rejected},
	} {
		left = slices.DeleteFunc(left, func(s history.Status) bool { return s == c.want })
		name := fmt.Sprintf("r-%d", i)
		s := b.request("billing", name)
		switch e := c.outcome.(type) {
		case *schemas.JobStarted:
			e.Naming, e.Message = s.claim.Names(), s.claim.Message
		case *schemas.JobFailed:
			e.Naming, e.Message = s.claim.Names(), s.claim.Message
		case *schemas.RequestRejected:
			e.Naming, e.Message = s.claim.Names(), s.claim.Message
		}
		if c.want != history.Rejected { // that one has the only event of its key
			claim(s, c.lease, c.doubt, c.unlikely)
		}
		if c.outcome != nil {
			s.append(c.outcome)
		}
		shown := `<span class="status s-` + string(c.want) + `">` + c.want.Word() + `</span>`
		b.waitForRow(name, shown)
		waittest.Eventually(t, name+" as "+string(c.want)+" on its page", func() bool {
			return strings.Contains(b.get("/requests/billing/"+name), "<dt>State</dt><dd>"+shown)
		})
		if h, err := (history.Found{Key: s.key}).Read(t.Context(), js); err != nil || h.Status != c.want {
			t.Errorf("%s: `backhaul status` says %s, %v, the page %s", name, h.Status, err, c.want)
		}
	}
	if len(left) > 0 {
		t.Errorf("no case has the status %s", left)
	}
}
