package consumer

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// A process that has released a claim claims the request again by one write. What came between is
// found as ever: the write is refused.
func TestLedgerClaim_again(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	proxy := natstest.StartProxy(t, server)
	var asked atomic.Int32 // writes and reads of the process
	proxy.On(func(op string) natstest.Action {
		if strings.HasPrefix(op, "HPUB backup.event") || strings.HasPrefix(op, "PUB $JS.API") {
			asked.Add(1)
		}
		return natstest.Forward
	})
	one := newLedgerOn(t, proxy.Connect(t), time.Minute)
	one.released, one.visibility = newReleases(), time.Hour
	one.guard = &guard{}
	two := newLedgerOn(t, server.Connect(t), time.Minute).of("two")
	released := func(t *testing.T, id string, left doubt) (*request, *claim) {
		t.Helper()
		req := testRequest(id)
		req.message.PayloadHash = "hash of " + id
		c := one.claimed(t, req)
		c.doubt = left
		if err := one.release(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		asked.Store(0)
		return req, c
	}
	claims := func(t *testing.T, req *request, want claimResult, most int32) *claim {
		t.Helper()
		got, err := one.claim(t.Context(), req)
		if err != nil || got.result != want {
			t.Fatalf("got %+v, %v, want %d", got, err, want)
		}
		if n := asked.Load(); n > most {
			t.Errorf("the process has asked the server %d times, want %d", n, most)
		}
		if got.claim == nil {
			return nil
		}
		if last, claim := one.lastClaim(t, req); last.sequence != got.claim.sequence || claim.Epoch != got.claim.epoch || claim.DoubtSequence != got.claim.under {
			t.Errorf("the claim is %+v, its event %d is %+v", got.claim, last.sequence, claim)
		}
		return got.claim
	}

	t.Run("nothing came between", func(t *testing.T) {
		req, before := released(t, "a", doubt{})
		if c := claims(t, req, claimMine, 1); c.epoch != before.epoch+1 || c.inDoubt() {
			t.Errorf("the claim is %+v", c)
		}
	})
	t.Run("with a doubt", func(t *testing.T) {
		since := time.Now().Add(-time.Second)
		req, _ := released(t, "b", doubt{under: 7, since: since, task: "4038"})
		if c := claims(t, req, claimMine, 1); c.under != 7 || !c.since.Equal(since) || c.task != "4038" || time.Until(c.until) < 50*time.Minute {
			t.Errorf("the doubt is %+v", c.doubt)
		}
	})
	t.Run("with an unlikely doubt", func(t *testing.T) {
		req, _ := released(t, "c", doubt{under: 7, since: time.Now(), unlikely: true, until: time.Now().Add(time.Hour)})
		if c := claims(t, req, claimMine, 1); c.under != 7 || !c.unlikely || time.Until(c.until) > 0 {
			t.Errorf("the doubt is %+v", c.doubt)
		}
	})
	t.Run("claimed by another", func(t *testing.T) {
		req, _ := released(t, "d", doubt{})
		two.claimed(t, req)
		claims(t, req, claimHeld, 4)
	})
	t.Run("claimed and released by another", func(t *testing.T) {
		req, _ := released(t, "e", doubt{})
		c := two.claimed(t, req)
		c.doubt = doubt{under: 9}
		if err := two.release(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if c := claims(t, req, claimMine, 9); c.epoch != 3 || c.under != 9 {
			t.Errorf("the claim is %+v, want the doubt of the other owner", c)
		}
	})
	t.Run("with its outcome", func(t *testing.T) {
		req, c := released(t, "f", doubt{})
		outcome := started("f")
		outcome.Message = req.message
		if err := two.record(t.Context(), req, c.sequence, outcome); err != nil {
			t.Fatal(err)
		}
		claims(t, req, claimSettled, 4)
	})
	t.Run("other content under the id", func(t *testing.T) {
		req, _ := released(t, "g", doubt{})
		other := *req
		other.message = schemas.Message{RequestedAt: time.Now(), PayloadHash: "other"}
		claims(t, &other, claimReused, 4)
	})
	t.Run("another ledger", func(t *testing.T) {
		req, _ := released(t, "h", doubt{})
		one.guard.era.Add(1)
		claims(t, req, claimMine, 9)
		if asked.Load() < 4 { // a write that is refused, a read, a write, and the test's own read
			t.Error("the release in the earlier ledger is taken for the last event")
		}
	})
	t.Run("twice", func(t *testing.T) {
		req, _ := released(t, "i", doubt{})
		claims(t, req, claimMine, 1)
		claims(t, req, claimHeld, 9)
	})
}

// What is remembered of releases is bounded.
func TestReleases_areBounded(t *testing.T) {
	t.Parallel()
	l := &ledger{released: newReleases()}
	for i := range maxReleased + 10 {
		l.noteRelease(&claim{req: testRequest(fmt.Sprint("r-", i)), sequence: uint64(i)})
	}
	if n := len(l.released.all); n > maxReleased || n == 0 {
		t.Errorf("%d releases are remembered", n)
	}
}
