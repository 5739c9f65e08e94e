package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
	"backhaul/schemas"
)

// newLedger returns a ledger without a guard, on a server of its own.
func newLedger(t *testing.T, lease time.Duration) *ledger {
	t.Helper()
	return newLedgerOn(t, natstest.Start(t).Connect(t), lease)
}

func newLedgerOn(t *testing.T, nc *nats.Conn, lease time.Duration) *ledger {
	t.Helper()
	pub, err := publisher.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	events := natstest.Stream(t, natstest.JetStream(t, nc), publisher.EventsStream)
	return &ledger{events: events, reader: publisher.NewLastReader(events), publisher: pub, owner: "one", lease: lease}
}

// of returns the same ledger for another replica.
func (l *ledger) of(owner string) *ledger {
	other := *l
	other.owner = owner
	return &other
}

// testRequest returns a request with this id.
func testRequest(id string) *request {
	return &request{
		BackupRequest: schemas.BackupRequest{RequestID: id}, key: publisher.NewKey("test", id),
		message: schemas.Message{RequestedAt: time.Now().Add(-time.Minute).UTC()},
	}
}

// started returns an outcome of a request with this id.
func started(id string) *schemas.JobStarted {
	return &schemas.JobStarted{Naming: schemas.Naming{RequestID: id, Source: "test"}, JobID: "1", JobIDs: []string{"1"}, StartedAt: time.Now().UTC()}
}

// claimed claims a request.
func (l *ledger) claimed(t *testing.T, req *request) *claim {
	t.Helper()
	got, err := l.claim(t.Context(), req)
	if err != nil || got.result != claimMine {
		t.Fatalf("got %+v, %v, want a claim", got, err)
	}
	return got.claim
}

// stored returns the message of the ledger with this sequence.
func (l *ledger) stored(t *testing.T, sequence uint64) *jetstream.RawStreamMsg {
	t.Helper()
	msg, err := l.events.GetMsg(t.Context(), sequence)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// The end of a lease is reserved for the last byte's way to the vendor: an attempt has ended
// before it, and the time before it suffices for a whole attempt.
func TestPermit_endsBeforeTheLease(t *testing.T) {
	t.Parallel()
	cfg := Config{AttemptTimeout: 10 * time.Second}
	l := newLedger(t, cfg.lease())
	h := &handler{cfg: cfg, ledger: l}
	c := l.claimed(t, testRequest("r"))
	beyond := cfg.lease() - cfg.AttemptTimeout
	for _, renewed := range []bool{false, true} {
		before := *c
		if renewed { // what is left of the lease is not enough for an attempt and its margin
			c.taken = c.taken.Add(-beyond/2 - time.Millisecond)
		}
		until, err := h.permit(t.Context(), t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if allowed := until.Sub(c.taken); allowed != cfg.AttemptTimeout+beyond/2 {
			t.Errorf("an attempt is permitted for %s of a lease of %s, want half of the %s beyond an attempt to be left", allowed, cfg.lease(), beyond)
		}
		if got := c.sequence > before.sequence && c.taken.After(before.taken); got != renewed {
			t.Errorf("the lease was renewed: %t, want %t", got, renewed)
		}
	}
}

// Our lease begins before the claim is sent. The server's begins when the claim is stored, so
// it never ends before ours.
func TestLedgerClaim_leaseBeginsBeforeTheWrite(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	c := l.claimed(t, testRequest("r"))
	if msg := l.stored(t, c.sequence); !c.taken.Before(msg.Time) {
		t.Errorf("the lease begins at %s, the claim was stored at %s", c.taken, msg.Time)
	}
}

// A claim is renewed while its owner waits for longer than a lease.
func TestKeepClaim_renewsTheClaim(t *testing.T) {
	t.Parallel()
	cfg := Config{AttemptTimeout: 200 * time.Millisecond}
	l := newLedger(t, cfg.lease())
	h := &handler{cfg: cfg, ledger: l}
	c := l.claimed(t, testRequest("r"))
	before := *c
	if err := h.keepClaim(t.Context(), t.Context(), c, cfg.lease()*3/4); err != nil {
		t.Fatal(err)
	}
	if c.sequence == before.sequence || !c.taken.After(before.taken) {
		t.Errorf("the claim was not renewed within %s of a lease of %s", cfg.lease()*3/4, cfg.lease())
	}
}

// While a job is looked up, one renewal covers two leases more: nothing is sent under the claim.
func TestLedgerRenew_coversTheDoubt(t *testing.T) {
	t.Parallel()
	l := newLedger(t, time.Minute)
	c := l.claimed(t, testRequest("r"))
	for _, test := range []struct {
		doubt doubt
		from  time.Duration
		to    time.Duration
	}{
		{doubt{under: 1, until: time.Now().Add(30 * time.Second)}, 80 * time.Second, 90 * time.Second},
		{doubt{under: 1, until: time.Now().Add(time.Hour)}, 3 * time.Minute, 3 * time.Minute},
		{doubt{under: 1, until: time.Now().Add(-time.Hour)}, time.Minute, time.Minute},
		{doubt{}, time.Minute, time.Minute},
	} {
		c.doubt, c.trouble = test.doubt, trouble{err: errors.New(strings.Repeat("x", 2*maxTrouble))}
		if err := l.renew(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		event, err := schemas.DecodeEvent(schemas.KindJobSubmitting, l.stored(t, c.sequence).Data)
		if err != nil {
			t.Fatal(err)
		}
		claim := event.(*schemas.JobSubmitting)
		lease := time.Duration(claim.LeaseMillis) * time.Millisecond
		if lease < test.from || lease > test.to || c.lease.Milliseconds() != claim.LeaseMillis {
			t.Errorf("doubt until %s: a lease of %s (%s here), want %s to %s", test.doubt.until, lease, c.lease, test.from, test.to)
		}
		if len(claim.LastError) != maxTrouble || c.trouble.err != nil {
			t.Errorf("the error has %d bytes, and is kept: %v", len(claim.LastError), c.trouble.err)
		}
	}
}
