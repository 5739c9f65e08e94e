package consumer

import (
	"testing"
	"time"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// The job of one call shows within the lease of its claim and the window, however many owners look
// for it and die. None of them is taken over during its lease.
func TestLedgerDoubtOf_aSecondOwnerDies(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	l.visibility = time.Hour
	req := testRequest("r")
	c := l.claimed(t, req)
	call := l.stored(t, c.sequence).Time
	until := func(what string, want time.Time) doubt {
		t.Helper()
		last, _ := l.lastClaim(t, req)
		d, err := l.doubtOf(t.Context(), last)
		if err != nil || d.under != c.sequence {
			t.Fatalf("%s: %+v, %v", what, d, err)
		}
		if off := d.until.Sub(want); off < -time.Second || off > 20*time.Second {
			t.Errorf("%s: the window ends %s after the time that is wanted", what, off)
		}
		return d
	}
	d := until("the owner dies", call.Add(time.Minute+time.Hour))
	two := l.of("two")
	last, _ := l.lastClaim(t, req)
	got, err := two.takeOver(t.Context(), req, last, d)
	if err != nil {
		t.Fatal(err)
	}
	got.claim.under = c.sequence
	until("the next owner dies", call.Add(time.Minute+time.Hour))
	for range 2 { // with a lease that is longer than what is left of the window
		if err := two.write(t.Context(), got.claim, StepRenew, got.claim.sequence, 3*time.Hour); err != nil {
			t.Fatal(err)
		}
		until("the next owner is at work", time.Now().Add(3*time.Hour))
	}
	if err := two.write(t.Context(), got.claim, StepRenew, got.claim.sequence, overLease); err != nil {
		t.Fatal(err)
	}
	until("it is known to be dead", time.Now().Add(time.Hour))
}

// Only the claim of the call itself says when its window ends.
func TestLedgerDoubtOf_anotherEvent(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect(t)
	l := newLedgerOn(t, nc, time.Minute)
	l.visibility = time.Hour
	for name, under := range map[string]func(*testing.T, *request, *claim) uint64{
		"another request's claim": func(t *testing.T, _ *request, _ *claim) uint64 {
			return l.claimed(t, testRequest("other")).sequence
		},
		"a claim of another source": func(t *testing.T, req *request, _ *claim) uint64 {
			other := *req
			other.key.Source = "other"
			return l.claimed(t, &other).sequence
		},
		"a message that cannot be read": func(t *testing.T, req *request, _ *claim) uint64 {
			other := publisher.NewKey("other", "unreadable-"+req.key.Name)
			ack, err := natstest.JetStream(t, nc).Publish(t.Context(), other.Subject(schemas.KindJobSubmitting), []byte(`{"leaseMillis":"long"}`))
			if err != nil {
				t.Fatal(err)
			}
			return ack.Sequence
		},
		"an outcome": func(t *testing.T, _ *request, _ *claim) uint64 {
			other := testRequest("with-its-outcome")
			c := l.claimed(t, other)
			if err := l.record(t.Context(), other, c.sequence, started(other.RequestID)); err != nil {
				t.Fatal(err)
			}
			last, err := l.last(t.Context(), other.key)
			if err != nil {
				t.Fatal(err)
			}
			return last.sequence
		},
		"a release": func(t *testing.T, _ *request, c *claim) uint64 {
			if err := l.release(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			return c.sequence
		},
		"a claim in doubt": func(t *testing.T, _ *request, c *claim) uint64 {
			c.under = noEvent
			if err := l.renew(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			return c.sequence
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := testRequest("id-" + hexOf(name))
			c := l.claimed(t, req)
			c.doubt = doubt{under: under(t, req, c)}
			const lease = 3 * time.Minute
			if err := l.write(t.Context(), c, StepRenew, c.sequence, lease); err != nil {
				t.Fatal(err)
			}
			last, claim := l.lastClaim(t, req)
			if claim.DoubtSequence != c.under {
				t.Fatalf("the claim is %+v", claim)
			}
			d, err := l.doubtOf(t.Context(), last)
			if err != nil || time.Until(d.until) < lease+l.visibility-time.Minute/2 {
				t.Errorf("the window ends in %s, %v, want %s", time.Until(d.until), err, lease+l.visibility)
			}
		})
	}
}
